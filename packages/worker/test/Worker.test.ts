import * as TaskMessage from "@apium/protocol/celery/TaskMessage"
import * as Blueprint from "@apium/worker/Blueprint"
import { Client } from "@apium/worker/client/Client"
import { queueNamed } from "@apium/worker/client/Publisher"
import * as Control from "@apium/worker/control/Control"
import * as EventReceiver from "@apium/worker/events/EventReceiver"
import * as Profile from "@apium/worker/Profile"
import * as Task from "@apium/worker/task/Task"
import { Tasks } from "@apium/worker/task/Tasks"
import * as Worker from "@apium/worker/Worker"
import { assert, describe } from "@effect/vitest"
import { Context, Deferred, Effect, Exit, Fiber, Layer, Option, Schema, Scope, Stream } from "effect"
import { TestClock } from "effect/testing"
import {
  celery,
  consumers,
  ended,
  headers,
  idsOf,
  inject,
  json,
  settle,
  stored,
  takeAll,
  test,
  waiting
} from "./support/World.ts"

const work = Task.make("proj.work", { params: { n: Schema.Number }, result: Schema.Number })
const early = Task.make("proj.early", { params: { n: Schema.Number }, result: Schema.Number, acksLate: false })
const payloads = (count: number) => Array.from({ length: count }, (_, n) => ({ n }))

/** A worker in a scope of its own: what it is, and how it is closed. */
const open = (options: Partial<Worker.Options> = {}) =>
  Effect.gen(function* () {
    const scope = yield* Scope.fork(yield* Effect.scope)
    const context = yield* Scope.provide(
      Layer.build(Worker.layer({ queues: [celery], concurrency: 1, ...options })),
      scope
    )
    yield* settle
    const worker = Context.get(context, Worker.Worker)
    // A test that fails leaves tasks at their gate: they are not waited for.
    yield* Effect.addFinalizer(() => worker.shutdown.request("cold"))
    return { ...worker, close: Scope.close(scope, Exit.void) }
  })

/** Handlers that wait at a gate, and what became of them. */
const gated = Effect.gen(function* () {
  const gate = yield* Deferred.make<void>()
  const books = { begun: [] as Array<number>, ended: [] as Array<number>, interrupted: [] as Array<number>, most: 0 }
  let now = 0
  const handle = ({ n }: { readonly n: number }) =>
    Effect.sync(() => {
      books.begun.push(n)
      books.most = Math.max(books.most, ++now)
    }).pipe(
      Effect.andThen(Deferred.await(gate)),
      Effect.onExit((exit) =>
        Effect.sync(() => {
          now--
          ;(Exit.isSuccess(exit) ? books.ended : books.interrupted).push(n)
        })
      ),
      Effect.as(n)
    )
  yield* Layer.build(Layer.merge(Tasks.handle(work, handle), Tasks.handle(early, handle)))
  return { books, release: Deferred.succeed(gate, undefined) }
})

describe("a worker that stops", () => {
  test(
    "ends its steps in reverse, the first of them when its work is through",
    Effect.gen(function* () {
      const client = yield* Client
      const log: Array<string> = []
      const note = (text: string) => Effect.sync(() => void log.push(text))
      const step = (name: string) =>
        Layer.effectDiscard(Effect.acquireRelease(note(`+${name}`), () => note(`-${name}`)))
      const gate = yield* Deferred.make<void>()
      yield* Layer.build(
        Tasks.handle(work, ({ n }) => Effect.as(Effect.andThen(Deferred.await(gate), note(`ran ${n}`)), n))
      )
      const scope = yield* Scope.fork(yield* Effect.scope)
      yield* Worker.blueprint({ queues: [celery], concurrency: 1 }).pipe(
        Blueprint.add("First", { layer: step("First") }),
        Blueprint.add("Before", { requires: ["First"], layer: step("Before") }),
        Blueprint.add("After", { requires: ["Tasks", "Before"], layer: step("After") }),
        Worker.layerOf,
        Layer.build,
        Scope.provide(scope)
      )
      yield* client.sendAll(work, payloads(2))
      yield* settle
      const closing = yield* Effect.forkChild(Scope.close(scope, Exit.void))
      yield* settle
      assert.deepStrictEqual(log, ["+First", "+Before", "+After"])
      yield* Deferred.succeed(gate, undefined)
      yield* Fiber.join(closing)
      assert.deepStrictEqual(log.slice(3), ["ran 0", "-After", "-Before", "-First"])
      assert.strictEqual(yield* waiting("celery"), 1)
    })
  )

  test(
    "beats and answers remote control for as long as something runs",
    Effect.gen(function* () {
      const client = yield* Client
      const { books, release } = yield* gated
      const worker = yield* open({ name: "celery@a", concurrency: 2 })
      const beats: Array<unknown> = []
      yield* Effect.forkScoped(
        Stream.runForEach(EventReceiver.stream({ routingKey: "worker.#", wakeup: false }), (event) =>
          Effect.sync(() => void beats.push([event.type, event.fields.active]))
        )
      )
      const [first] = yield* client.sendAll(work, payloads(4))
      yield* settle
      yield* worker.shutdown.request("warm")
      yield* settle
      yield* TestClock.adjust("6 seconds")
      yield* settle
      assert.deepStrictEqual(beats, [
        ["worker-heartbeat", 2],
        ["worker-heartbeat", 2],
        ["worker-heartbeat", 2]
      ])
      const asked = yield* Effect.forkChild(Control.ping({ destination: ["celery@a"] }))
      yield* settle
      assert.deepStrictEqual(yield* Fiber.join(asked), [{ node: "celery@a", reply: { ok: "pong" } }])
      // It takes nothing more.
      assert.strictEqual(yield* consumers("celery"), 0)
      assert.strictEqual(yield* waiting("celery"), 2)
      yield* release
      yield* worker.stopped
      yield* worker.close
      yield* settle
      assert.deepStrictEqual(books.ended, [0, 1])
      assert.strictEqual((yield* ended(first!.id)).status, "SUCCESS")
      assert.deepStrictEqual(beats.at(-1), ["worker-offline", 0])
    })
  )

  test(
    "has stopped when somebody asked for it and it is through, and not before",
    Effect.gen(function* () {
      const client = yield* Client
      const { release } = yield* gated
      const worker = yield* open()
      const stopped = yield* Effect.forkChild(worker.stopped)
      yield* client.send(work, { n: 0 })
      yield* settle
      assert.isUndefined(stopped.pollUnsafe())
      yield* worker.shutdown.request("warm")
      yield* settle
      assert.isUndefined(stopped.pollUnsafe())
      yield* release
      yield* settle
      assert.isDefined(stopped.pollUnsafe())
      assert.strictEqual(worker.shutdown.level(), "warm")
    })
  )

  test(
    "cold interrupts what runs, and gives all of it back in its order",
    Effect.gen(function* () {
      const client = yield* Client
      const { books } = yield* gated
      const worker = yield* open({ concurrency: 3 })
      const results = yield* client.sendAll(work, payloads(10))
      yield* settle
      yield* worker.shutdown.request("cold")
      yield* worker.stopped
      assert.deepStrictEqual([books.begun, books.interrupted, books.ended], [[0, 1, 2], [0, 1, 2], []])
      const left = yield* takeAll("celery")
      assert.sameMembers(
        [...idsOf(left)],
        results.map(({ id }) => id)
      )
      // What has not begun is next in line, in its order, and no delivery the more.
      const untouched = left.filter(({ deliveryCount }) => Option.getOrThrow(deliveryCount) === 0)
      assert.deepStrictEqual(
        idsOf(untouched),
        results.slice(3).map(({ id }) => id)
      )
    })
  )

  test(
    "that is warm turns cold when somebody has no more patience, and a soft one by itself",
    Effect.gen(function* () {
      const client = yield* Client
      const { books } = yield* gated
      const one = yield* open()
      yield* client.send(work, { n: 1 })
      yield* settle
      yield* one.shutdown.request("warm")
      yield* TestClock.adjust("1 hour")
      assert.deepStrictEqual(books.interrupted, [])
      yield* one.shutdown.request("cold")
      yield* one.stopped
      assert.deepStrictEqual(books.interrupted, [1])

      const two = yield* open({ softTimeout: "3 seconds" })
      yield* settle
      yield* two.shutdown.signal("SIGQUIT")
      yield* TestClock.adjust(2999)
      assert.deepStrictEqual(books.interrupted, [1])
      yield* TestClock.adjust(1)
      yield* two.stopped
      assert.deepStrictEqual(books.interrupted, [1, 1])
      assert.strictEqual(yield* waiting("celery"), 1)
    })
  )

  test(
    "abandons a handler that does not end when it is interrupted, and its message is back",
    Effect.gen(function* () {
      const client = yield* Client
      let over = false
      yield* Layer.build(
        Tasks.handle(work, ({ n }) =>
          Effect.uninterruptible(
            Effect.andThen(
              Effect.sleep("1 hour"),
              Effect.sync(() => {
                over = true
                return n
              })
            )
          )
        )
      )
      const worker = yield* open()
      const { id } = yield* client.send(work, { n: 1 })
      yield* settle
      yield* worker.shutdown.request("cold")
      const stopped = yield* Effect.forkChild(worker.stopped)
      yield* TestClock.adjust("4 seconds")
      yield* settle
      assert.isUndefined(stopped.pollUnsafe())
      yield* TestClock.adjust("6 seconds")
      yield* Fiber.join(stopped)
      yield* worker.close
      assert.isFalse(over)
      assert.deepStrictEqual(idsOf(yield* takeAll("celery")), [id])
      // What it does from now on is for nobody.
      yield* TestClock.adjust("1 hour")
      yield* settle
      assert.isTrue(over)
      assert.isUndefined(yield* stored(id))
    })
  )

  test(
    "leaves what it gave back to another worker on the same broker",
    Effect.gen(function* () {
      const client = yield* Client
      const { books, release } = yield* gated
      const one = yield* open({ name: "celery@one", concurrency: 2 })
      const results = yield* client.sendAll(work, payloads(12))
      yield* settle
      const two = yield* open({ name: "celery@two", concurrency: 4 })
      assert.deepStrictEqual(books.begun, [0, 1, 8, 9, 10, 11])
      yield* one.shutdown.request("warm")
      yield* settle
      yield* release
      yield* one.stopped
      for (const { id } of results) assert.strictEqual((yield* ended(id)).status, "SUCCESS")
      // Each once, by one of them.
      assert.sameMembers(
        books.ended,
        payloads(12).map(({ n }) => n)
      )
      yield* two.close
      assert.strictEqual(yield* waiting("celery"), 0)
    })
  )

  test(
    "does not count as a delivery what it gives back unseen, and keeps its order: 30 times is no poison",
    Effect.gen(function* () {
      const client = yield* Client
      const { books, release } = yield* gated
      const first = queueNamed("first")
      const results = yield* client.sendAll(work, payloads(6))
      for (let round = 0; round < 30; round++) {
        // The one slot is taken by what comes from the other queue; what is behind it is held, and given back.
        yield* client.send(work, { n: 100 + round }, { queue: "first" })
        const worker = yield* open({ queues: [first, celery], prefetchMultiplier: 7 })
        assert.strictEqual(yield* waiting("celery"), 0)
        yield* worker.shutdown.request("cold")
        yield* worker.stopped
        yield* worker.close
        assert.strictEqual((yield* takeAll("first")).length, 1)
        assert.strictEqual(yield* waiting("celery"), 6)
      }
      assert.strictEqual(books.begun.length, 30)
      yield* release
      const last = yield* open()
      for (const { id } of results) assert.strictEqual((yield* ended(id)).status, "SUCCESS")
      assert.deepStrictEqual(books.ended, [0, 1, 2, 3, 4, 5])
      yield* last.close
    })
  )

  test(
    "gives back what it holds until it is due, in its order, and does not count that either",
    Effect.gen(function* () {
      const { books, release } = yield* gated
      const ids = ["a", "b", "c"]
      for (const [n, id] of ids.entries()) {
        const eta = TaskMessage.formatEta(86_400_000 - n)
        yield* inject(json(`[[], {"n": ${n}}, null]`, headers("proj.work", id, { eta })))
      }
      for (let round = 0; round < 30; round++) {
        const worker = yield* open({ profile: { ...Profile.durable, delay: "worker" } })
        assert.strictEqual(yield* waiting("celery"), 0)
        yield* worker.shutdown.request(round % 2 === 0 ? "warm" : "cold")
        yield* worker.stopped
        yield* worker.close
      }
      const left = yield* takeAll("celery")
      assert.deepStrictEqual(idsOf(left), ids)
      assert.deepStrictEqual(
        left.map(({ deliveryCount }) => Option.getOrThrow(deliveryCount)),
        [0, 0, 0]
      )
      assert.deepStrictEqual(books.begun, [])
      yield* release
    })
  )
})

describe("a worker with exact fetch", () => {
  for (const task of [work, early]) {
    test(
      `never holds more than it has free slots for (${task.name})`,
      Effect.gen(function* () {
        const client = yield* Client
        const { books, release } = yield* gated
        const worker = yield* open({ concurrency: 3, fetch: "exact" })
        yield* client.sendAll(task, payloads(10))
        yield* settle
        assert.deepStrictEqual(books.begun, [0, 1, 2])
        // Nothing is reserved: the rest is anybody's.
        assert.strictEqual(yield* waiting("celery"), 7)
        const other = yield* open({ name: "celery@other", concurrency: 2, fetch: "exact" })
        assert.deepStrictEqual([books.begun.length, yield* waiting("celery")], [5, 5])
        yield* release
        yield* settle
        yield* TestClock.adjust("1 second")
        assert.sameMembers(
          books.ended,
          payloads(10).map(({ n }) => n)
        )
        assert.isAtMost(books.most, 5)
        yield* Effect.all([worker.close, other.close])
        assert.strictEqual(yield* waiting("celery"), 0)
      })
    )
  }
})

describe("a worker without acknowledgements", () => {
  test(
    "holds a bounded number of tasks, and runs what it received before it stops",
    Effect.gen(function* () {
      const client = yield* Client
      const { books, release } = yield* gated
      const worker = yield* open({ concurrency: 4, profile: Profile.fast })
      yield* client.sendAll(work, payloads(5000))
      yield* settle
      const left = yield* waiting("celery")
      const held = 5000 - left
      // A batch of what came at once, and what runs.
      assert.isAtMost(held, 2 * 256 + 4)
      yield* worker.shutdown.request("warm")
      yield* settle
      yield* release
      yield* worker.stopped
      yield* worker.close
      assert.strictEqual(books.ended.length, held)
      assert.strictEqual(yield* waiting("celery"), left)
    })
  )

  test(
    "sends back what it could not run before it stops, for the broker has forgotten it",
    Effect.gen(function* () {
      const { books } = yield* gated
      yield* Layer.build(
        Tasks.handle(Task.make("proj.slow", { params: {}, result: Schema.Null, rateLimit: "1/m" }), () =>
          Effect.succeed(null)
        )
      )
      const worker = yield* open({ profile: Profile.fast })
      const eta = TaskMessage.formatEta(86_400_000)
      yield* inject(json(`[[], {"n": 1}, null]`, headers("proj.work", "later", { eta })))
      yield* inject(json(`[[], {}, null]`, headers("proj.slow", "now")))
      yield* inject(json(`[[], {}, null]`, headers("proj.slow", "in turn")))
      yield* settle
      assert.strictEqual(yield* waiting("celery"), 0)
      yield* worker.shutdown.request("warm")
      yield* worker.stopped
      yield* worker.close
      assert.strictEqual((yield* ended("now")).status, "SUCCESS")
      assert.sameMembers([...idsOf(yield* takeAll("celery"))], ["later", "in turn"])
      assert.deepStrictEqual(books.begun, [])
    })
  )

  test(
    "begins nothing after a cold shutdown, and sends back what has not begun",
    Effect.gen(function* () {
      const client = yield* Client
      const { books } = yield* gated
      for (const first of ["cold", "warm"] as const) {
        const worker = yield* open({ concurrency: 2, profile: Profile.fast })
        const results = yield* client.sendAll(work, payloads(20))
        yield* settle
        yield* worker.shutdown.request(first)
        yield* settle
        yield* worker.shutdown.request("cold")
        yield* worker.stopped
        yield* worker.close
        assert.deepStrictEqual(
          [books.begun.splice(0), books.interrupted.splice(0)],
          [
            [0, 1],
            [0, 1]
          ]
        )
        assert.sameMembers(
          [...idsOf(yield* takeAll("celery"))],
          results.slice(2).map(({ id }) => id)
        )
      }
      assert.deepStrictEqual(books.ended, [])
    })
  )
})
