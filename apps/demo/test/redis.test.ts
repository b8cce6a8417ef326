import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { renameSync } from "node:fs"
import * as Commands from "../../../test/support/Commands.ts"
import { Redis, RedisServer } from "../../../test/support/Redis.ts"
import { byEvents, folderOf, inThree, refused, sideBySide } from "./brokers.ts"
import { start } from "./support.ts"

layer(Redis.shared, { excludeTestServices: true })("pnpm demo over Redis", (it) => {
  it.effect("does all of it in one process, beside others that do the same, and leaves nothing in their way", () =>
    Effect.gen(function* () {
      const redis = yield* Redis
      yield* sideBySide(redis.url(), redis.url())
      const left = (yield* redis.command("KEYS", "*")) as ReadonlyArray<string>
      assert.deepStrictEqual(
        // An answer to who had gone by then stays, as Kombu's does: each asks the other what it knows when it starts.
        left.filter((key) => !/^(apium\.|_kombu\.binding\.|[\da-f-]{36}\.reply\.celery\.pidbox$)/.test(key)),
        []
      )
    })
  )

  it.effect("works as worker, producer and monitor in three processes, and ends on Ctrl-C", () =>
    Effect.gen(function* () {
      const { url } = yield* Redis
      const { again, told } = yield* inThree(url(), /the queue demo of redis:\/\//, {
        APIUM_RESULT_BACKEND: "memory://"
      })
      assert.match(told.stdout, /\. Their results:$/m)
      assert.match(told.stdout, /^one\.txt: succeeded, 3 words in 20 B$/m)
      assert.match(told.stdout, /^bad\.txt: failed: is not UTF-8 text$/m)
      assert.match(told.stdout, /^demo\.flaky: succeeded, at run 3$/m)
      assert.match(told.stdout, /^demo\.reminder: succeeded, [\d,]+ ms after its ETA$/m)
      byEvents(again)
    })
  )

  it.effect("says why there is no broker, with 69, and never a password", () =>
    Effect.gen(function* () {
      const { node } = yield* Redis
      yield* refused([
        ["redis://u:hunter2@127.0.0.1:1/0", "monitor", /unreachable.*ECONNREFUSED.*is Redis running/, 69],
        [`redis://u:hunter2@127.0.0.1:${node.port}/0`, "worker", /WRONGPASS/, 69],
        [`redis://:@127.0.0.1:${node.port}/99999`, "producer", /database 99999/, 69],
        ["redis://u:hunter2@h:port/0", "producer", /A URL of Redis is/, 64]
      ])
    })
  )
})

layer(Redis.layer({ appendfsync: "always" }), { excludeTestServices: true })(
  "pnpm demo over a Redis that dies",
  (it) => {
    it.effect("tells of every task, with its worker killed and its Redis restarted in the middle", () =>
      Effect.gen(function* () {
        const { url } = yield* Redis
        const server = yield* RedisServer
        const count = 150
        const { path } = yield* folderOf(
          Object.fromEntries(Array.from({ length: count }, (_, n) => [`page ${n}.txt`, "celery ".repeat(n + 1)]))
        )
        const env = { APIUM_BROKER_URL: url(), APIUM_BROKER_TRANSPORT_OPTIONS: '{"lease":3}' }
        const producer = start(["producer", path, "--eta", "4"], env)
        yield* Effect.promise(() => producer.says(/^Sent 152 tasks/m))
        // A pipe that nobody writes to: its task begins and does not end, so whenever the worker is killed, it is in the middle.
        const stuck = `${path}/page 7.txt`
        renameSync(stuck, `${path}/kept`)
        yield* Commands.run(["mkfifo", stuck])
        const first = start(["worker"], env)
        yield* Effect.promise(() => producer.says(/^page \d+\.txt: /m))
        first.kill()
        yield* Effect.promise(() => first.exit)
        renameSync(`${path}/kept`, stuck)
        yield* server.kill
        yield* server.start
        const second = start(["worker"], env)
        const told = yield* Effect.promise(() => producer.exit)
        assert.strictEqual(told.code, 0, told.stderr)
        const lines = told.stdout.split("\n")
        const pages = Array.from({ length: count }, (_, n) => `page ${n}.txt: succeeded, ${n + 1} word`)
        assert.deepStrictEqual(
          pages.filter((page) => !lines.some((line) => line.startsWith(page))),
          []
        )
        assert.match(told.stdout, /^demo\.flaky: succeeded, at run \d$/m)
        assert.match(told.stdout, /^demo\.reminder: succeeded, [\d,]+ ms after its ETA$/m)
        second.interrupt()
        assert.strictEqual((yield* Effect.promise(() => second.exit)).code, 130)
      })
    )
  }
)
