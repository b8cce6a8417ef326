import { Connection } from "@apium/hub/Connection"
import * as Exchange from "@apium/hub/Exchange"
import { MemoryBroker } from "@apium/hub/memory/MemoryTransport"
import * as HubQueue from "@apium/hub/Queue"
import * as TaskMessage from "@apium/protocol/celery/TaskMessage"
import { Client } from "@apium/worker/client/Client"
import { ResultBackend } from "@apium/worker/client/ResultBackend"
import { type Job, Pool } from "@apium/worker/execution/Pool"
import * as FiberPool from "@apium/worker/execution/pools/FiberPool"
import * as Retry from "@apium/worker/task/Retry"
import * as Task from "@apium/worker/task/Task"
import { TaskContext } from "@apium/worker/task/TaskContext"
import { Reject } from "@apium/worker/task/TaskError"
import { Tasks } from "@apium/worker/task/Tasks"
import { assert, describe } from "@effect/vitest"
import { Context, Deferred, Effect, Exit, Fiber, Layer, Queue, Schema, Scope } from "effect"
import { TestClock } from "effect/testing"
import {
  consumers,
  cut,
  ended,
  headers,
  idsOf,
  inject,
  json,
  settle,
  start,
  takeAll,
  test,
  waiting
} from "../support/World.ts"

const work = Task.make("proj.work", { params: { n: Schema.Number }, result: Schema.Number })
const payloads = (count: number) => Array.from({ length: count }, (_, n) => ({ n }))

/** Moves the time until the link is there again. */
const reconnected = Effect.andThen(TestClock.adjust("5 seconds"), settle)

describe("taking tasks", () => {
  test(
    "a concurrency that is no number ends the start with the reason, and not in a worker that never runs a task",
    Effect.gen(function* () {
      const exit = yield* Effect.exit(start({ concurrency: Number(undefined) }))
      assert.isTrue(Exit.hasDies(exit))
      assert.match(String(exit), /concurrency should be how many tasks run at once, and is NaN/)
    })
  )

  test(
    "never more at once than the concurrency, and never more held than prefetch allows",
    Effect.gen(function* () {
      const client = yield* Client
      yield* client.sendAll(work, payloads(100))
      const gate = yield* Queue.unbounded<void>()
      let running = 0
      let most = 0
      yield* start(
        { concurrency: 3, prefetchMultiplier: 2 },
        Tasks.handle(work, ({ n }) =>
          Effect.gen(function* () {
            most = Math.max(most, ++running)
            yield* Queue.take(gate)
            running--
            return n
          })
        )
      )
      assert.strictEqual(running, 3)
      assert.strictEqual(yield* waiting("celery"), 94)
      for (let step = 0; step < 97; step++) {
        yield* Queue.offer(gate, undefined)
        yield* settle
        assert.strictEqual(running, 3)
        assert.isAtLeast(yield* waiting("celery"), 93 - step)
      }
      yield* Queue.offerAll(gate, [undefined, undefined, undefined])
      yield* settle
      assert.strictEqual(most, 3)
      assert.strictEqual(yield* waiting("celery"), 0)
    })
  )

  test(
    "from several queues, each with a window of its own, and higher priorities first",
    Effect.gen(function* () {
      const client = yield* Client
      const queues = [HubQueue.priority(9)(HubQueue.make("prio")), HubQueue.make("other")]
      const connection = yield* Connection
      yield* connection.declare({ queues })
      for (const n of [1, 5, 9]) {
        yield* client.send(work, { n }, { exchange: "", routingKey: "prio", priority: n })
      }
      yield* client.send(work, { n: 100 }, { exchange: "", routingKey: "other" })
      const order: Array<number> = []
      yield* start(
        { queues },
        Tasks.handle(work, ({ n }) => Effect.sync(() => (order.push(n), n)))
      )
      assert.deepStrictEqual(
        order.filter((n) => n < 100),
        [9, 5, 1]
      )
      assert.include(order, 100)
    })
  )

  test(
    "50,000 tasks that do nothing, one at a time",
    Effect.gen(function* () {
      const client = yield* Client
      const nothing = Task.make("proj.nothing", { params: {}, ignoreResult: true })
      yield* client.sendAll(
        nothing,
        Array.from({ length: 50_000 }, () => ({}))
      )
      let ran = 0
      const done = yield* Deferred.make<void>()
      yield* start(
        { prefetchMultiplier: 0 },
        Tasks.handle(nothing, () =>
          Effect.sync(() => {
            if (++ran === 50_000) Deferred.doneUnsafe(done, Effect.void)
          })
        )
      )
      yield* Deferred.await(done)
      yield* settle
      assert.strictEqual(yield* waiting("celery"), 0)
    })
  )

  test(
    "two workers share a queue",
    Effect.gen(function* () {
      const client = yield* Client
      const ran: Array<string> = []
      const live = (worker: string) =>
        Tasks.handle(work, ({ n }) =>
          Effect.as(
            Effect.andThen(
              Effect.yieldNow,
              Effect.sync(() => void ran.push(worker))
            ),
            n
          )
        )
      for (const worker of ["a", "b"]) {
        // A registry each.
        yield* Layer.build(Layer.fresh(Tasks.layer)).pipe(
          Effect.flatMap((registry) => Effect.provide(start({ name: worker }, live(worker)), registry))
        )
      }
      assert.strictEqual(yield* consumers("celery"), 2)
      const results = yield* client.sendAll(work, payloads(200))
      yield* Effect.forEach(results, (result) => result.get)
      assert.strictEqual(ran.length, 200)
      assert.isAbove(ran.filter((worker) => worker === "a").length, 20)
      assert.isAbove(ran.filter((worker) => worker === "b").length, 20)
    })
  )

  test(
    "a queue that is deleted under the worker is declared again",
    Effect.gen(function* () {
      const connection = yield* Connection
      yield* start(
        {},
        Tasks.handle(work, ({ n }) => Effect.succeed(n))
      )
      yield* connection.use((channel) => channel.queueDelete("celery"))
      yield* reconnected
      const client = yield* Client
      const result = yield* client.send(work, { n: 3 }, { exchange: "", routingKey: "celery" })
      assert.strictEqual(yield* result.get, 3)
    })
  )

  test(
    "a retry of a task from a queue the broker named comes back to it",
    Effect.gen(function* () {
      const connection = yield* Connection
      let runs = 0
      const tried = Exchange.topic("proj.tried")
      const retried = Task.make("proj.retried", {
        params: {},
        retry: Retry.fixed({ maxRetries: 2, delay: "1 second" })
      })
      yield* start(
        { queues: [HubQueue.bindTo(tried, "#")(HubQueue.make("", { durable: false }))] },
        Tasks.handle(retried, () => (++runs < 2 ? Effect.die("again") : Effect.void))
      )
      yield* connection.publish(json("[[], {}, null]", headers("proj.retried", "r1")), {
        exchange: tried.name,
        routingKey: "",
        mandatory: true
      })
      yield* settle
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* ended("r1")).status, "SUCCESS")
      assert.strictEqual(runs, 2)
    })
  )

  test(
    "a run that is interrupted gives its task back, and it runs again",
    Effect.gen(function* () {
      const client = yield* Client
      let runs = 0
      const pool = Layer.effect(
        Pool,
        Effect.map(Effect.provide(Pool, FiberPool.layer), (inner) => ({
          ...inner,
          run: (job: Job) => (++runs === 1 ? Effect.interrupt : inner.run(job))
        }))
      )
      const redelivered: Array<boolean> = []
      yield* start(
        { pool },
        Tasks.handle(work, ({ n }) =>
          Effect.map(TaskContext, ({ delivery }) => {
            redelivered.push(delivery.redelivered)
            return n
          })
        )
      )
      assert.strictEqual(yield* (yield* client.send(work, { n: 6 })).get, 6)
      assert.deepStrictEqual(redelivered, [true])
      assert.strictEqual(runs, 2)
    })
  )

  test(
    "rejected with requeue runs again, without it is gone",
    Effect.gen(function* () {
      let runs = 0
      yield* start(
        {},
        Tasks.handle(work, ({ n }) => (++runs < 3 ? Effect.fail(new Reject({ requeue: true })) : Effect.succeed(n)))
      )
      const client = yield* Client
      assert.strictEqual(yield* (yield* client.send(work, { n: 4 })).get, 4)
      assert.strictEqual(runs, 3)
    })
  )
})

describe("a warm stop", () => {
  test(
    "lets what runs finish, and gives back what is reserved or held, in order",
    Effect.gen(function* () {
      const client = yield* Client
      const worker = yield* Scope.fork(yield* Effect.scope)
      const gate = yield* Deferred.make<void>()
      const ran: Array<number> = []
      yield* start(
        { concurrency: 2, prefetchMultiplier: 3 },
        Tasks.handle(work, ({ n }) =>
          Effect.as(
            Effect.andThen(
              Deferred.await(gate),
              Effect.sync(() => void ran.push(n))
            ),
            n
          )
        )
      ).pipe(Scope.provide(worker))
      const results = yield* client.sendAll(work, payloads(4))
      // Held by the worker: it is due within a second.
      yield* inject(json(`[[70], {}, null]`, headers("proj.work", "held", { eta: TaskMessage.formatEta(900) })))
      const rest = yield* client.sendAll(work, payloads(3))
      yield* settle
      const stopping = yield* Effect.forkChild(Scope.close(worker, Exit.void))
      yield* settle
      // Its time comes while the worker waits for the two that run.
      yield* TestClock.adjust("2 seconds")
      yield* settle
      assert.isUndefined(stopping.pollUnsafe())
      assert.strictEqual(yield* consumers("celery"), 0)
      const late = yield* client.send(work, { n: 9 })
      yield* Deferred.succeed(gate, undefined)
      yield* Fiber.join(stopping)
      assert.deepStrictEqual(ran, [0, 1])
      assert.strictEqual(yield* results[0]!.get, 0)
      assert.strictEqual(yield* results[1]!.get, 1)
      const left = yield* takeAll("celery")
      assert.deepStrictEqual(idsOf(left), [
        results[2]!.id,
        results[3]!.id,
        "held",
        ...rest.map(({ id }) => id),
        late.id
      ])
    })
  )

  test(
    "waits for what runs even when its link is lost, and needs no link to stop",
    Effect.gen(function* () {
      const client = yield* Client
      const worker = yield* Scope.fork(yield* Effect.scope)
      const gate = yield* Deferred.make<void>()
      let finished = false
      yield* start(
        {},
        Tasks.handle(work, ({ n }) =>
          Effect.as(
            Effect.andThen(
              Deferred.await(gate),
              Effect.sync(() => void (finished = true))
            ),
            n
          )
        )
      ).pipe(Scope.provide(worker))
      const result = yield* client.send(work, { n: 1 })
      yield* settle
      yield* cut
      const stopping = yield* Effect.forkChild(Scope.close(worker, Exit.void))
      yield* settle
      assert.isUndefined(stopping.pollUnsafe())
      yield* Deferred.succeed(gate, undefined)
      // No time passes, so there is no new link.
      yield* Fiber.join(stopping)
      assert.isTrue(finished)
      assert.strictEqual(yield* result.get, 1)
      yield* reconnected
      assert.strictEqual(yield* waiting("celery"), 1)
    })
  )

  test(
    "an idle worker stops at once, also between two links",
    Effect.gen(function* () {
      const worker = yield* Scope.fork(yield* Effect.scope)
      yield* start(
        {},
        Tasks.handle(work, ({ n }) => Effect.succeed(n))
      ).pipe(Scope.provide(worker))
      yield* cut
      yield* Scope.close(worker, Exit.void)
    })
  )
})

describe("a lost link", () => {
  test(
    "stops intake and not tasks: every task ends, and none is lost",
    Effect.gen(function* () {
      const client = yield* Client
      const runs = new Map<number, number>()
      const interrupted: Array<number> = []
      yield* start(
        { concurrency: 4 },
        Tasks.handle(work, ({ n }) =>
          Effect.gen(function* () {
            runs.set(n, (runs.get(n) ?? 0) + 1)
            yield* Effect.sleep("3 seconds")
            return n
          }).pipe(Effect.onInterrupt(() => Effect.sync(() => void interrupted.push(n))))
        )
      )
      const results = yield* client.sendAll(work, payloads(40))
      for (let round = 0; round < 5; round++) {
        yield* settle
        yield* TestClock.adjust("2 seconds")
        yield* cut
        yield* reconnected
      }
      for (let round = 0; round < 30; round++) {
        yield* TestClock.adjust("3 seconds")
        yield* settle
      }
      assert.deepStrictEqual(
        yield* Effect.forEach(results, (result) => result.get),
        payloads(40).map(({ n }) => n)
      )
      assert.strictEqual(runs.size, 40)
      assert.deepStrictEqual(interrupted, [])
      assert.strictEqual(yield* waiting("celery"), 0)
    })
  )

  test(
    "a task that comes again while it still runs is not run twice, and is settled as that run ends",
    Effect.gen(function* () {
      const client = yield* Client
      const gates = yield* Queue.unbounded<Effect.Effect<void, Reject>>()
      const worker = yield* Scope.fork(yield* Effect.scope)
      const runs: Array<number> = []
      const early = Task.make("proj.early", { params: { n: Schema.Number }, result: Schema.Number, acksLate: false })
      const run = ({ n }: { readonly n: number }) =>
        Effect.as(
          Effect.andThen(
            Effect.sync(() => void runs.push(n)),
            Effect.flatten(Queue.take(gates))
          ),
          n
        )
      yield* start({ concurrency: 4 }, Tasks.handle(work, run), Tasks.handle(early, run)).pipe(Scope.provide(worker))
      const results = [...(yield* client.sendAll(work, payloads(3))), yield* client.send(early, { n: 3 })]
      yield* settle
      for (let round = 0; round < 3; round++) {
        yield* cut
        yield* reconnected
      }
      assert.deepStrictEqual(runs, [0, 1, 2, 3])
      yield* Queue.offerAll(gates, [Effect.void, Effect.fail(new Reject({ requeue: true })), Effect.void, Effect.void])
      yield* settle
      assert.deepStrictEqual(runs, [0, 1, 2, 3, 1])
      yield* Queue.offer(gates, Effect.void)
      assert.deepStrictEqual(yield* Effect.forEach(results, (result) => result.get), [0, 1, 2, 3])
      yield* Scope.close(worker, Exit.void)
      assert.strictEqual(yield* waiting("celery"), 0)
    })
  )

  test(
    "a task that ended while there was no link is not run again when its message comes back, and is retried once",
    Effect.gen(function* () {
      const client = yield* Client
      const tried = Task.make("proj.tried", {
        params: { n: Schema.Number },
        result: Schema.Number,
        retry: Retry.fixed({ maxRetries: 2, delay: "1 minute" })
      })
      const worker = yield* Scope.fork(yield* Effect.scope)
      const gate = yield* Deferred.make<void>()
      const runs: Array<string> = []
      const run = ({ n }: { readonly n: number }) =>
        Effect.gen(function* () {
          const { name, retries } = yield* TaskContext
          runs.push(`${name} ${n} ${retries}`)
          yield* Deferred.await(gate)
          if (n === 1 && runs.length < 4) return yield* new Reject({ requeue: true })
          if (n === 2 && retries < 2) return yield* Effect.die(new Error("again"))
          return n
        })
      yield* start({ concurrency: 3 }, Tasks.handle(work, run), Tasks.handle(tried, run)).pipe(Scope.provide(worker))
      const results = [...(yield* client.sendAll(work, payloads(2))), yield* client.send(tried, { n: 2 })]
      yield* settle
      yield* cut
      yield* Deferred.succeed(gate, undefined)
      yield* settle
      assert.strictEqual(yield* results[0]!.get, 0)
      yield* reconnected
      // What asked to be given back is run again, and nothing else.
      assert.deepStrictEqual(runs, ["proj.work 0 0", "proj.work 1 0", "proj.tried 2 0", "proj.work 1 0"])
      yield* TestClock.adjust("5 minutes")
      yield* settle
      assert.deepStrictEqual(runs.slice(4), ["proj.tried 2 1", "proj.tried 2 2"])
      assert.deepStrictEqual(yield* Effect.forEach(results, (result) => result.get), [0, 1, 2])
      yield* Scope.close(worker, Exit.void)
      assert.strictEqual(yield* waiting("celery"), 0)
    })
  )

  test(
    "also when its result was on its way by then",
    Effect.gen(function* () {
      const client = yield* Client
      const backend = yield* ResultBackend
      const gate = yield* Deferred.make<void>()
      let runs = 0
      let stores = 0
      const slow: ResultBackend["Service"] = {
        ...backend,
        store: (message) => Effect.andThen(backend.store(message), stores++ === 0 ? Deferred.await(gate) : Effect.void)
      }
      const worker = yield* Scope.fork(yield* Effect.scope)
      yield* start(
        {},
        Tasks.handle(work, ({ n }) => Effect.sync(() => (runs++, n)))
      ).pipe(Effect.provideService(ResultBackend, slow), Scope.provide(worker))
      const result = yield* client.send(work, { n: 1 })
      assert.strictEqual(yield* result.get, 1)
      yield* cut
      yield* reconnected
      yield* Deferred.succeed(gate, undefined)
      yield* settle
      assert.strictEqual(runs, 1)
      yield* Scope.close(worker, Exit.void)
      assert.strictEqual(yield* waiting("celery"), 0)
    })
  )

  test(
    "what was held until it is due runs once on the next link",
    Effect.gen(function* () {
      let runs = 0
      yield* start(
        {},
        Tasks.handle(work, ({ n }) => Effect.sync(() => (runs++, n)))
      )
      yield* inject(json(`[[7], {}, null]`, headers("proj.work", "held", { eta: TaskMessage.formatEta(900) })))
      yield* settle
      yield* (yield* MemoryBroker).disconnect
      yield* reconnected
      assert.strictEqual((yield* ended("held")).result, 7)
      assert.strictEqual(runs, 1)
    })
  )

  test(
    "what was reserved runs once, on the next link",
    Effect.gen(function* () {
      const client = yield* Client
      const gate = yield* Deferred.make<void>()
      const runs: Array<number> = []
      yield* start(
        { concurrency: 1, prefetchMultiplier: 8 },
        Tasks.handle(work, ({ n }) =>
          Effect.as(
            Effect.andThen(
              Effect.sync(() => void runs.push(n)),
              Deferred.await(gate)
            ),
            n
          )
        )
      )
      const results = yield* client.sendAll(work, payloads(8))
      yield* settle
      yield* cut
      yield* reconnected
      yield* Deferred.succeed(gate, undefined)
      yield* Effect.forEach(results, (result) => result.get)
      yield* settle
      assert.deepStrictEqual(
        [...new Set(runs)].toSorted((a, b) => a - b),
        payloads(8).map(({ n }) => n)
      )
      assert.strictEqual(runs.filter((n) => n > 0).length, 7)
    })
  )
})

describe("handlers", () => {
  class Multiplier extends Context.Service<Multiplier, { readonly by: number }>()("test/Multiplier") {}

  test(
    "get the services they need, and know their execution",
    Effect.gen(function* () {
      const client = yield* Client
      yield* start(
        {},
        Tasks.handle(work, ({ n }) =>
          Effect.gen(function* () {
            const { by } = yield* Multiplier
            const { name, headers, delivery } = yield* TaskContext
            assert.deepStrictEqual(
              [name, headers, delivery],
              [
                "proj.work",
                { "x-tenant": "acme" },
                { exchange: "", routingKey: "celery", queue: "celery", redelivered: false, priority: 2 }
              ]
            )
            return n * by
          })
        ).pipe(Layer.provide(Layer.succeed(Multiplier, { by: 3 })))
      )
      const result = yield* client.send(work, { n: 5 }, { headers: { "x-tenant": "acme" }, priority: 2 })
      assert.strictEqual(yield* result.get, 15)
    })
  )

  test(
    "come and go with their scopes, and of two of one name the later runs",
    Effect.gen(function* () {
      const client = yield* Client
      const tasks = yield* Tasks
      yield* start(
        {},
        Tasks.handle(work, () => Effect.succeed(1))
      )
      const later = yield* Scope.fork(yield* Effect.scope)
      const call = Effect.flatMap(client.send(work, { n: 0 }), (result) => Effect.exit(result.get))
      assert.deepStrictEqual(yield* call, Exit.succeed(1))
      yield* Layer.build(Tasks.handle(work, () => Effect.succeed(2))).pipe(Scope.provide(later))
      assert.deepStrictEqual(yield* call, Exit.succeed(2))
      assert.deepStrictEqual(yield* tasks.names, ["proj.work"])
      yield* Scope.close(later, Exit.void)
      // The first one is still in scope.
      assert.deepStrictEqual(yield* call, Exit.succeed(1))
    })
  )

  test(
    "what a handler acquires for one run is released with that run",
    Effect.gen(function* () {
      const client = yield* Client
      let open = 0
      yield* start(
        {},
        Tasks.handle(work, ({ n }) =>
          Effect.scoped(
            Effect.as(
              Effect.acquireRelease(
                Effect.sync(() => void open++),
                () => Effect.sync(() => void open--)
              ),
              n
            )
          )
        )
      )
      for (let n = 0; n < 10; n++) yield* (yield* client.send(work, { n })).get
      assert.strictEqual(open, 0)
    })
  )
})

describe("layers", () => {
  test(
    "leave nothing behind after 200 starts and stops",
    Effect.gen(function* () {
      const client = yield* Client
      const tasks = yield* Tasks
      const cycle = Effect.scoped(
        Effect.gen(function* () {
          yield* start(
            { events: true, concurrency: 2 },
            Tasks.handle(work, ({ n }) => Effect.succeed(n))
          )
          const result = yield* client.send(work, { n: 1 })
          assert.strictEqual(yield* result.get, 1)
        })
      )
      for (let round = 0; round < 200; round++) yield* cycle
      assert.deepStrictEqual(yield* tasks.names, [])
      assert.strictEqual(yield* consumers("celery"), 0)
      assert.strictEqual(yield* waiting("celery"), 0)
    })
  )
})
