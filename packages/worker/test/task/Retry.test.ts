import * as Message from "@apium/hub/Message"
import * as TaskMessage from "@apium/protocol/celery/TaskMessage"
import { Client } from "@apium/worker/client/Client"
import * as Retry from "@apium/worker/task/Retry"
import * as Task from "@apium/worker/task/Task"
import { TaskContext } from "@apium/worker/task/TaskContext"
import * as TaskError from "@apium/worker/task/TaskError"
import { Tasks } from "@apium/worker/task/Tasks"
import { assert, describe, it } from "@effect/vitest"
import { Data, Duration, Effect, Exit, Option, Queue, Random, Result, Schedule, Schema, Scope, Stream } from "effect"
import { TestClock } from "effect/testing"
import { bodyOf, cut, headers, inject, json, settle, start, stored, takeAll, test, waiting } from "../support/World.ts"

const delays = (policy: Retry.RetryPolicy, count: number) =>
  Effect.map(
    Effect.forEach(
      Array.from({ length: count }, (_, retries) => retries),
      policy.delay
    ),
    (durations) => durations.map((duration) => Duration.toMillis(duration))
  )

describe("policies", () => {
  it.effect("exponential doubles from the base to the cap, and stays there for ever", () =>
    Effect.gen(function* () {
      const policy = Retry.exponential({ maxRetries: "forever", base: "1 second", cap: "10 seconds", jitter: "none" })
      assert.deepStrictEqual(yield* delays(policy, 6), [1000, 2000, 4000, 8000, 10_000, 10_000])
      for (const retries of [1100, 1e6, Number.MAX_SAFE_INTEGER]) {
        assert.strictEqual(Duration.toMillis(yield* policy.delay(retries)), 10_000)
      }
    })
  )

  it.effect("full jitter takes any share of that, is the default, and never leaves the bounds", () =>
    Effect.gen(function* () {
      const policy = Retry.exponential({ maxRetries: 5, base: "1 second", cap: "10 seconds" })
      const shares: Array<number> = []
      for (let round = 0; round < 500; round++) {
        const [first, , , , fifth] = yield* delays(policy, 5)
        assert.isTrue(first! >= 0 && first! < 1000 && fifth! >= 0 && fifth! < 10_000)
        shares.push(fifth! / 10_000)
      }
      assert.isTrue(Math.min(...shares) < 0.1 && Math.max(...shares) > 0.9)
    }).pipe(Random.withSeed("jitter"))
  )

  it.effect("fixed waits the same time every time", () =>
    Effect.gen(function* () {
      const policy = Retry.fixed({ maxRetries: 3, delay: "250 millis" })
      assert.deepStrictEqual(yield* delays(policy, 3), [250, 250, 250])
    })
  )

  it("maxRetries, while and unless decide whether there is another try", () => {
    class Final extends Data.TaggedError("Final") {}
    const policy = Retry.fixed({ maxRetries: 2, delay: 0, while: Retry.unless("Final", "TypeError") })
    assert.isTrue(Retry.allows(policy, 1, new Error("again")))
    assert.isFalse(Retry.allows(policy, 2, new Error("again")))
    assert.isFalse(Retry.allows(policy, 0, new Final()))
    assert.isFalse(Retry.allows(policy, 0, new TypeError("no")))
    assert.isTrue(Retry.allows(policy, 0, "a text"))
    assert.isTrue(Retry.allows(policy, 0, null))
    assert.isTrue(Retry.allows(Retry.fixed({ maxRetries: "forever", delay: 0 }), 1e9, undefined))
  })
})

describe("fromSchedule", () => {
  it.effect("replays the schedule as many steps as there were retries", () =>
    Effect.gen(function* () {
      const policy = Retry.fromSchedule(Schedule.exponential("100 millis"), { maxRetries: 5 })
      assert.strictEqual(policy.maxRetries, 5)
      assert.deepStrictEqual(yield* delays(policy, 5), [100, 200, 400, 800, 1600])
      // Asked again, or in another order, it says the same: nothing is remembered.
      assert.strictEqual(Duration.toMillis(yield* policy.delay(1)), 200)
      const fibonacci = Retry.fromSchedule(Schedule.fibonacci("10 millis"), { maxRetries: "forever" })
      assert.deepStrictEqual(yield* delays(fibonacci, 6), [10, 10, 20, 30, 50, 80])
    })
  )

  it.effect("a schedule that ends limits the retries, and one after another are one", () =>
    Effect.gen(function* () {
      const twice = Schedule.spaced("1 second").pipe(Schedule.upTo({ times: 2 }))
      const policy = Retry.fromSchedule(Schedule.concat(twice, Schedule.spaced("1 minute")), { maxRetries: 4 })
      assert.deepStrictEqual(yield* delays(policy, 4), [1000, 1000, 60_000, 60_000])
      assert.strictEqual(Retry.fromSchedule(twice, { maxRetries: "forever" }).maxRetries, 2)
      assert.strictEqual(Retry.fromSchedule(twice, { maxRetries: 1 }).maxRetries, 1)
      assert.strictEqual(Retry.fromSchedule(Schedule.recurs(0), { maxRetries: 9 }).maxRetries, 0)
      const late = Retry.fromSchedule(Schedule.recurs(150), { maxRetries: "forever" })
      assert.strictEqual(late.maxRetries, "forever")
      assert.strictEqual(Duration.toMillis(yield* late.delay(500)), 0)
    })
  )

  it.effect("jitter is drawn anew for each retry", () =>
    Effect.gen(function* () {
      const policy = Retry.fromSchedule(Schedule.jittered(Schedule.spaced("1 second")), { maxRetries: 3 })
      const drawn = new Set(
        yield* Effect.forEach(Array.from({ length: 20 }), () => Effect.map(policy.delay(2), Duration.toMillis))
      )
      assert.isTrue(drawn.size > 10)
      for (const delay of drawn) assert.isTrue(delay >= 800 && delay <= 1200)
    })
  )

  it("keeps its condition", () => {
    const policy = Retry.fromSchedule(Schedule.forever, { maxRetries: 1, while: (error) => error === 1 })
    assert.isTrue(Retry.allows(policy, 0, 1))
    assert.isFalse(Retry.allows(policy, 0, 2))
  })

  it.each([
    ["during", Schedule.spaced("1 second").pipe(Schedule.upTo({ duration: "1 hour" }))],
    ["during a year", Schedule.max([Schedule.spaced("1 second"), Schedule.during("365 days")])],
    ["fixed", Schedule.fixed("1 minute")],
    ["windowed", Schedule.windowed("1 minute")],
    ["cron", Schedule.cron("0 4 * * *")]
  ] as const)("refuses %s: it depends on elapsed time or the time of day", (_, schedule) => {
    assert.throws(
      () =>
        Retry.fromSchedule(
          Schedule.map(schedule as Schedule.Schedule<unknown>, () => Effect.void),
          { maxRetries: 5 }
        ),
      Retry.ScheduleRefused
    )
  })

  it("refuses one that reads its input, or waits for something", () => {
    const reading = Schedule.fromStepWithMetadata(
      Effect.succeed((step: Schedule.InputMetadata<unknown>) =>
        Effect.succeed([0, Duration.millis((step.input as { readonly wait: number }).wait)] as [
          number,
          Duration.Duration
        ])
      )
    )
    const waits = Schedule.tap(Schedule.forever, () => Effect.yieldNow)
    const sleeps = Schedule.tap(Schedule.forever, () => Effect.never)
    for (const schedule of [reading, sleeps]) {
      assert.throws(() => Retry.fromSchedule(schedule, { maxRetries: 5 }), Retry.ScheduleRefused)
    }
    assert.doesNotThrow(() => Retry.fromSchedule(waits, { maxRetries: 5 }))
  })
})

const policy = Retry.fixed({ maxRetries: 3, delay: "10 seconds" })
const flaky = Task.make("proj.flaky", { params: { until: Schema.Number }, result: Schema.Number, retry: policy })

class Refused extends Schema.TaggedError<Refused>()("Refused", { code: Schema.Number }) {}

describe("a worker", () => {
  test(
    "runs a task again until it succeeds: same id, one retry more each time, and as its own parent where it had none",
    Effect.gen(function* () {
      const seen: Array<readonly [string, number, string | undefined, string]> = []
      yield* start(
        {},
        Tasks.handle(flaky, ({ until }) =>
          Effect.gen(function* () {
            const { id, retries, parentId, rootId } = yield* TaskContext
            seen.push([id, retries, parentId._tag === "Some" ? parentId.value : undefined, rootId])
            return retries < until ? yield* Effect.die(new Error("not yet")) : retries
          })
        )
      )
      const result = yield* flaky.delay({ until: 2 })
      yield* settle
      assert.strictEqual(yield* result.state, "RETRY")
      yield* TestClock.adjust("10 seconds")
      yield* settle
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual(yield* result.get, 2)
      assert.deepStrictEqual(seen, [
        [result.id, 0, undefined, result.id],
        [result.id, 1, result.id, result.id],
        [result.id, 2, result.id, result.id]
      ])
    })
  )

  test(
    "runs a step of a chain again with the parent that it had",
    Effect.gen(function* () {
      const parents: Array<string | null> = []
      yield* start(
        {},
        Tasks.handle(flaky, ({ until }) =>
          Effect.gen(function* () {
            const { parentId, retries } = yield* TaskContext
            parents.push(Option.getOrNull(parentId))
            return retries < until ? yield* Effect.die(new Error("not yet")) : retries
          })
        )
      )
      const step = headers("proj.flaky", "step", { root_id: "first", parent_id: "before" })
      yield* inject(json('[[], {"until": 2}, {}]', step))
      for (let run = 0; run < 3; run++) {
        yield* settle
        yield* TestClock.adjust("10 seconds")
      }
      assert.deepStrictEqual(parents, ["before", "before", "before"])
    })
  )

  test(
    "sends a retry with an eta and the application's headers, without what a broker wrote, and in plain JSON",
    Effect.gen(function* () {
      const worker = yield* Scope.fork(yield* Effect.scope)
      yield* start(
        {},
        Tasks.handle(flaky, () => Effect.die(new Error("no")))
      ).pipe(Scope.provide(worker))
      yield* inject(
        Message.make(
          json(`[[5], {}, null]`).body,
          {
            contentType: "application/json",
            contentEncoding: "utf-8",
            priority: 3,
            replyTo: "reply-queue",
            correlationId: "t1",
            expiration: "100000"
          },
          {
            ...headers("proj.flaky", "t1", {
              shadow: "alias",
              group: "g",
              group_index: 4,
              timelimit: [5, 3],
              stamps: { a: 1 }
            }),
            "x-tenant": "acme",
            traceparent: "00-1",
            "x-death": [{ queue: "celery", count: 1 }],
            "x-first-death-queue": "celery",
            "x-first-death-exchange": "",
            "x-first-death-reason": "expired",
            "x-last-death-queue": "celery",
            "x-delivery-count": 2
          }
        )
      )
      yield* settle
      assert.strictEqual((yield* stored("t1"))?.status, "RETRY")
      yield* Scope.close(worker, Exit.void)
      assert.strictEqual(yield* waiting("celery"), 0)
      yield* TestClock.adjust("10 seconds")
      const [retried, ...others] = yield* takeAll("celery")
      assert.deepStrictEqual(others, [])
      const wire = retried!.message
      assert.deepStrictEqual(wire.headers, {
        ...headers("proj.flaky", "t1", {
          shadow: "alias",
          group: "g",
          group_index: 4,
          timelimit: [5, 3],
          stamps: { a: 1 }
        }),
        retries: 1,
        parent_id: "t1",
        eta: "1970-01-01T00:00:10+00:00",
        "x-tenant": "acme",
        traceparent: "00-1"
      })
      assert.deepStrictEqual(yield* bodyOf(retried!), [
        [5],
        {},
        { callbacks: null, errbacks: null, chain: null, chord: null }
      ])
      assert.strictEqual(wire.properties.priority, 3)
      assert.strictEqual(wire.properties.replyTo, "reply-queue")
      assert.strictEqual(wire.properties.correlationId, "t1")
      assert.strictEqual(wire.properties.deliveryMode, "persistent")
    })
  )

  test(
    "a compressed message is retried, its header gone with its compression",
    Effect.gen(function* () {
      const runs = yield* Queue.unbounded<number>()
      yield* start(
        {},
        Tasks.handle(flaky, ({ until }) =>
          Effect.flatMap(TaskContext, ({ retries }) =>
            Effect.andThen(Queue.offer(runs, retries), retries < until ? Effect.die("again") : Effect.succeed(7))
          )
        )
      )
      const result = yield* flaky.applyAsync({ until: 1 }, { compression: "zlib" })
      // Inflating takes real time.
      yield* Stream.runDrain(Stream.takeUntil(result.changes, ({ state }) => state === "RETRY"))
      yield* settle
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual(yield* result.get, 7)
      assert.deepStrictEqual(yield* Queue.takeAll(runs), [0, 1])
    })
  )

  test(
    "gives up after the last retry with the error of the last run",
    Effect.gen(function* () {
      let runs = 0
      yield* start(
        {},
        Tasks.handle(flaky, () => Effect.die(new Error(`run ${++runs}`)))
      )
      const result = yield* flaky.delay({ until: 0 })
      for (let retry = 0; retry < 3; retry++) {
        yield* settle
        yield* TestClock.adjust("10 seconds")
      }
      const error = yield* Effect.flip(result.get)
      assert.instanceOf(error, TaskError.TaskFailed)
      assert.deepStrictEqual([error.state, error.excType, error.excMessage], ["FAILURE", "Error", ["run 4"]])
      assert.strictEqual(runs, 4)
      assert.strictEqual(yield* waiting("celery"), 0)
    })
  )

  test(
    "an error that is final is not tried again, and neither are arguments that do not fit",
    Effect.gen(function* () {
      const picky = Task.make("proj.picky", {
        params: { x: Schema.Number },
        error: Refused,
        retry: Retry.fixed({ maxRetries: 3, delay: 0, while: Retry.unless("Refused") })
      })
      let runs = 0
      yield* start(
        {},
        Tasks.handle(picky, () =>
          Effect.andThen(
            Effect.sync(() => void runs++),
            Effect.fail(new Refused({ code: 4 }))
          )
        )
      )
      const error = yield* Effect.flip((yield* picky.delay({ x: 1 })).get)
      assert.deepStrictEqual(error, new Refused({ code: 4 }))
      assert.strictEqual(runs, 1)
      const client = yield* Client
      const misfit = yield* Effect.flip((yield* client.sendTask("proj.picky", ["text"], {})).get)
      assert.instanceOf(misfit, TaskError.TaskFailed)
      assert.strictEqual(misfit.excType, "TypeError")
      const missing = yield* Effect.flip((yield* client.sendTask("proj.picky", [], {})).get)
      assert.instanceOf(missing, TaskError.TaskFailed)
      assert.deepStrictEqual(missing.excMessage, ["picky() missing 1 required positional argument: 'x'"])
      assert.strictEqual(runs, 1)
    })
  )

  test(
    "a policy that throws is a failure of the task, and not a loop",
    Effect.gen(function* () {
      const broken = Task.make("proj.broken", {
        params: {},
        retry: {
          maxRetries: 3,
          delay: () => Effect.die(new Error("delay broke")),
          while: () => true
        }
      })
      const brokenWhile = Task.make("proj.brokenWhile", {
        params: {},
        retry: Retry.fixed({
          maxRetries: 3,
          delay: 0,
          while: () => {
            throw new Error("while broke")
          }
        })
      })
      yield* start(
        {},
        Tasks.handle(broken, () => Effect.die("x")),
        Tasks.handle(brokenWhile, () => Effect.die("x"))
      )
      const one = yield* Effect.flip((yield* broken.delay({})).get)
      const two = yield* Effect.flip((yield* brokenWhile.delay({})).get)
      assert.deepStrictEqual(
        [one, two].map((error) => (error._tag === "TaskFailed" ? error.excMessage : [])),
        [["delay broke"], ["while broke"]]
      )
    })
  )

  test(
    "a retry is a message in the broker: it outlives the worker that asked for it, and a lost link",
    Effect.gen(function* () {
      const first = yield* Scope.fork(yield* Effect.scope)
      yield* start(
        {},
        Tasks.handle(flaky, () => Effect.die("again"))
      ).pipe(Scope.provide(first))
      const result = yield* flaky.delay({ until: 1 })
      yield* settle
      yield* Scope.close(first, Exit.void)
      yield* cut
      yield* TestClock.adjust("9999 millis")
      assert.strictEqual(yield* waiting("celery"), 0)
      yield* start(
        {},
        Tasks.handle(flaky, () => Effect.succeed(1))
      )
      yield* settle
      assert.isFalse(yield* result.ready)
      yield* TestClock.adjust("1 millis")
      assert.strictEqual(yield* result.get, 1)
    })
  )
})

describe("Retry.again", () => {
  const asking = Task.make("proj.asking", { params: { how: Schema.String } })

  const etas = Effect.map(takeAll("celery"), (deliveries) => deliveries.map(({ message }) => message.headers.eta))

  const ask = (again: Effect.Effect<never, TaskError.RetryRequested>, task = asking) =>
    Effect.gen(function* () {
      const worker = yield* Scope.fork(yield* Effect.scope)
      yield* start(
        {},
        Tasks.handle(task, () => again)
      ).pipe(Scope.provide(worker))
      const result = yield* task.delay({ how: "" })
      yield* settle
      yield* Scope.close(worker, Exit.void)
      yield* TestClock.adjust("1 hour")
      return result
    })

  test(
    "waits Celery's 180 seconds when nobody says how long",
    Effect.gen(function* () {
      const result = yield* ask(Retry.again())
      assert.strictEqual(yield* result.state, "RETRY")
      assert.deepStrictEqual(yield* etas, ["1970-01-01T00:03:00+00:00"])
    })
  )

  test(
    "waits the countdown, or until the eta, or what the task's policy says",
    Effect.gen(function* () {
      yield* ask(Retry.again({ countdown: "7 seconds" }))
      assert.deepStrictEqual(yield* etas, ["1970-01-01T00:00:07+00:00"])
      yield* ask(Retry.again({ eta: new Date(3_700_000) }))
      assert.deepStrictEqual(yield* etas, ["1970-01-01T01:01:40+00:00"])
      const own = Task.make("proj.asking", { params: { how: Schema.String }, retry: policy })
      yield* ask(Retry.again(), own)
      assert.deepStrictEqual(yield* etas, ["1970-01-01T02:00:10+00:00"])
    })
  )

  test(
    "fails with the cause when it was tried often enough, and with MaxRetriesExceededError without one",
    Effect.gen(function* () {
      const cause = new Error("the real one")
      const one = yield* Effect.flip((yield* ask(Retry.again({ maxRetries: 0, cause }))).get)
      const two = yield* Effect.flip((yield* ask(Retry.again({ maxRetries: 0 }))).get)
      assert.deepStrictEqual(
        [one, two].map((error) => (error._tag === "TaskFailed" ? [error.excType, error.excModule] : [])),
        [
          ["Error", "apium"],
          ["MaxRetriesExceededError", "celery.exceptions"]
        ]
      )
      assert.strictEqual(yield* waiting("celery"), 0)
    })
  )

  test(
    "is limited by Celery's three retries, by the policy's, or by its own",
    Effect.gen(function* () {
      const client = yield* Client
      const runs: Array<string> = []
      const counted = Task.make("proj.counted", { params: {} })
      const own = Task.make("proj.own", { params: {}, retry: Retry.fixed({ maxRetries: 5, delay: "1 second" }) })
      const run = Effect.flatMap(TaskContext, ({ name }) => Effect.sync(() => void runs.push(name)))
      yield* start(
        {},
        Tasks.handle(counted, () => Effect.andThen(run, Retry.again({ countdown: "1 second" }))),
        Tasks.handle(own, () => Effect.andThen(run, Retry.again()))
      )
      const results = [yield* client.send(counted, {}), yield* client.send(own, {})]
      for (let second = 0; second < 10; second++) {
        yield* settle
        yield* TestClock.adjust("1 second")
      }
      yield* settle
      for (const result of results) assert.strictEqual(yield* result.state, "FAILURE")
      assert.strictEqual(runs.filter((name) => name === "proj.counted").length, 4)
      assert.strictEqual(runs.filter((name) => name === "proj.own").length, 6)
    })
  )

  test(
    "a time that is none is a failure the caller sees",
    Effect.gen(function* () {
      for (const again of [
        Retry.again({ countdown: Duration.infinity }),
        Effect.suspend(() => Retry.again({ eta: new Date(Number.NaN) })),
        Retry.again({ eta: new Date(8.64e15) })
      ]) {
        const result = yield* ask(again)
        assert.strictEqual(yield* result.state, "FAILURE")
        assert.strictEqual(yield* waiting("celery"), 0)
      }
    })
  )

  test(
    "stores the state RETRY with the cause, and itself as the one child",
    Effect.gen(function* () {
      const result = yield* ask(Retry.again({ cause: new Refused({ code: 1 }) }))
      const message = yield* stored(result.id)
      assert.isDefined(message)
      assert.strictEqual(message.status, "RETRY")
      assert.strictEqual((message.result as { readonly exc_type: string }).exc_type, "Refused")
      assert.deepStrictEqual(message.children, [{ id: result.id, parent: null, children: null }])
      assert.isNull(message.dateDone)
    })
  )
})

it("every time a retry can be at survives its header", () => {
  for (const at of [0, 1, 999, 1_234_567_890_123]) {
    assert.strictEqual(Result.getOrThrow(TaskMessage.parseEta(TaskMessage.formatEta(at))), at)
  }
})
