/** Time that is far away, and clocks that jump: RELIABILITY F1, F2 and F5 on the embedded broker. */
import * as TaskMessage from "@apium/protocol/celery/TaskMessage"
import * as Blueprint from "@apium/worker/Blueprint"
import { Client } from "@apium/worker/client/Client"
import * as Control from "@apium/worker/control/Control"
import * as EventReceiver from "@apium/worker/events/EventReceiver"
import * as Profile from "@apium/worker/Profile"
import * as Task from "@apium/worker/task/Task"
import { Tasks } from "@apium/worker/task/Tasks"
import * as Worker from "@apium/worker/Worker"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Random, Schema, type Scope, Stream } from "effect"
import { TestClock } from "effect/testing"
import { type WallClock, withWallClock } from "../../../test/support/WallClock.ts"
import { celery, ended, headers, inject, json, settle, start, stored, test, waiting, World } from "./support/World.ts"

const params = { n: Schema.Number }
const work = Task.make("clock.work", { params, result: Schema.Number })
const limited = Task.make("clock.limited", { params, result: Schema.Number, rateLimit: "1/s" })
const endless = Task.make("clock.endless", { params, result: Schema.Number, timeLimit: "10 seconds" })

const day = 86_400_000
const hour = 3_600_000
const begun = 1_700_000_000_000

/** What ran. */
const recorded = (options: Partial<Worker.Options> = {}) =>
  Effect.gen(function* () {
    const ran: Array<number> = []
    const handle = ({ n }: { readonly n: number }) =>
      Effect.sync(() => {
        ran.push(n)
        return n
      })
    yield* start(
      options,
      Layer.mergeAll(
        Tasks.handle(work, handle),
        Tasks.handle(limited, handle),
        Tasks.handle(endless, () => Effect.never)
      )
    )
    return ran
  })

/** As a sender puts it there that leaves it to the worker. */
const due = (n: number, at: number) =>
  inject(json(`[[], {"n": ${n}}, null]`, headers("clock.work", `due-${n}`, { eta: TaskMessage.formatEta(at) })))

const keepers = { broker: Profile.durable, worker: { ...Profile.durable, delay: "worker" } } as const

describe("a task that is due in 60 days", () => {
  for (const keeper of ["broker", "worker"] as const) {
    test(
      `does not run before that, kept by the ${keeper}`,
      Effect.gen(function* () {
        yield* TestClock.setTime(begun)
        const ran: Array<number> = []
        yield* Layer.build(Tasks.handle(work, ({ n }) => Effect.sync(() => ran.push(n))))
        // Two and a half million heartbeats are no matter here.
        yield* Worker.blueprint({ queues: [celery], concurrency: 1, profile: keepers[keeper] }).pipe(
          Blueprint.remove("Heart"),
          Worker.layerOf,
          Layer.build
        )
        yield* due(1, begun + 60 * day)
        yield* settle
        // A timer of Node.js holds 2^31 - 1 ms, and one of more goes off after 1 ms.
        for (const until of [1, 1000, 2 ** 31 - 1, 2 ** 31, 2 ** 31 + 1, 2 ** 32, 60 * day - 1]) {
          yield* TestClock.setTime(begun + until)
          yield* settle
          assert.deepStrictEqual(ran, [])
        }
        yield* TestClock.adjust(1)
        yield* settle
        assert.deepStrictEqual(ran, [1])
        assert.strictEqual((yield* ended("due-1")).status, "SUCCESS")
      })
    )
  }
})

const jumping = (name: string, effect: (time: WallClock) => Effect.Effect<void, unknown, World | Scope.Scope>) =>
  it.effect(name, () =>
    withWallClock(begun, (time) =>
      Effect.scoped(effect({ ...time, pass: (milliseconds) => Effect.andThen(time.pass(milliseconds), settle) })).pipe(
        Effect.provide(World),
        Random.withSeed(name)
      )
    )
  )

describe("a wall clock that jumps", () => {
  for (const keeper of ["broker", "worker"] as const) {
    jumping(`an hour back: nothing runs before it is due, kept by the ${keeper}`, ({ pass, jump }) =>
      Effect.gen(function* () {
        const ran = yield* recorded({ profile: keepers[keeper] })
        yield* due(1, begun + hour / 2)
        yield* settle
        jump(-hour)
        yield* pass(hour)
        assert.deepStrictEqual(ran, [])
        yield* pass(hour / 2 - 1)
        assert.deepStrictEqual(ran, [])
        yield* pass(1)
        assert.deepStrictEqual(ran, [1])
      })
    )

    jumping(
      `an hour forth: what waits runs when it is due, or a minute later, kept by the ${keeper}`,
      ({ pass, jump }) =>
        Effect.gen(function* () {
          const ran = yield* recorded({ profile: keepers[keeper] })
          yield* due(1, begun + 2 * hour)
          yield* settle
          jump(hour)
          yield* pass(hour - 1)
          assert.deepStrictEqual(ran, [])
          yield* pass(60_001)
          assert.deepStrictEqual(ran, [1])
        })
    )
  }

  for (const [way, by] of [
    ["back", -hour],
    ["forth", hour]
  ] as const) {
    jumping(`an hour ${way}: a rate limit goes on at its rate`, ({ pass, jump }) =>
      Effect.gen(function* () {
        const ran = yield* recorded({ concurrency: 10 })
        const client = yield* Client
        yield* client.sendAll(
          limited,
          Array.from({ length: 6 }, (_, n) => ({ n }))
        )
        yield* settle
        yield* pass(1500)
        assert.deepStrictEqual(ran, [0, 1])
        jump(by)
        yield* pass(1000)
        assert.deepStrictEqual(ran, [0, 1, 2])
        yield* pass(3000)
        assert.deepStrictEqual(ran, [0, 1, 2, 3, 4, 5])
      })
    )

    jumping(`an hour ${way}: heartbeats go on every two seconds`, ({ pass, jump }) =>
      Effect.gen(function* () {
        yield* recorded()
        let beats = 0
        yield* Effect.forkScoped(
          Stream.runForEach(EventReceiver.stream({ routingKey: "worker.heartbeat", wakeup: false }), () =>
            Effect.sync(() => void beats++)
          )
        )
        yield* settle
        yield* pass(4000)
        assert.strictEqual(beats, 2)
        jump(by)
        yield* pass(10_000)
        // Effect's schedule makes up for what it takes for a late one, once.
        assert.oneOf(beats, way === "forth" ? [7, 8] : [7])
      })
    )

    jumping(`an hour ${way}: a time limit is as long as it was`, ({ pass, jump }) =>
      Effect.gen(function* () {
        yield* recorded()
        const client = yield* Client
        const { id } = yield* client.send(endless, { n: 1 })
        yield* settle
        yield* pass(5000)
        jump(by)
        yield* pass(4999)
        assert.isUndefined(yield* stored(id))
        yield* pass(1)
        assert.strictEqual((yield* stored(id))?.status, "FAILURE")
      })
    )
  }
})

describe("20,000 tasks that are not due", () => {
  for (const fetch of ["prefetch", "exact"] as const) {
    test(
      `a worker that may hold 1,000 of them holds no more than that and its window (${fetch}), and runs all when they are due`,
      Effect.gen(function* () {
        yield* TestClock.setTime(begun)
        const ran = yield* recorded({
          concurrency: 4,
          fetch,
          etaTaskLimit: 1000,
          profile: keepers.worker,
          name: "celery@a"
        })
        const at = TaskMessage.formatEta(begun + hour)
        for (let n = 0; n < 20_000; n++) {
          yield* inject(json(`[[], {"n": ${n}}, null]`, headers("clock.work", `eta-${n}`, { eta: at })))
        }
        yield* settle
        const window = fetch === "exact" ? 4 : 16
        assert.strictEqual(yield* waiting("celery"), 20_000 - 1000 - window)
        const [reply] = yield* Control.inspect.scheduled({ destination: ["celery@a"] })
        assert.strictEqual(Control.isFailed(reply?.reply) ? undefined : reply?.reply.length, 1000 + window)
        yield* TestClock.adjust(hour)
        yield* settle
        // What was behind them is due by now, and waits no longer.
        yield* Effect.repeat(settle, { until: () => ran.length === 20_000, times: 10_000 })
        assert.strictEqual(new Set(ran).size, 20_000)
        assert.strictEqual(yield* waiting("celery"), 0)
      })
    )
  }
})
