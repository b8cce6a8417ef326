/** What we write into Redis, beside what Celery 5.6.3 wrote when its `MONITOR` was captured: the same keys, and values of the same shape. */
import * as Redis from "@apium/transport-redis/node"
import { Client, RedisBackend, Task, Tasks, Worker } from "@apium/worker"
import * as Publisher from "@apium/worker/client/Publisher"
import { assert, layer } from "@effect/vitest"
import { Effect, Layer, Schema } from "effect"
import { readFileSync } from "node:fs"
import { Redis as Server } from "../../../test/support/Redis.ts"
import { type Asked, during, words } from "./support/monitor.ts"
import * as stores from "./support/stores.ts"
import * as Writes from "./support/Writes.ts"

const captured = (name: string): ReadonlyArray<Pick<Asked, "command" | "args">> => {
  const file = new URL(`../../protocol/test/fixtures/5.6.3/redis-monitor/${name}.json`, import.meta.url)
  const { lines } = JSON.parse(readFileSync(file, "utf8")) as {
    readonly lines: ReadonlyArray<{ readonly command: string }>
  }
  return lines.map(({ command }) => {
    const [name = "", ...args] = words(command)
    return { command: name.toUpperCase(), args }
  })
}

const add = Task.make("wire.add", {
  params: { x: Schema.Number, y: Schema.Number },
  result: Schema.Number,
  trackStarted: true
})

/** What only Celery writes, and why we do not. */
const theirsAlone: Readonly<Record<string, string>> = {
  "SET unacked_mutex": "who looks for what is overdue needs no lock: a tag is restored by whoever removes it",
  "SADD _kombu.binding.reply.celery.pidbox":
    "its worker asks the others when it starts (mingle), and ours was told not to",
  "PUBLISH /<db>.celery.pidbox": "the same",
  "SADD _kombu.binding.celeryev": "its worker listens to the heartbeats of others (gossip)"
}

/** What only we write. Keys that begin with `apium.` are our own: kombu does not know them, and leaves them alone. */
const oursAlone: Readonly<Record<string, string>> = {
  "PUBLISH /<db>.celeryev/worker.offline": "the captured worker was not stopped"
}

/** What a value of ours lacks. */
const missing: ReadonlyArray<readonly [pattern: RegExp, reason: string]> = [
  [
    /celery-task-meta-<id> \w+\[\d\]\.(?:name|args|kwargs|worker|retries|queue) is missing$/,
    "the captured worker had `result_extended` set"
  ]
]

layer(Server.layer(), { excludeTestServices: true })("what MONITOR says", (it) => {
  it.effect("of our client and our worker is what it says of Celery's, but for what is written here", () =>
    Effect.gen(function* () {
      const server = yield* Server
      const connection = Redis.layerAll(server.url())
      const { asked } = yield* during(
        Effect.gen(function* () {
          const result = yield* (yield* Client).sendTask("wire.add", [2, 2], {})
          assert.strictEqual(yield* result.get, 4)
          yield* stores.until(Effect.map(server.command("HLEN", "unacked"), (held) => held === 0))
        }).pipe(
          Effect.provide(
            Layer.merge(
              Worker.layer({
                queues: [Publisher.queueNamed("celery")],
                concurrency: 1,
                events: true,
                // None was captured: a worker that lives for two seconds sends one.
                heartbeatInterval: "1 hour",
                name: "ours@here",
                // It would hear itself, which Celery's cannot yet, and whether it has answered by then is chance.
                mingle: false
              }).pipe(
                Layer.provide(Tasks.handle(add, ({ x, y }) => Effect.succeed(x + y))),
                Layer.provide(Tasks.layer),
                Layer.provide(Client.layer)
              ),
              Client.layerWith({ sendSentEvent: true })
            ).pipe(Layer.provide(RedisBackend.layer), Layer.provide(connection))
          )
        )
      )
      const ours = Writes.written(asked, "ours@here")
      const theirs = Writes.written([...captured("worker_startup"), ...captured("task_success")], "worker1@wire")
      const labelsOf = (all: ReadonlyArray<Writes.Write>) => [...new Set(all.map(({ label }) => label))]
      assert.deepStrictEqual(
        labelsOf(ours).filter((label) => !labelsOf(theirs).includes(label) && !/^\w+ apium\./.test(label)),
        Object.keys(oursAlone)
      )
      assert.deepStrictEqual(
        labelsOf(theirs).filter((label) => !labelsOf(ours).includes(label)),
        Object.keys(theirsAlone)
      )
      const shared = theirs.filter(({ label }) => labelsOf(ours).includes(label))
      const differences = shared.flatMap(({ label, values }) =>
        ours.filter((one) => one.label === label).flatMap((one) => Writes.differences(one.values, values, label))
      )
      assert.deepStrictEqual(
        differences.filter((one) => !missing.some(([pattern]) => pattern.test(one))),
        []
      )
      console.log(`MONITOR writes alike=${labelsOf(shared).length} ${labelsOf(shared).join(", ")}`)
    })
  )
})
