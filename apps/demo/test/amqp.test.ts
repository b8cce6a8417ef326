import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { RabbitMq } from "../../../test/support/RabbitMq.ts"
import { demo, Folder, start } from "./support.ts"

/** A process starts, and its threads after it: a busy machine takes its time. */
const patience = 60_000

const badText = Uint8Array.of(0x63, 0x61, 0x66, 0xe9, 0x0a)
const folder = Effect.acquireDisposable(
  Effect.sync(() => new Folder({ "one.txt": "celery celery stalks", "two.txt": "celery", "bad.txt": badText }))
)

layer(RabbitMq.shared, { excludeTestServices: true, timeout: "60 seconds" })("pnpm demo over RabbitMQ", (it) => {
  it.effect(
    "does all of it in one process, beside others that do the same, and touches nobody else's queue",
    () =>
      Effect.gen(function* () {
        const rabbit = yield* RabbitMq
        const { path } = yield* folder
        const env = { APIUM_BROKER_URL: rabbit.url() }
        const both = yield* Effect.promise(() => Promise.all([demo([path], env), demo([path], env)]))
        for (const { code, stderr, stdout } of both) {
          assert.strictEqual(stderr, "")
          assert.strictEqual(code, 0)
          assert.include(stdout, `over ${rabbit.url().replace(":guest@", ":**@")}.`)
          assert.match(stdout, /^ +3 +2 {2}celery$/m)
          assert.match(stdout, /^demo\.index +3 +2 +0 +1 .*ms .*ms$/m)
          assert.match(stdout, /^demo\.flaky +1 +1 +2 +0 .*ms .*ms$/m)
          assert.match(stdout, /^demo\.reminder +1 +1 +0 +0 .*ms .*ms$/m)
          assert.match(stdout, /^demo\.reminder ran [\d,]+ ms after its ETA\.$/m)
        }
        const queues = yield* rabbit.queues
        for (const { name, ready, unacked } of queues) {
          assert.match(name, /^(demo\.|celery_delayed)/)
          assert.deepStrictEqual([ready, unacked], [0, 0])
        }
      }),
    patience
  )

  it.effect(
    "works as worker, producer and monitor in three processes, and ends on Ctrl-C",
    () =>
      Effect.gen(function* () {
        const { url } = yield* RabbitMq
        const { path } = yield* folder
        const env = { APIUM_BROKER_URL: url() }
        const producer = start(["producer", path], env)
        yield* Effect.promise(() => producer.says(/^Nothing new for 5 seconds, and 5 tasks to go: is there a/m))
        const monitor = start(["monitor"], env)
        const worker = start(["worker"], env)
        yield* Effect.promise(() => worker.says(/takes tasks from the queue demo of amqp:\/\/guest:\*\*@.*Ctrl-C/))
        const told = yield* Effect.promise(() => producer.exit)
        assert.strictEqual(told.stderr, "")
        assert.strictEqual(told.code, 0)
        assert.match(told.stdout, /^Sent 5 tasks to the queue demo of amqp:\/\/guest:\*\*@/)
        assert.match(told.stdout, /^one\.txt: succeeded in .*s$/m)
        assert.match(told.stdout, /^bad\.txt: failed: Unreadable\(.*is not UTF-8 text/m)
        assert.match(told.stdout, /^demo\.flaky: succeeded in .*s$/m)
        assert.match(told.stdout, /^demo\.reminder: succeeded in .*s$/m)

        const again = yield* Effect.promise(() => demo(["producer", path, "--eta", "0"], env))
        assert.strictEqual(again.code, 0)
        yield* Effect.promise(() => monitor.says(/task-succeeded/))
        monitor.interrupt()
        worker.interrupt()
        assert.strictEqual((yield* Effect.promise(() => monitor.exit)).code, 130)
        const stopped = yield* Effect.promise(() => worker.exit)
        assert.strictEqual(stopped.code, 130)
        assert.include(stopped.stdout, "Stopping: what has begun is finished first.")
        for (const { stderr, stdout } of [told, stopped, again]) assert.notInclude(stdout + stderr, "guest:guest")
      }),
    patience
  )

  it.effect(
    "says why there is no broker, with 69, and never a password",
    () =>
      Effect.gen(function* () {
        const { node } = yield* RabbitMq
        const web = yield* Effect.acquireRelease(
          Effect.promise(
            () =>
              new Promise<ReturnType<typeof createServer>>((resolve) => {
                const server = createServer()
                server.listen(0, "127.0.0.1", () => resolve(server))
              })
          ),
          (server) => Effect.sync(() => void server.close())
        )
        const { port } = web.address() as AddressInfo
        const cases: ReadonlyArray<readonly [url: string, command: string, text: RegExp, code: number]> = [
          ["amqp://u:hunter2@127.0.0.1:1//", "monitor", /unreachable.*ECONNREFUSED/, 69],
          [`amqp://guest:hunter2@127.0.0.1:${node.port}//`, "worker", /Access refused/, 69],
          [`amqp://guest:guest@127.0.0.1:${node.port}/hunter2`, "producer", /No such virtual host: hunter2/, 69],
          [`amqp://u:hunter2@127.0.0.1:${port}//`, "monitor", /offered HTTP/, 69],
          ["https://u:hunter2@h", "worker", /there is no transport named https/, 64],
          ["amqp://u:hunter2@h:port//", "producer", /a number from 1 to 65535/, 64]
        ]
        yield* Effect.forEach(
          cases,
          ([url, command, text, code]) =>
            Effect.map(
              Effect.promise(() => demo([command], { APIUM_BROKER_URL: url })),
              (ended) => {
                assert.match(ended.stderr, text)
                assert.strictEqual(ended.code, code, ended.stderr)
                assert.notInclude(ended.stdout + ended.stderr, ":hunter2")
                assert.isBelow(ended.stderr.trim().split("\n").length, 5)
              }
            ),
          { concurrency: 2, discard: true }
        )
      }),
    patience
  )
})
