import { MemoryBroker } from "@apium/hub/memory/MemoryTransport"
import * as Queue from "@apium/hub/Queue"
import { Client } from "@apium/worker/client/Client"
import * as Signature from "@apium/worker/client/Signature"
import * as Profile from "@apium/worker/Profile"
import * as Retry from "@apium/worker/task/Retry"
import * as Task from "@apium/worker/task/Task"
import { TaskContext } from "@apium/worker/task/TaskContext"
import { Tasks } from "@apium/worker/task/Tasks"
import * as TestWorker from "@apium/worker/testing/TestWorker"
import { Worker } from "@apium/worker/Worker"
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Fiber, Layer, Schema } from "effect"
import { TestClock } from "effect/testing"
import { headers, inject, json } from "../support/World.ts"

const add = Task.make("proj.add", { params: { x: Schema.Number, y: Schema.Number }, result: Schema.Number })
const AddLive = Tasks.handle(add, ({ x, y }) => Effect.succeed(x + y))

const nap = Task.make("proj.nap", { params: { seconds: Schema.Number } })
const NapLive = Tasks.handle(nap, ({ seconds }) => Effect.sleep(seconds * 1000))

const flaky = Task.make("proj.flaky", {
  params: {},
  result: Schema.Number,
  retry: Retry.fixed({ maxRetries: 5, delay: "10 seconds" })
})
const FlakyLive = Tasks.handle(flaky, () =>
  Effect.flatMap(TaskContext, ({ retries }) => (retries < 2 ? Effect.die("not yet") : Effect.succeed(retries)))
)

const spread = Task.make("proj.spread", { params: { width: Schema.Number, depth: Schema.Number } })
const SpreadLive = Tasks.handle(spread, ({ width, depth }) =>
  depth === 0
    ? Effect.void
    : Effect.forEach(Array.from({ length: width }), () => spread.delay({ width, depth: depth - 1 }), { discard: true })
)

const { TestWorker: Helpers } = TestWorker

describe("a worker for tests", () => {
  it.effect("is a client, a broker, results and a worker in one layer", () =>
    Effect.gen(function* () {
      const result = yield* add.delay({ x: 2, y: 3 })
      assert.strictEqual(yield* result.get, 5)
      assert.strictEqual((yield* Worker).nodename, "celery@localhost")
    }).pipe(Effect.provide(TestWorker.layer({ handlers: [AddLive] })))
  )

  it.effect("tells which states a task went through, in order", () =>
    Effect.gen(function* () {
      const worker = yield* Helpers
      const result = yield* flaky.delay({})
      yield* worker.idle
      assert.deepStrictEqual(yield* worker.states(result.id), ["RETRY"])
      yield* TestClock.adjust("10 seconds")
      yield* TestClock.adjust("10 seconds")
      yield* worker.idle
      assert.deepStrictEqual(yield* worker.states(result.id), ["RETRY", "RETRY", "SUCCESS"])
      assert.strictEqual(yield* result.get, 2)
      assert.deepStrictEqual(yield* worker.states("nobody"), [])
    }).pipe(Effect.provide(TestWorker.layer({ handlers: [FlakyLive] })))
  )

  it.effect("gives its handlers the client, and whatever else they need comes from the test", () => {
    class Greeting extends Context.Service<Greeting, string>()("test/Greeting") {}
    const greet = Task.make("proj.greet", { params: {}, result: Schema.String })
    const outer = Task.make("proj.outer", { params: {}, result: Schema.Number })
    const handlers = [
      AddLive,
      Tasks.handle(greet, () => Effect.map(Greeting, (text) => text)),
      Tasks.handle(outer, () => Effect.flatMap(add.delay({ x: 1, y: 1 }), (sum) => Effect.orDie(sum.get)))
    ]
    return Effect.gen(function* () {
      assert.strictEqual(yield* (yield* greet.delay({})).get, "hello")
      assert.strictEqual(yield* (yield* outer.delay({})).get, 2)
    }).pipe(
      Effect.provide(
        TestWorker.layer({ handlers, concurrency: 2 }).pipe(Layer.provide(Layer.succeed(Greeting, "hello")))
      )
    )
  })

  it.effect("is another one each time, and forgets what was in it", () =>
    Effect.gen(function* () {
      const layer = TestWorker.layer({ handlers: [], queues: [] })
      const once = Effect.gen(function* () {
        yield* add.delay({ x: 1, y: 2 })
        return (yield* (yield* Helpers).waiting()).length
      }).pipe(Effect.provide(layer))
      assert.strictEqual(yield* once, 1)
      assert.strictEqual(yield* once, 1)
    })
  )
})

describe("idle", () => {
  const profiles = Object.entries({ durable: Profile.durable, celery: Profile.celery, fast: Profile.fast })

  for (const [name, profile] of profiles) {
    it.effect(`waits for all that was sent, and for what that sent in turn (${name})`, () =>
      Effect.gen(function* () {
        const worker = yield* Helpers
        let ended = 0
        const count = Tasks.handle(add, () =>
          Effect.andThen(
            Effect.yieldNow,
            Effect.sync(() => ++ended)
          )
        )
        yield* Layer.build(count)
        const client = yield* Client
        yield* client.sendAll(
          add,
          Array.from({ length: 500 }, (_, x) => ({ x, y: 0 }))
        )
        yield* worker.idle
        assert.strictEqual(ended, 500)
        yield* spread.delay({ width: 3, depth: 5 })
        yield* worker.idle
        const sum = Signature.si(add, { x: 0, y: 0 })
        const result = yield* add.applyAsync({ x: 0, y: 0 }, { link: sum })
        yield* worker.idle
        assert.strictEqual(ended, 502)
        assert.deepStrictEqual(yield* worker.states(result.id), ["SUCCESS"])
        assert.deepStrictEqual(yield* worker.waiting(), [])
      }).pipe(
        Effect.provide(TestWorker.layer({ handlers: [AddLive, SpreadLive], profile, concurrency: 4 })),
        Effect.scoped
      )
    )
  }

  it.effect("does not wait for what the worker took and put off", () =>
    Effect.gen(function* () {
      const worker = yield* Helpers
      // Sent as Python sends it: the broker hears of no time.
      yield* inject(json("[[1, 1], {}, null]", headers("proj.add", "put-off", { eta: "1970-01-01T01:00:00+00:00" })))
      yield* worker.idle
      assert.deepStrictEqual(yield* worker.states("put-off"), [])
      yield* TestClock.adjust("1 hour")
      yield* worker.idle
      assert.deepStrictEqual(yield* worker.states("put-off"), ["SUCCESS"])
    }).pipe(Effect.provide(TestWorker.layer({ handlers: [AddLive] })))
  )

  it.effect("returns at once where nothing was sent", () =>
    Effect.flatMap(Helpers, ({ idle }) => idle).pipe(Effect.provide(TestWorker.layer({ handlers: [] })))
  )

  for (const [name, profile] of profiles) {
    it.effect(`waits for a handler that sleeps, until the clock is moved (${name})`, () =>
      Effect.gen(function* () {
        const worker = yield* Helpers
        const result = yield* nap.delay({ seconds: 60 })
        const waiting = yield* Effect.forkChild(worker.idle)
        yield* TestClock.adjust("59 seconds")
        assert.isUndefined(waiting.pollUnsafe())
        assert.deepStrictEqual(yield* worker.states(result.id), [])
        yield* TestClock.adjust("1 second")
        yield* Fiber.join(waiting)
        assert.deepStrictEqual(yield* worker.states(result.id), ["SUCCESS"])
      }).pipe(Effect.provide(TestWorker.layer({ handlers: [NapLive], profile })))
    )

    it.effect(`does not wait for what is not due, whoever keeps it, and does once it is (${name})`, () =>
      Effect.gen(function* () {
        const worker = yield* Helpers
        const soon = yield* add.applyAsync({ x: 1, y: 1 }, { countdown: "500 millis" })
        const later = yield* add.applyAsync({ x: 1, y: 1 }, { countdown: "1 hour" })
        yield* worker.idle
        assert.deepStrictEqual([yield* worker.states(soon.id), yield* worker.states(later.id)], [[], []])
        yield* TestClock.adjust("500 millis")
        yield* worker.idle
        assert.deepStrictEqual([yield* worker.states(soon.id), yield* worker.states(later.id)], [["SUCCESS"], []])
        yield* TestClock.adjust("1 hour")
        yield* worker.idle
        assert.deepStrictEqual(yield* worker.states(later.id), ["SUCCESS"])
      }).pipe(Effect.provide(TestWorker.layer({ handlers: [AddLive], profile })))
    )
  }

  it.effect("waits for what a lost link gave back", () =>
    Effect.gen(function* () {
      const worker = yield* Helpers
      const client = yield* Client
      const results = yield* client.sendAll(nap, [{ seconds: 10 }, { seconds: 10 }])
      yield* TestClock.adjust("5 seconds")
      yield* (yield* MemoryBroker).disconnect
      const waiting = yield* Effect.forkChild(worker.idle)
      yield* TestClock.adjust("1 minute")
      yield* Fiber.join(waiting)
      for (const { id } of results) assert.strictEqual((yield* worker.states(id)).at(-1), "SUCCESS")
    }).pipe(Effect.provide(TestWorker.layer({ handlers: [NapLive] })))
  )

  it.effect("does not wait for a worker that has stopped", () =>
    Effect.gen(function* () {
      const worker = yield* Helpers
      const { shutdown, stopped } = yield* Worker
      yield* shutdown.request("warm")
      yield* stopped
      yield* add.delay({ x: 2, y: 3 })
      yield* worker.idle
      assert.strictEqual((yield* worker.waiting()).length, 1)
    }).pipe(Effect.provide(TestWorker.layer({ handlers: [AddLive] })))
  )

  it.effect("is about the worker's own queues", () =>
    Effect.gen(function* () {
      const worker = yield* Helpers
      yield* add.applyAsync({ x: 1, y: 1 }, { queue: "elsewhere" })
      yield* worker.idle
      assert.strictEqual((yield* worker.waiting("elsewhere")).length, 1)
    }).pipe(Effect.provide(TestWorker.layer({ handlers: [AddLive] })))
  )
})

describe("what waits in a queue", () => {
  it.effect("can be looked at without a worker that takes it, as often as one likes", () =>
    Effect.gen(function* () {
      const worker = yield* Helpers
      yield* add.delay({ x: 1, y: 2 })
      yield* flaky.applyAsync({}, { countdown: "90 seconds", taskId: "later" })
      for (let look = 0; look < 2; look++) {
        const [first, second] = yield* worker.waiting()
        assert.deepInclude(first, { name: "proj.add", args: [], retries: 0, notBefore: undefined, reason: undefined })
        assert.deepStrictEqual({ ...first?.kwargs }, { x: 1, y: 2 })
        assert.deepInclude(second, { id: "later", name: "proj.flaky", notBefore: new Date(90_000) })
      }
      assert.deepStrictEqual(yield* worker.waiting("nowhere"), [])
    }).pipe(Effect.provide(TestWorker.layer({ handlers: [], queues: [] })))
  )

  it.effect("is what nobody has taken, in the order it was sent in", () =>
    Effect.gen(function* () {
      const worker = yield* Helpers
      const client = yield* Client
      yield* client.sendAll(
        nap,
        [1, 2, 3, 4].map((seconds) => ({ seconds }))
      )
      // The first runs; `exact` takes none besides.
      yield* TestClock.adjust("500 millis")
      assert.deepStrictEqual(
        (yield* worker.waiting()).map(({ kwargs }) => kwargs?.["seconds"]),
        [2, 3, 4]
      )
    }).pipe(Effect.provide(TestWorker.layer({ handlers: [NapLive], fetch: "exact" })))
  )

  it.effect("holds a task nobody has a handler for in its dead queue, with the reason", () =>
    Effect.gen(function* () {
      const worker = yield* Helpers
      yield* add.applyAsync({ x: 1, y: 2 }, { queue: "own", taskId: "orphan" })
      yield* worker.idle
      const [dead, ...others] = yield* worker.dead("own")
      assert.deepInclude(dead, { id: "orphan", name: "proj.add", reason: "unregistered" })
      assert.deepStrictEqual(others, [])
      assert.deepStrictEqual(yield* worker.states("orphan"), ["FAILURE"])
    }).pipe(Effect.provide(TestWorker.layer({ handlers: [], queues: [Queue.priority(3)(Queue.make("own"))] })))
  )
})

describe("a client that applies", () => {
  it.effect("has run the task when it returns, and keeps its result", () =>
    Effect.gen(function* () {
      const result = yield* add.delay({ x: 2, y: 3 })
      assert.strictEqual(yield* result.state, "SUCCESS")
      assert.strictEqual(yield* result.get, 5)
      const [one, two] = yield* (yield* Client).sendAll(add, [
        { x: 1, y: 1 },
        { x: 2, y: 2 }
      ])
      assert.deepStrictEqual([yield* one!.get, yield* two!.get], [2, 4])
      assert.strictEqual(yield* (yield* (yield* Client).sendTask("proj.add", [20], { y: 22 })).get, 42)
      assert.strictEqual(yield* (yield* flaky.delay({})).get, 2)
    }).pipe(Effect.provide(TestWorker.layerEager({ handlers: [AddLive, FlakyLive] })))
  )

  it.effect("runs what a handler sends before the handler goes on", () =>
    Effect.gen(function* () {
      const seen: Array<number> = []
      const countdown = Task.make("proj.countdown", { params: { n: Schema.Number } })
      yield* Layer.build(
        Tasks.handle(countdown, ({ n }) =>
          Effect.andThen(
            n === 0 ? Effect.void : countdown.applyAsync({ n: n - 1 }, { countdown: "1 hour" }),
            Effect.sync(() => void seen.push(n))
          )
        )
      )
      yield* countdown.delay({ n: 3 })
      assert.deepStrictEqual(seen, [0, 1, 2, 3])
    }).pipe(Effect.provide(TestWorker.layerEager({ handlers: [] })), Effect.scoped)
  )

  it.effect("says that callbacks need a worker, and runs nothing", () =>
    Effect.gen(function* () {
      const link = Signature.si(add, { x: 0, y: 0 })
      const error = yield* Effect.flip(add.applyAsync({ x: 2, y: 3 }, { link, taskId: "linked" }))
      assert.match(error.message, /link and linkError: it needs a worker.*TestWorker\.layer/)
    }).pipe(Effect.provide(TestWorker.layerEager({ handlers: [AddLive] })))
  )
})
