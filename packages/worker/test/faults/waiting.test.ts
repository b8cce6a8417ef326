import { Hub } from "@apium/hub/Hub"
import { Client } from "@apium/worker/client/Client"
import * as RateLimit from "@apium/worker/execution/RateLimit"
import type { Request } from "@apium/worker/execution/Request"
import * as Profile from "@apium/worker/Profile"
import * as Task from "@apium/worker/task/Task"
import { TaskContext } from "@apium/worker/task/TaskContext"
import { Tasks } from "@apium/worker/task/Tasks"
import { assert, describe, it } from "@effect/vitest"
import { Clock, Deferred, Effect, Schema } from "effect"
import { TestClock } from "effect/testing"
import { pass, test } from "../support/SlowWorld.ts"
import { settle, start, stored } from "../support/World.ts"

const params = { n: Schema.Number }
const work = Task.make("proj.work", { params, result: Schema.Number })
const payloads = (count: number) => Array.from({ length: count }, (_, n) => ({ n }))

/** Counts its runs. */
const counter = () => {
  let runs = 0
  return {
    runs: () => runs,
    handler: Tasks.handle(work, ({ n }) =>
      Effect.as(
        Effect.sync(() => void runs++),
        n
      )
    )
  }
}

describe("a task that is revoked while it waits does not run", () => {
  for (const [where, profile] of [
    ["in the broker", Profile.durable],
    ["in the worker", Profile.celery]
  ] as const) {
    test(
      `when it is due in 4 hours, ${where}`,
      Effect.gen(function* () {
        const { runs, handler } = counter()
        yield* start({ profile }, handler)
        const result = yield* Effect.flatMap(Client, (client) =>
          client.send(work, { n: 1 }, { countdown: "4 hours" })
        ).pipe(Effect.provide(Client.layerWith({ profile })))
        yield* settle
        yield* result.revoke()
        yield* settle
        yield* TestClock.adjust("241 minutes")
        yield* settle
        assert.strictEqual(runs(), 0)
        assert.strictEqual((yield* stored(result.id))?.status, "REVOKED")
      })
    )
  }

  test(
    "when worker and client have a control namespace of their own",
    Effect.gen(function* () {
      const { runs, handler } = counter()
      yield* start({ controlNamespace: "mine" }, handler)
      const result = yield* Effect.flatMap(Client, (client) =>
        client.send(work, { n: 1 }, { countdown: "10 minutes" })
      ).pipe(Effect.provide(Client.layerWith({ controlNamespace: "mine" })))
      yield* settle
      yield* result.revoke()
      yield* settle
      yield* TestClock.adjust("11 minutes")
      yield* settle
      assert.strictEqual(runs(), 0)
    })
  )

  test(
    "when its strategy takes its time after it has decided",
    Effect.gen(function* () {
      const client = yield* Client
      let runs = 0
      yield* start(
        {},
        Tasks.handle(
          work,
          ({ n }) =>
            Effect.as(
              Effect.sync(() => void runs++),
              n
            ),
          {
            strategy: (_, next) => Effect.tap(next, () => Effect.sleep("10 seconds"))
          }
        )
      )
      const result = yield* client.send(work, { n: 1 })
      yield* settle
      yield* result.revoke()
      yield* settle
      yield* pass(20)
      assert.strictEqual(runs, 0)
      assert.strictEqual((yield* stored(result.id))?.status, "REVOKED")
    })
  )
})

describe("tasks that wait for their own kind", () => {
  test(
    "for their rate limit: they hold up no other",
    Effect.gen(function* () {
      const client = yield* Client
      const limited = Task.make("proj.limited", { params, result: Schema.Number, rateLimit: "1/h" })
      const { runs, handler } = counter()
      yield* start(
        { concurrency: 2 },
        Tasks.handle(limited, ({ n }) => Effect.succeed(n)),
        handler
      )
      // More than two slots prefetch.
      yield* client.sendAll(limited, payloads(10))
      yield* client.send(work, { n: 1 })
      yield* settle
      assert.strictEqual(runs(), 1)
    })
  )

  test(
    "for they run one at a time: they hold up no other",
    Effect.gen(function* () {
      const client = yield* Client
      const single = Task.make("proj.single", { params, result: Schema.Number, concurrency: 1 })
      const { runs, handler } = counter()
      let ran = 0
      yield* start(
        { concurrency: 2 },
        Tasks.handle(single, ({ n }) =>
          Effect.as(
            Effect.andThen(
              Effect.sleep("1 hour"),
              Effect.sync(() => void ran++)
            ),
            n
          )
        ),
        handler
      )
      yield* client.sendAll(single, payloads(10))
      yield* client.send(work, { n: 1 })
      yield* settle
      assert.deepStrictEqual([runs(), ran], [1, 0])
      for (let hour = 1; hour <= 10; hour++) {
        yield* TestClock.adjust("1 hour")
        yield* settle
        assert.strictEqual(ran, hour)
      }
    })
  )
})

describe("what waits and is not waited for any more", () => {
  test(
    "a handler that its time limit abandoned does not take back the FAILURE",
    Effect.gen(function* () {
      const client = yield* Client
      const gate = yield* Deferred.make<void>()
      const slow = Task.make("proj.slow", { params: {}, result: Schema.Number, timeLimit: "1 second" })
      let went = false
      yield* start(
        {},
        Tasks.handle(slow, () =>
          Effect.gen(function* () {
            yield* Deferred.await(gate)
            yield* (yield* TaskContext).updateState("PROGRESS", 1)
            went = true
            return 1
          }).pipe(Effect.uninterruptible)
        )
      )
      const { id } = yield* client.send(slow, {})
      yield* settle
      yield* pass(2)
      assert.strictEqual((yield* stored(id))?.status, "FAILURE")
      yield* Deferred.succeed(gate, undefined)
      yield* settle
      assert.isTrue(went)
      assert.strictEqual((yield* stored(id))?.status, "FAILURE")
    })
  )

  it.effect("a rate limit that is set anew leaves no timer behind", () =>
    Effect.gen(function* () {
      const hub = yield* Hub
      let armed = 0
      const limit = RateLimit.make({
        hub: {
          ...hub,
          callAfter: (...args) =>
            Effect.map(hub.callAfter(...args), (timer) => {
              armed++
              return {
                ...timer,
                cancel: Effect.andThen(
                  timer.cancel,
                  Effect.sync(() => void armed--)
                )
              }
            })
        },
        clock: yield* Clock.Clock,
        fork: Effect.runForkWith(yield* Effect.context()),
        due: () => undefined
      })
      const request = {
        registered: { task: { name: "proj.limited", options: { rateLimit: "1/h" } } }
      } as unknown as Request
      assert.deepStrictEqual([limit.holds(request), limit.holds(request)], [false, true])
      for (let time = 0; time < 1000; time++) limit.set("proj.limited", 1 / 3600)
      yield* settle
      assert.strictEqual(armed, 1)
    }).pipe(Effect.provide(Hub.layer))
  )
})
