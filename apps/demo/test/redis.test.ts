import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { Redis, RedisServer } from "../../../test/support/Redis.ts"
import { demo, Folder, start } from "./support.ts"

/** A process starts, and its threads after it: a busy machine takes its time. */
const patience = 120_000

const badText = Uint8Array.of(0x63, 0x61, 0x66, 0xe9, 0x0a)
const folderOf = (files: Readonly<Record<string, string | Uint8Array>>) =>
  Effect.acquireDisposable(Effect.sync(() => new Folder(files)))
const folder = folderOf({ "one.txt": "celery celery stalks", "two.txt": "celery", "bad.txt": badText })

layer(Redis.shared, { excludeTestServices: true, timeout: "60 seconds" })("pnpm demo over Redis", (it) => {
  it.effect(
    "does all of it in one process, beside others that do the same, and leaves nothing in their way",
    () =>
      Effect.gen(function* () {
        const redis = yield* Redis
        const { path } = yield* folder
        const env = { APIUM_BROKER_URL: redis.url() }
        const both = yield* Effect.promise(() => Promise.all([demo([path], env), demo([path], env)]))
        for (const { code, stderr, stdout } of both) {
          assert.strictEqual(stderr, "")
          assert.strictEqual(code, 0)
          assert.include(stdout, `over ${redis.url()}.`)
          assert.match(stdout, /^ +3 +2 {2}celery$/m)
          assert.match(stdout, /^demo\.index +3 +2 +0 +1 .*ms .*ms$/m)
          assert.match(stdout, /^demo\.index bad\.txt: is not UTF-8 text$/m)
          assert.match(stdout, /^demo\.flaky +1 +1 +2 +0 .*ms .*ms$/m)
          assert.match(stdout, /^demo\.reminder +1 +1 +0 +0 .*ms .*ms$/m)
          assert.match(stdout, /^demo\.reminder ran [\d,]+ ms after its ETA\.$/m)
        }
        const left = (yield* redis.command("KEYS", "*")) as ReadonlyArray<string>
        assert.deepStrictEqual(
          left.filter((key) => !/^(apium\.|_kombu\.binding\.)/.test(key)),
          []
        )
      }),
    patience
  )

  it.effect(
    "works as worker, producer and monitor in three processes, and ends on Ctrl-C",
    () =>
      Effect.gen(function* () {
        const { url } = yield* Redis
        const { path } = yield* folder
        const env = { APIUM_BROKER_URL: url() }
        const producer = start(["producer", path], env)
        yield* Effect.promise(() => producer.says(/^Nothing new for 5 seconds, and 5 tasks to go: is there a/m))
        const monitor = start(["monitor"], env)
        const worker = start(["worker"], env)
        yield* Effect.promise(() => worker.says(/takes tasks from the queue demo of redis:\/\/.*Ctrl-C/))
        const told = yield* Effect.promise(() => producer.exit)
        assert.strictEqual(told.stderr, "")
        assert.strictEqual(told.code, 0)
        assert.match(told.stdout, /^Sent 5 tasks to the queue demo of redis:\/\/.*\. Their results:$/m)
        assert.match(told.stdout, /^one\.txt: succeeded, 3 words in 20 B$/m)
        assert.match(told.stdout, /^bad\.txt: failed: is not UTF-8 text$/m)
        assert.match(told.stdout, /^demo\.flaky: succeeded, at run 3$/m)
        assert.match(told.stdout, /^demo\.reminder: succeeded, [\d,]+ ms after its ETA$/m)

        // Without results to share, by what the workers say.
        const local = { ...env, APIUM_RESULT_BACKEND: "memory://" }
        const again = yield* Effect.promise(() => demo(["producer", path, "--eta", "0"], local))
        assert.strictEqual(again.code, 0, again.stderr)
        assert.match(again.stdout, /^one\.txt: succeeded in .*s$/m)
        yield* Effect.promise(() => monitor.says(/task-succeeded/))
        monitor.interrupt()
        worker.interrupt()
        assert.strictEqual((yield* Effect.promise(() => monitor.exit)).code, 130)
        const stopped = yield* Effect.promise(() => worker.exit)
        assert.strictEqual(stopped.code, 130)
        assert.include(stopped.stdout, "Stopping: what has begun is finished first.")
      }),
    patience
  )

  it.effect(
    "says why there is no broker, with 69, and never a password",
    () =>
      Effect.gen(function* () {
        const { node } = yield* Redis
        const cases: ReadonlyArray<readonly [url: string, command: string, text: RegExp, code: number]> = [
          ["redis://u:hunter2@127.0.0.1:1/0", "monitor", /unreachable.*ECONNREFUSED.*is Redis running/, 69],
          [`redis://u:hunter2@127.0.0.1:${node.port}/0`, "worker", /WRONGPASS/, 69],
          [`redis://:@127.0.0.1:${node.port}/99999`, "producer", /database 99999/, 69],
          ["redis://u:hunter2@h:port/0", "producer", /A URL of Redis is/, 64]
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

layer(Redis.layer({ appendfsync: "always" }), { excludeTestServices: true, timeout: "60 seconds" })(
  "pnpm demo over a Redis that dies",
  (it) => {
    it.effect(
      "tells of every task, with its worker killed and its Redis restarted in the middle",
      () =>
        Effect.gen(function* () {
          const { url } = yield* Redis
          const server = yield* RedisServer
          const count = 150
          const { path } = yield* folderOf(
            Object.fromEntries(Array.from({ length: count }, (_, n) => [`page ${n}.txt`, "celery ".repeat(n + 1)]))
          )
          const env = { APIUM_BROKER_URL: url(), APIUM_BROKER_TRANSPORT_OPTIONS: '{"lease":3}' }
          const first = start(["worker"], env)
          yield* Effect.promise(() => first.says(/takes tasks/))
          const producer = start(["producer", path, "--eta", "4"], env)
          yield* Effect.promise(() => producer.says(/^page \d+\.txt: /m))
          first.kill()
          yield* Effect.promise(() => first.exit)
          const before = (yield* Effect.promise(() => producer.says(/./))).split("\n").length
          assert.isBelow(before, count)
          yield* server.kill
          yield* server.start
          const second = start(["worker"], env)
          const told = yield* Effect.promise(() => producer.exit)
          assert.strictEqual(told.code, 0, told.stderr)
          const lines = told.stdout.split("\n")
          const pages = new Set(lines.filter((line) => /^page \d+\.txt: succeeded, \d+ words? in /.test(line)))
          assert.strictEqual(pages.size, count)
          assert.match(told.stdout, /^demo\.flaky: succeeded, at run \d$/m)
          assert.match(told.stdout, /^demo\.reminder: succeeded, [\d,]+ ms after its ETA$/m)
          second.interrupt()
          assert.strictEqual((yield* Effect.promise(() => second.exit)).code, 130)
        }),
      patience
    )
  }
)
