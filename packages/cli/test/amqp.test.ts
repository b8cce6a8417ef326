import { assert, describe, it, layer } from "@effect/vitest"
import { Effect } from "effect"
import { RabbitMq } from "../../../test/support/RabbitMq.ts"
import { answered, apium, fixture } from "./support/Cli.ts"
import { start } from "./support/Process.ts"

const until = <E>(holds: Effect.Effect<boolean, E>): Effect.Effect<void, E> =>
  Effect.flatMap(holds, (held) => (held ? Effect.void : Effect.andThen(Effect.sleep("20 millis"), until(holds))))

layer(RabbitMq.shared, { excludeTestServices: true })("apium over RabbitMQ", (it) => {
  it.effect("a worker is called, asked, told, and stopped warmly, each by a command of its own", () =>
    Effect.gen(function* () {
      const rabbit = yield* RabbitMq
      const broker = ["--broker", rabbit.url()]
      const worker = start(["worker", "-A", "tasks.ts", "-n", "one@%h", "-c1", "-l", "info", ...broker])
      yield* Effect.promise(() => worker.says("ready."))

      const pinged = yield* answered(["inspect", "ping", "-j", ...broker])
      assert.match(pinged.stdout, /^\{"one@[^"]+":\{"ok":"pong"\}\}\n$/, pinged.stderr)

      const called = yield* apium(["call", "proj.add", "--args=[2,3]", ...broker])
      assert.strictEqual(called.stderr, "")
      assert.match(called.stdout, /^[\da-f-]{36}\n$/)
      yield* Effect.promise(() => worker.says(`[${called.stdout.trim()}] succeeded`))

      // Results over the broker are this call's own, and the worker's that sends them there.
      const results = start(["worker", "-A", "tasks.ts", "-Q", "r", ...broker, "--result-backend", "rpc://"])
      yield* Effect.promise(() => results.says("ready."))
      const call = ["call", "proj.add", "-Q", "r", "--args=[2,40]", "--wait", ...broker]
      const waited = yield* apium([...call, "--result-backend", "rpc://"])
      assert.deepStrictEqual(waited, { code: 0, stdout: "42\n", stderr: "" })
      results.signal("SIGTERM")
      assert.strictEqual((yield* Effect.promise(() => results.exit)).code, 0)

      const limited = yield* answered(["control", "rate_limit", "proj.add", "10/m"], {
        APIUM_BROKER_URL: rabbit.url()
      })
      assert.include(limited.stdout, "new rate limit set successfully", limited.stderr)

      assert.strictEqual((yield* apium(["control", "shutdown", "-d", "two@nowhere", ...broker])).code, 0)
      const stats = yield* answered(["inspect", "stats", ...broker])
      assert.include(stats.stdout, "1 node online.")
      assert.notInclude(stats.stdout + pinged.stdout, "guest:guest")

      yield* apium(["control", "shutdown", ...broker])
      const ended = yield* Effect.promise(() => worker.exit)
      assert.strictEqual(ended.code, 0, ended.stderr)
      assert.include(ended.stdout, `.> transport:   ${rabbit.url().replace(":guest@", ":**@")}`)
      assert.notInclude(ended.stdout + ended.stderr, "guest:guest")
      yield* until(Effect.map(rabbit.connections, (open) => open.length === 0))
    })
  )

  it.effect("a worker that is interrupted finishes what it has begun, and what it has not is still in its queue", () =>
    Effect.gen(function* () {
      const rabbit = yield* RabbitMq
      const env = { APIUM_BROKER_URL: `amqp://guest:guest@127.0.0.1:1//;${rabbit.url()}` }
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
      yield* until(
        Effect.map(rabbit.queues, (queues) => queues.some(({ name, ready }) => name === "slow" && ready === 2))
      )
    })
  )

  it.effect("a result that cannot come is not waited for, and nothing is sent", () =>
    Effect.gen(function* () {
      const rabbit = yield* RabbitMq
      const { code, stderr, stdout } = yield* apium(["call", "proj.add", "--wait", "-Q", "w", "--broker", rabbit.url()])
      assert.strictEqual(code, 64)
      assert.strictEqual(stdout, "")
      assert.include(stderr, "Leave --wait out")
      assert.notInclude(
        (yield* rabbit.queues).map(({ name }) => name),
        "w"
      )
    })
  )

  it.effect("a queue that is more than a name is sent to by the module that exports it, and by no other", () =>
    Effect.gen(function* () {
      const rabbit = yield* RabbitMq
      const call = ["call", "proj.add", "--args=[2,3]", "-Q", "urgent", "--broker", rabbit.url()]
      const exported = yield* apium([...call, "-A", fixture("tasks")])
      assert.strictEqual(exported.code, 0, exported.stderr)
      const plain = yield* apium(call)
      assert.strictEqual(plain.code, 1)
      assert.match(plain.stderr, /406 PRECONDITION_FAILED[^]*name the module that exports it/)
      assert.strictEqual((yield* rabbit.queues).find(({ name }) => name === "urgent")?.ready, 1)
    })
  )

  it.effect("nobody who answers is 69", () =>
    Effect.gen(function* () {
      const rabbit = yield* RabbitMq
      const { code, stderr } = yield* apium(["inspect", "ping", "-t", "0.2", "--broker", rabbit.url()])
      assert.strictEqual(code, 69)
      assert.include(stderr, "No nodes replied")
    })
  )

  it.effect("a broker that refuses says what, with 69 to a client and 1 to a worker", () =>
    Effect.gen(function* () {
      const { node, vhost } = yield* RabbitMq
      const place = `${node.host}:${node.port}`
      const cases = [
        [`amqp://guest:hunter2@${place}/${vhost}`, "Access refused"],
        [`amqp://guest:guest@${place}/hunter2`, "No such virtual host"],
        ["amqp://guest:hunter2@127.0.0.1:1//", "unreachable"],
        [`amqps://guest:hunter2@${place}//`, "does not speak our protocol|TLS failed"]
      ] as const
      for (const [url, text] of cases) {
        for (const command of [
          ["call", "x"],
          ["inspect", "ping"],
          ["control", "shutdown"]
        ]) {
          const { code, stderr } = yield* apium([...command, "--broker", url])
          assert.strictEqual(code, 69, stderr)
          assert.match(stderr, new RegExp(text))
          assert.notInclude(stderr, ":hunter2@")
        }
        const worker = yield* apium(["worker", "-A", fixture("tasks"), "--broker", url])
        assert.strictEqual(worker.code, 1)
        assert.match(worker.stderr, new RegExp(`The worker could not start: .*(${text})`))
        assert.notInclude(worker.stdout + worker.stderr, ":hunter2@")
      }
    })
  )
})

describe("a URL of AMQP", () => {
  it.effect("that is none is refused before anything is connected to, with what was meant", () =>
    Effect.gen(function* () {
      const refused = (url: string) =>
        Effect.map(apium(["call", "x", "--broker", url]), ({ code, stderr }) => {
          assert.strictEqual(code, 64)
          assert.notInclude(stderr, "hunter2")
          return stderr
        })
      assert.include(yield* refused("amqp://u:hunter2@h?heartbaet=3"), "Perhaps: heartbeat")
      assert.include(yield* refused("amqp://u:hunter2@h:99999//"), "1 to 65535")
      assert.include(yield* refused("amqp://u:hunter2/@h"), "%2F")
      assert.include(yield* refused("amqp://h;redis://u:hunter2@h"), "redis://")
      assert.include(yield* refused("amqb://u:hunter2@h"), "Did you mean amqp://?")
    })
  )

  it.effect("holds no results", () =>
    Effect.gen(function* () {
      const { code, stderr } = yield* apium(["call", "x", "--broker", "amqp://h", "--result-backend", "amqp://h"])
      assert.strictEqual(code, 64)
      assert.include(stderr, "--result-backend is amqp://h: there is no result backend named amqp")
    })
  )
})
