/** One queue of tasks, a worker of Celery's and one of ours, clients of both. */
import * as Queue from "@apium/hub/Queue"
import * as Redis from "@apium/transport-redis/node"
import { Client, MemoryBackend, Task, Tasks, Worker } from "@apium/worker"
import { assert, layer } from "@effect/vitest"
import { Effect, Layer, Schema } from "effect"
import * as Python from "../../../test/support/Python.ts"
import { Redis as Server } from "../../../test/support/Redis.ts"
import * as stores from "./support/stores.ts"

const note = Task.make("proj.note", {
  params: { n: Schema.Number },
  result: Schema.Void,
  ignoreResult: true
})

const app = `
import os, time
from celery import Celery
app = Celery("apium_app", broker=os.environ["BROKER"])
app.conf.worker_prefetch_multiplier = 1

@app.task(name="proj.note", ignore_result=True)
def note(n):
    time.sleep(0.005)
    print(f"noted {n}")
`

layer(Server.layer(), { excludeTestServices: true })("a queue of tasks", (it) => {
  it.effect("is shared by a worker of Celery's and one of ours: what clients of both send runs once, on either", () =>
    Effect.gen(function* () {
      const server = yield* Server
      const count = 100
      let sent = 2 * count
      const ours: Array<number> = []
      const theirs = yield* Python.worker({ code: app, args: ["--pool", "solo"], env: { BROKER: server.url() } })
      const noted = () =>
        theirs.lines().flatMap((line) => {
          const [, n] = /noted (\d+)/.exec(line) ?? []
          return n === undefined ? [] : [Number(n)]
        })
      const connection = () => Layer.fresh(Redis.layer(server.url()))
      const NoteLive = Tasks.handle(note, ({ n }) =>
        Effect.delay(
          Effect.sync(() => void ours.push(n)),
          "5 millis"
        )
      )
      yield* Effect.gen(function* () {
        const client = yield* Client
        yield* Effect.all(
          [
            Effect.forEach(
              Array.from({ length: count }, (_, n) => n),
              (n) => client.send(note, { n }, { priority: [0, 3, 6, 9][n % 4]! }),
              { concurrency: 10, discard: true }
            ),
            Python.run(
              `
import sys
from celery import Celery
app = Celery(broker=sys.argv[1])
for n in range(int(sys.argv[2]), 2 * int(sys.argv[2])):
    app.send_task("proj.note", [n], priority=(0, 3, 6, 9)[n % 4], ignore_result=True)
`,
              { args: [server.url(), String(count)] }
            )
          ],
          { concurrency: 2 }
        )
        yield* stores
          .until(Effect.sync(() => ours.length + noted().length >= count * 2))
          .pipe(Effect.timeoutOption("2 minutes"))
        // Where one of the two was held up, the other has run them all: it gets more, until it has run some.
        while (Math.min(ours.length, noted().length) === 0) {
          const n = sent++
          yield* client.send(note, { n })
          yield* stores.until(Effect.sync(() => ours.includes(n) || noted().includes(n)))
        }
        // Once each, and no more of them is anywhere.
        yield* stores.until(Effect.map(server.command("HLEN", "unacked"), (held) => held === 0))
      }).pipe(
        Effect.provide(
          Layer.mergeAll(
            Worker.layer({ queues: [Queue.make("celery")], concurrency: 1 }).pipe(
              Layer.provide(NoteLive),
              Layer.provide(Tasks.layer),
              Layer.provide(Client.layer),
              Layer.provide(connection())
            ),
            Client.layer.pipe(Layer.provide(connection()))
          ).pipe(Layer.provide(MemoryBackend.layer))
        )
      )
      const all = [...ours, ...noted()].toSorted((one, other) => one - other)
      console.log(`fleet n=${sent} ours=${ours.length} theirs=${noted().length}`)
      assert.deepStrictEqual(
        all,
        Array.from({ length: sent }, (_, n) => n)
      )
    })
  )
})
