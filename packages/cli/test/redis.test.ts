import { assert, describe, it, layer } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { Redis } from "../../../test/support/Redis.ts"
import { answered, apium } from "./support/Cli.ts"
import { start } from "./support/Process.ts"

const until = <E>(holds: Effect.Effect<boolean, E>): Effect.Effect<void, E> =>
  Effect.flatMap(holds, (held) => (held ? Effect.void : Effect.andThen(Effect.sleep("20 millis"), until(holds))))

const texts = Schema.decodeUnknownEffect(Schema.Array(Schema.String))
const keys = (pattern: string) =>
  Effect.flatMap(Redis, ({ command }) => Effect.orDie(Effect.flatMap(command("KEYS", pattern), texts)))

layer(Redis.shared, { excludeTestServices: true })("apium over Redis", (it) => {
  it.effect("a worker is called, asked, told, and stopped warmly, each by a command of its own", () =>
    Effect.gen(function* () {
      const redis = yield* Redis
      const broker = ["--broker", redis.url()]
      const worker = start(["worker", "-A", "tasks.ts", "-n", "one@%h", "-c1", "-l", "info", ...broker])
      yield* Effect.promise(() => worker.says("ready."))

      const pinged = yield* answered(["inspect", "ping", "-j", ...broker])
      assert.match(pinged.stdout, /^\{"one@[^"]+":\{"ok":"pong"\}\}\n$/, pinged.stderr)

      const called = yield* apium(["call", "proj.add", "--args=[2,3]", ...broker])
      assert.strictEqual(called.stderr, "")
      assert.match(called.stdout, /^[\da-f-]{36}\n$/)
      yield* Effect.promise(() => worker.says(`[${called.stdout.trim()}] succeeded`))

      const waited = yield* apium(["call", "proj.add", "--args=[2,40]", "--wait", ...broker])
      assert.deepStrictEqual(waited, { code: 0, stdout: "42\n", stderr: "" })
      const failed = yield* apium(["call", "proj.boom", "--wait", ...broker])
      assert.strictEqual(failed.code, 1)
      assert.include(failed.stderr, "boom at last")

      const limited = yield* answered(["control", "rate_limit", "proj.add", "10/m"], {
        APIUM_BROKER_URL: redis.url()
      })
      assert.include(limited.stdout, "new rate limit set successfully", limited.stderr)

      assert.strictEqual((yield* apium(["control", "shutdown", "-d", "two@nowhere", ...broker])).code, 0)
      assert.include((yield* answered(["inspect", "stats", ...broker])).stdout, "1 node online.")

      yield* apium(["control", "shutdown", ...broker])
      const ended = yield* Effect.promise(() => worker.exit)
      assert.strictEqual(ended.code, 0, ended.stderr)
      assert.include(ended.stdout, `.> transport:   ${redis.url()}`)
      assert.include(ended.stdout, `.> results:     ${redis.url()}`)
      assert.lengthOf(yield* keys("celery-task-meta-*"), 3)
      // Nothing is left but results, who was bound to what, who lived, and an answer to who did not wait for it.
      assert.deepStrictEqual(
        (yield* keys("*")).filter(
          (key) => !/^(celery-task-meta-|_kombu\.binding\.|apium\.|[\da-f-]{36}\.reply\.celery\.pidbox$)/.test(key)
        ),
        []
      )
    })
  )

  it.effect("a worker that is interrupted finishes what it has begun, and what it has not is still in its queue", () =>
    Effect.gen(function* () {
      const redis = yield* Redis
      const env = { APIUM_BROKER_URL: redis.url() }
      const worker = start(["worker", "-A", "never.ts", "-c1", "-Q", "slow"], env)
      yield* Effect.promise(() => worker.says("ready."))
      for (let count = 0; count < 2; count++) {
        assert.strictEqual((yield* apium(["call", "proj.never", "-Q", "slow"], env)).code, 0)
      }
      yield* Effect.promise(() => worker.says("begun"))
      worker.signal("SIGTERM")
      yield* Effect.promise(() => worker.says("Warm shutdown"))
      worker.signal("SIGQUIT")
      assert.strictEqual((yield* Effect.promise(() => worker.exit)).code, 1)
      yield* until(Effect.map(redis.command("LLEN", "slow"), (length) => length === 2))
    })
  )

  it.effect("options that no URL says are Kombu's, and are refused by name and without their values", () =>
    Effect.gen(function* () {
      const redis = yield* Redis
      const options =
        '{"global_keyprefix":"shop:","visibility_timeout":60,"priority_steps":[0,5],"queue_order_strategy":"sorted"}'
      const call = ["call", "proj.add", "--priority", "7", "--broker", redis.url()]
      const sent = yield* apium([...call, "--broker-transport-options", options])
      assert.strictEqual(sent.code, 0, sent.stderr)
      assert.strictEqual(yield* redis.command("LLEN", "shop:celery\u0006\u00165"), 1)
      const refused = (text: string) =>
        Effect.map(apium(call, { APIUM_BROKER_TRANSPORT_OPTIONS: text }), ({ code, stderr }) => {
          assert.strictEqual(code, 64)
          assert.include(stderr, `(with APIUM_BROKER_TRANSPORT_OPTIONS)`)
          assert.notInclude(stderr, "hunter2")
          return stderr
        })
      assert.include(yield* refused('{"global_keyprefx":"x"}'), "Did you mean global_keyprefix?")
      assert.include(yield* refused('{"visibility_timeout":"hunter2"}'), "visibility_timeout takes seconds")
      assert.include(yield* refused('{"sentinel_kwargs":{"password":["hunter2"]}}'), "password takes a text")
      assert.include(yield* refused('{"master_name":'), "it is no JSON")
      assert.include(yield* refused('{"queue_order_strategy":"any"}'), "takes round_robin, sorted, priority")
      assert.include(yield* refused("[]"), "it takes a JSON object")
      const amqp = yield* apium(["call", "x", "-b", "amqp://h", "--broker-transport-options", "{}"])
      assert.strictEqual(amqp.code, 64)
      assert.include(amqp.stderr, "only a Redis takes transport options")
    })
  )

  it.effect("results are where --result-backend says, and nowhere else", () =>
    Effect.gen(function* () {
      const redis = yield* Redis
      const call = ["call", "proj.add", "--wait", "-Q", "w", "--broker", redis.url()]
      const nowhere = yield* apium([...call, "--result-backend", "memory://"])
      assert.strictEqual(nowhere.code, 64)
      assert.include(nowhere.stderr, "Leave --wait out")
      assert.strictEqual(yield* redis.command("EXISTS", "w"), 0)
      // As a broker of AMQP has them.
      const url = redis.url()
      const worker = start(["worker", "-A", "tasks.ts", "-Q", "r"], {
        APIUM_BROKER_URL: url,
        APIUM_RESULT_BACKEND: url
      })
      yield* Effect.promise(() => worker.says("ready."))
      const env = { APIUM_RESULT_BACKEND: url, APIUM_RESULT_BACKEND_TRANSPORT_OPTIONS: "" }
      const waited = yield* apium(["call", "proj.add", "-Q", "r", "--args=[1,2]", "--wait", "-b", url], env)
      assert.deepStrictEqual(waited, { code: 0, stdout: "3\n", stderr: "" })
      worker.signal("SIGTERM")
      assert.strictEqual((yield* Effect.promise(() => worker.exit)).code, 0)
      const away = yield* apium(["call", "x", "-b", url, "--result-backend", "redis://:hunter2@127.0.0.1:1/0"])
      assert.strictEqual(away.code, 69)
      assert.match(away.stderr, /The result backend redis:\/\/:\*\*@127\.0\.0\.1:1\/0 is not to be had: .*ECONNREFUSED/)
    })
  )

  it.effect("nobody who answers is 69", () =>
    Effect.gen(function* () {
      const redis = yield* Redis
      const { code, stderr } = yield* apium(["inspect", "ping", "-t", "0.2", "--broker", redis.url()])
      assert.strictEqual(code, 69)
      assert.include(stderr, "No nodes replied")
    })
  )
})

describe("a URL of Redis", () => {
  it.effect("that is none is refused before anything is connected to, with what was meant", () =>
    Effect.gen(function* () {
      const refused = (url: string) =>
        Effect.map(apium(["call", "x", "--broker", url]), ({ code, stderr }) => {
          assert.strictEqual(code, 64)
          assert.notInclude(stderr, "hunter2")
          return stderr
        })
      assert.include(yield* refused("redis://u:hunter2@h/abc"), "The database is a number")
      assert.include(yield* refused("redis://u:hunter2@h:99999/0"), "1 to 65535")
      assert.include(yield* refused("redis://u:hunter2@h/0?ssl_cert_reqs=none"), "rediss://")
      assert.include(yield* refused("redis+socket://h/run/redis.sock"), "three slashes")
      assert.include(yield* refused("sentinel://u:hunter2@h"), "needs master_name of the transport options")
      assert.include(yield* refused("redis+cluster://u:hunter2@h"), "global_keyprefix of the transport options")
      assert.include(yield* refused("redsi://u:hunter2@h"), "Did you mean redis://?")
    })
  )
})
