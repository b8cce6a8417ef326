import { Connection } from "@apium/hub/Connection"
import * as Mailbox from "@apium/hub/Mailbox"
import * as Queue from "@apium/hub/Queue"
import * as Control from "@apium/worker/control/Control"
import { Panel } from "@apium/worker/control/Panel"
import { layerHost } from "@apium/worker/node"
import * as Profile from "@apium/worker/Profile"
import { assert, describe } from "@effect/vitest"
import { Data, Deferred, Effect, Fiber, Layer, Stream } from "effect"
import { TestClock } from "effect/testing"
import { differences, pidbox } from "../support/Fixtures.ts"
import { node, request } from "../support/Node.ts"
import { settle, test } from "../support/World.ts"

class OutOfPaper extends Data.TaggedError("OutOfPaper")<{ readonly message: string }> {}

const name = "worker1@wire"

const wire = ["add", "custom_event", "echo", "errback", "fail", "fail_custom", "ignore", "late", "progress"]
  .concat(["reject", "replace", "retry", "sleep", "tsum"])
  .map((task) => `wire.${task}`)

/** What the node answers; it fails if it does not. */
const ask = (method: string, args: Readonly<Record<string, unknown>> = {}) =>
  Effect.map(Stream.runCollect(Control.broadcast(method, args, { destination: [name] })), ([only]) => only!.reply)

const fixture = (of: string) => {
  const { command, args } = pidbox(of)
  return ask(command, args)
}

const sleeping = [
  {
    request: request("wire.sleep", "2361fac6-b6dd-44bf-9722-ccba1f90970c", [25, 0], {
      acknowledged: true,
      argsrepr: "(25, 0)"
    }),
    timeStart: 1_795_227_607_812
  }
]

const busy = {
  active: sleeping,
  reserved: [request("wire.sleep", "7ae231d2-e37d-4df7-beca-1c8fec4eb5d5", [25, 2])],
  scheduled: [
    { request: request("wire.add", "a9254af0-a7ad-460a-96a9-da1afb2323cc", [1, 1]), until: 1_795_228_408_812 }
  ],
  totals: { "wire.add": 12, "wire.sleep": 7 },
  revoked: ["af986ede-01e5-424e-8d6e-43f5f4576dde"]
}

const worker = node(name, { script: busy, tasks: wire })

describe("a worker answers as Python's does, word for word", () => {
  const same = [
    "ping",
    "ping_all",
    "no_such_command",
    "heartbeat",
    "registered",
    "registered_info",
    "active_queues",
    "revoke",
    "revoke_list",
    "revoke_by_stamped_headers",
    "terminate",
    "rate_limit",
    "rate_limit_bad",
    "time_limit",
    "add_consumer",
    "two_add_consumer_full",
    "cancel_consumer",
    "pool_grow",
    "pool_restart",
    "autoscale"
  ]
  for (const of of same) {
    test(
      of,
      Effect.gen(function* () {
        yield* worker
        assert.deepStrictEqual(yield* fixture(of), pidbox(of).reply)
      })
    )
  }

  test(
    "and of task events, which only a worker that was started without them can be switched",
    Effect.gen(function* () {
      yield* worker
      yield* node("other@wire", { events: true })
      for (const of of [
        "two_enable_events",
        "two_enable_events_again",
        "two_disable_events",
        "two_disable_events_again"
      ]) {
        assert.deepStrictEqual(yield* fixture(of), pidbox(of).reply, of)
      }
      for (const of of ["enable_events", "disable_events"]) {
        const [answer] = yield* Stream.runCollect(Control.broadcast(of, {}, { destination: ["other@wire"] }))
        assert.deepStrictEqual(answer?.reply, pidbox(of).reply, of)
      }
    })
  )
})

describe("a worker shows what it has in Python's shapes", () => {
  for (const of of ["active", "active_safe", "reserved", "scheduled", "revoked", "query_task", "clock", "registered"]) {
    test(
      of,
      Effect.gen(function* () {
        yield* worker
        assert.deepStrictEqual(differences(yield* fixture(of), pidbox(of).reply), [])
      })
    )
  }

  test(
    "with the values of the requests",
    Effect.gen(function* () {
      yield* worker
      const [active] = (yield* ask("active")) as ReadonlyArray<Record<string, unknown>>
      const [python] = pidbox("active").reply as ReadonlyArray<Record<string, unknown>>
      assert.deepStrictEqual(active, { ...python, time_start: 1_795_227_607.812, worker_pid: 0 })
      const [safe] = (yield* fixture("active_safe")) as ReadonlyArray<Record<string, unknown>>
      assert.deepStrictEqual([safe!.args, safe!.kwargs], ["(25, 0)", "{}"])
      const reserved = yield* ask("dump_reserved")
      assert.deepStrictEqual(reserved, pidbox("reserved").reply)
      const [scheduled] = (yield* ask("dump_schedule")) as ReadonlyArray<Record<string, unknown>>
      assert.strictEqual(scheduled!.eta, "2026-11-21T02:33:28.812000+00:00")
      const found = (yield* ask("query_task", {
        ids: ["2361fac6-b6dd-44bf-9722-ccba1f90970c", "7ae231d2-e37d-4df7-beca-1c8fec4eb5d5", "nope"]
      })) as Record<string, ReadonlyArray<unknown>>
      assert.deepStrictEqual(
        Object.values(found).map(([state]) => state),
        ["reserved", "active"]
      )
    })
  )

  test(
    "stats, where the clock is a text, and without what the worker does not know",
    Effect.gen(function* () {
      yield* worker
      yield* TestClock.adjust("16 seconds")
      const stats = (yield* ask("stats")) as Record<string, Record<string, unknown>>
      for (const version of ["5.6.3", "5.2.6"] as const) {
        const python = pidbox("stats", version).reply as Record<string, Record<string, unknown>>
        // What is counted, what the pool is like and what the platform knows is another matter.
        const rest = { total: {}, pool: {}, rusage: {} }
        const { results_lost: _ours, ...wire } = stats
        const newer = version === "5.2.6" ? ["reply.broker.credential_provider is only in one of them"] : []
        assert.deepStrictEqual(differences({ ...wire, ...rest }, { ...python, ...rest }), newer)
        const { implementation: _new, ...pool } = stats.pool!
        assert.isTrue(Object.keys(pool).every((key) => Object.hasOwn(python.pool!, key)))
      }
      assert.deepStrictEqual([stats.total, stats.clock, stats.uptime, stats.prefetch_count, stats.rusage as unknown], [
        busy.totals,
        "1",
        16,
        8,
        "N/A"
      ] as ReadonlyArray<unknown>)
    })
  )

  test(
    "stats, with what the machine knows of the process, where it does",
    Effect.gen(function* () {
      yield* worker
      const stats = (yield* ask("stats")) as Record<string, unknown>
      const python = pidbox("stats").reply as Record<string, unknown>
      assert.deepStrictEqual(differences(stats.rusage, python.rusage), [])
    }).pipe(Effect.provide(layerHost))
  )

  test(
    "what the worker says for tasks that do not say it, where remote control has not said otherwise",
    Effect.gen(function* () {
      const settings = { profile: Profile.celery, timeLimit: "5 minutes", softTimeLimit: "4 minutes" } as const
      yield* node(name, { settings, tasks: ["wire.add"] })
      const shown = ask("registered", { taskinfoitems: ["time_limit", "soft_time_limit", "acks_late"] })
      assert.deepStrictEqual(yield* shown, ["wire.add [time_limit=300 soft_time_limit=240 acks_late=False]"])
      yield* ask("time_limit", { task_name: "wire.add", soft: 7 })
      assert.deepStrictEqual(yield* shown, ["wire.add [soft_time_limit=7 acks_late=False]"])
    })
  )

  test(
    "the limits that remote control gave a task",
    Effect.gen(function* () {
      yield* worker
      const shown = Effect.map(
        ask("dump_tasks", { taskinfoitems: ["rate_limit", "time_limit", "soft_time_limit", "acks_late"] }),
        (all) => (all as ReadonlyArray<string>)[0]
      )
      assert.strictEqual(yield* shown, "wire.add [acks_late=True]")
      yield* ask("rate_limit", { task_name: "wire.add", rate_limit: "100/m" })
      yield* ask("time_limit", { task_name: "wire.add", hard: 60, soft: 0.5 })
      assert.strictEqual(yield* shown, "wire.add [rate_limit=100/m time_limit=60 soft_time_limit=0.5 acks_late=True]")
      yield* ask("rate_limit", { task_name: "wire.add", rate_limit: 0 })
      yield* ask("time_limit", { task_name: "wire.add" })
      // As Python shows what it was told.
      assert.strictEqual(yield* shown, "wire.add [rate_limit=0 acks_late=True]")
    })
  )
})

describe("a worker does what it is told", () => {
  test(
    "to its requests",
    Effect.gen(function* () {
      const { calls } = yield* worker
      yield* ask("revoke", { task_id: "a" })
      yield* ask("revoke", { task_id: ["a", "b", "a"], terminate: true, signal: "KILL" })
      yield* ask("terminate", { signal: 9, task_id: ["a"] })
      yield* ask("revoke_by_stamped_headers", { headers: ["m=1"] })
      yield* ask("revoke_by_stamped_headers", { headers: { m: "1" }, terminate: true })
      yield* ask("revoke_by_stamped_headers", { headers: { m: [1, true] } })
      yield* ask("rate_limit", { task_name: "wire.add", rate_limit: "10/m" })
      yield* ask("time_limit", { task_name: "wire.add", hard: 60, soft: null })
      assert.deepStrictEqual(calls, [
        ["revoke", ["a"], undefined],
        ["revoke", ["a", "b"], { terminate: true, signal: "SIGKILL" }],
        ["revoke", ["a"], { terminate: true, signal: "SIGKILL" }],
        ["revokeByStampedHeaders", { m: ["1"] }, {}],
        ["revokeByStampedHeaders", { m: ["1"] }, { terminate: true, signal: "SIGTERM" }],
        ["revokeByStampedHeaders", { m: ["1", "true"] }, {}],
        ["rateLimit", "wire.add", "10/m"],
        ["timeLimit", "wire.add", { hard: 60, soft: null }]
      ])
    })
  )

  test(
    "and says which of the tasks that it was to end it has",
    Effect.gen(function* () {
      yield* worker
      const ids = ["nope", "7ae231d2-e37d-4df7-beca-1c8fec4eb5d5", "a9254af0-a7ad-460a-96a9-da1afb2323cc"]
      assert.deepStrictEqual(yield* ask("terminate", { signal: "SIGTERM", task_id: ids }), {
        ok: `terminate: ${ids[1]}, ${ids[2]}`
      })
      assert.deepStrictEqual(yield* ask("terminate", { signal: "SIGTERM", task_id: ["nope"] }), {
        ok: "terminate: tasks unknown"
      })
      assert.deepStrictEqual(yield* ask("revoke_by_stamped_headers", { headers: { m: ["1"] }, terminate: true }), {
        ok: "headers {'m': ['1']} revoked"
      })
    })
  )

  test(
    "lifts a rate limit, and says why one makes no sense, as Python does",
    Effect.gen(function* () {
      const { calls } = yield* worker
      yield* node("strict@wire", { script: { badRate: "no 'bogus'" }, tasks: ["wire.add"] })
      assert.deepStrictEqual(yield* ask("rate_limit", { task_name: "wire.add", rate_limit: 0 }), {
        ok: "rate limit disabled successfully"
      })
      assert.deepStrictEqual(calls, [["rateLimit", "wire.add", null]])
      const [refused] = yield* Control.rateLimit("wire.add", "bogus", { destination: ["strict@wire"], reply: true })
      assert.deepStrictEqual(refused?.reply, { error: `Invalid rate limit string: ValueError("no 'bogus'")` })
      const python = pidbox("rate_limit_invalid").reply as { readonly error: string }
      assert.match(python.error, /^Invalid rate limit string: ValueError\(".*'bogus'"\)$/)
    })
  )

  test(
    "shuts down warmly, without an answer",
    Effect.gen(function* () {
      const { shutdown } = yield* worker
      const answers = yield* Effect.forkChild(
        Stream.runCollect(Control.broadcast("shutdown", {}, { destination: [name] }))
      )
      yield* shutdown.reached("warm")
      yield* settle
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(yield* Fiber.join(answers), [])
      assert.strictEqual(shutdown.level(), "warm")
    })
  )
})

describe("what makes no sense is answered, and crashes nothing", () => {
  const tooLong = "x".repeat(1025)
  const cases: ReadonlyArray<readonly [string, Readonly<Record<string, unknown>>, RegExp]> = [
    ["revoke", {}, /^TypeError\("revoke\(\) missing 1 required positional argument: 'task_id'"\)$/],
    [
      "revoke",
      { task_id: 5 },
      /TypeError\("revoke\(\) argument 'task_id' should be a string or a list of strings, and is a number"\)/
    ],
    ["revoke", { task_id: ["a", null] }, /TypeError.*is a list/],
    ["revoke", { task_id: ["a", tooLong] }, /^ValueError.*'task_id' should have at most 1024 .* and one has 1025/],
    ["terminate", { task_id: tooLong, signal: "KILL" }, /^ValueError.*'task_id' should have at most 1024/],
    ["revoke_by_stamped_headers", { headers: { m: [tooLong] } }, /^ValueError.*'headers' should have at most 1024/],
    ["revoke_by_stamped_headers", { headers: [`${tooLong}=1`] }, /^ValueError.*'headers' should have at most 1024/],
    ["revoke", { task_id: "a", terminate: "yes" }, /TypeError.*'terminate' should be true or false/],
    ["revoke", { task_id: "a", signal: "SIGNOPE" }, /^ValueError\('there is no signal SIGNOPE/],
    ["revoke", { task_id: "a", signal: 99 }, /^ValueError\('there is no signal 99/],
    ["revoke", { task_id: "a", signal: ["KILL"] }, /^TypeError.*'signal' should be the name of a signal/],
    ["terminate", { task_id: "a" }, /^TypeError.*missing 1 required positional argument: 'signal'/],
    ["revoke_by_stamped_headers", {}, /^TypeError.*missing 1 required positional argument: 'headers'/],
    ["revoke_by_stamped_headers", { headers: "m=1" }, /^TypeError.*'headers' should be an object/],
    ["revoke_by_stamped_headers", { headers: { m: [{}] } }, /^TypeError.*'headers' should be an object/],
    ["revoke_by_stamped_headers", { headers: ["m"] }, /^ValueError.*should be header=value/],
    ["rate_limit", { task_name: "wire.add" }, /^TypeError.*missing 1 required positional argument: 'rate_limit'/],
    ["rate_limit", { task_name: ["x"], rate_limit: 1 }, /^TypeError.*'task_name' should be a string, and is a list/],
    ["rate_limit", { task_name: "wire.add", rate_limit: {} }, /^TypeError.*'rate_limit' should be a number/],
    ["time_limit", { task_name: "wire.add", hard: "60" }, /^TypeError.*'hard' should be a number of seconds/],
    ["time_limit", { task_name: "wire.add", soft: -1 }, /^ValueError.*'soft' should be at least 0 seconds/],
    ["time_limit", { hard: 1 }, /^unknown task$/],
    ["active", { safe: 1 }, /^TypeError.*'safe' should be true or false/],
    ["query_task", {}, /^TypeError.*'ids'/],
    ["registered", { taskinfoitems: 7 }, /^TypeError.*'taskinfoitems'/],
    ["hasOwnProperty", {}, /^KeyError\('hasOwnProperty'\)$/],
    ["__proto__", {}, /^KeyError\('__proto__'\)$/],
    ["add_consumer", {}, /^TypeError.*missing 1 required positional argument: 'queue'/],
    ["add_consumer", { queue: "" }, /^ValueError.*a queue has no name/],
    ["add_consumer", { queue: "q", durabel: true }, /^ValueError.*there is no durabel. Did you mean durable\?/],
    ["add_consumer", { queue: "q", exchange_type: 7 }, /^ValueError.*exchange_type takes a name/],
    ["cancel_consumer", { queue: null }, /^TypeError.*'queue' should be a string, and is null/],
    ["pool_grow", { n: 0 }, /^ValueError.*'n' should be a whole number, at least 1, and is 0/],
    ["pool_grow", { n: "2" }, /^TypeError.*'n' should be a whole number, and is a string/],
    ["pool_grow", { n: 1e9 }, /^ValueError.*Can't grow pool. It has 2, and takes 100000 at most/],
    ["pool_shrink", { n: 2 }, /^ValueError.*Can't shrink pool. It has 2, and keeps one/],
    ["pool_restart", { reload: true }, /^ValueError\('Pool restarts not enabled'\)$/],
    ["autoscale", { max: 3, min: 1 }, /^ValueError\('Autoscale not enabled'\)$/],
    ["conf", { with_defaults: "yes" }, /^TypeError.*'with_defaults' should be true or false/],
    ["objgraph", { num: 1 }, /^ImportError\('Requires the objgraph library'\)$/],
    ["hello", { revoked: {} }, /^TypeError.*missing 1 required positional argument: 'from_node'/],
    ["election", { id: "e", topic: "task" }, /^KeyError\('election'\)$/]
  ]
  for (const [method, args, text] of cases) {
    test(
      `${method} ${JSON.stringify(args).replace(tooLong, "<1025>")}`,
      Effect.gen(function* () {
        const { calls } = yield* worker
        const reply = yield* ask(method, args)
        assert.isTrue(Control.isFailed(reply))
        assert.match((reply as Control.Failed).error, text)
        assert.deepStrictEqual(calls, [])
        assert.deepStrictEqual(yield* ask("ping"), { ok: "pong" })
      })
    )
  }
})

describe("the panel", () => {
  test(
    "takes commands of your own, and another one in place of Celery's, for as long as their layer is there",
    Effect.gen(function* () {
      const Commands = Layer.mergeAll(
        Panel.command("greet", ({ who }) => Effect.succeed({ ok: `hello ${String(who)}` })),
        Panel.command("ping", () => Effect.succeed({ ok: "PONG" })),
        Panel.command("quiet", () => Effect.succeed(Mailbox.noReply)),
        Panel.command("broken", () => Effect.fail(new OutOfPaper({ message: "it's A4" }))),
        Panel.command("thrown", (): Effect.Effect<unknown> => {
          throw new TypeError("no")
        })
      )
      yield* node(name, { commands: Commands })
      assert.deepStrictEqual(yield* ask("greet", { who: "you" }), { ok: "hello you" })
      assert.deepStrictEqual(yield* ask("ping"), { ok: "PONG" })
      assert.deepStrictEqual(yield* ask("broken"), { error: `OutOfPaper("it's A4")` })
      assert.deepStrictEqual(yield* ask("thrown"), { error: `TypeError('no')` })
    })
  )

  test(
    "gives a name back to the handler that had it",
    Effect.gen(function* () {
      const panel = yield* Panel
      const first = () => Effect.succeed(1)
      yield* panel.register("count", first)
      yield* Effect.scoped(
        Effect.gen(function* () {
          yield* Layer.build(Panel.command("count", () => Effect.succeed(2)))
          assert.strictEqual(yield* panel.handle("count", {}), 2)
        })
      )
      assert.strictEqual(yield* panel.handle("count", {}), 1)
      assert.deepStrictEqual(panel.names(), ["count"])
      yield* panel.unregister("count", first)
      assert.deepStrictEqual(panel.names(), [])
    }).pipe(Effect.provide(Panel.layer))
  )

  test(
    "is not there on a worker whose queue the broker refuses: it does not start",
    Effect.gen(function* () {
      const connection = yield* Connection
      yield* connection.declare({ queues: [Queue.make(`${name}.celery.pidbox`)] })
      const error = yield* Effect.flip(Effect.scoped(node(name)))
      assert.strictEqual(error.reason._tag, "ChannelClosed")
    })
  )

  test(
    "executes in the order of sending, and leaves a flood with the broker",
    Effect.gen(function* () {
      const connection = yield* Connection
      const gate = yield* Deferred.make<void>()
      const done: Array<unknown> = []
      const slow = Panel.command("slow", ({ n }) =>
        Effect.andThen(
          Deferred.await(gate),
          Effect.sync(() => void done.push(n))
        )
      )
      yield* node(name, { commands: slow })
      for (let n = 0; n < 1000; n++) yield* Control.cast("slow", { n })
      yield* settle
      const queue = {
        name: `${name}.celery.pidbox`,
        durable: false,
        exclusive: false,
        autoDelete: true,
        arguments: {},
        bindings: []
      }
      const waiting = connection.use((channel) =>
        Effect.map(channel.queueDeclare(queue, { passive: true }), ({ messageCount }) => messageCount)
      )
      assert.isAtLeast(yield* waiting, 890)
      yield* Deferred.succeed(gate, undefined)
      while (done.length < 1000) yield* Effect.yieldNow
      assert.deepStrictEqual(
        done,
        Array.from({ length: 1000 }, (_, n) => n)
      )
    })
  )
})
