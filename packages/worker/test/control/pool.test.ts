/** Remote control over how much runs at once: the slots, the window that follows, and the worker that scales itself. */
import { Client } from "@apium/worker/client/Client"
import * as Control from "@apium/worker/control/Control"
import * as InlinePool from "@apium/worker/execution/pools/InlinePool"
import * as Profile from "@apium/worker/Profile"
import * as Task from "@apium/worker/task/Task"
import { Tasks } from "@apium/worker/task/Tasks"
import type * as Worker from "@apium/worker/Worker"
import { assert, describe } from "@effect/vitest"
import { Deferred, Effect, Schema } from "effect"
import { TestClock } from "effect/testing"
import { settle, start, test, waiting } from "../support/World.ts"

const work = Task.make("p.work", { params: { n: Schema.Number } })
const to = { destination: ["celery@a"], reply: true }

/** A worker with twenty tasks that wait at a gate. */
const busy = Effect.fnUntraced(function* (options: Partial<Worker.Options> = {}) {
  const gate = yield* Deferred.make<void>()
  yield* start(
    { name: "celery@a", concurrency: 2, ...options },
    Tasks.handle(work, () => Deferred.await(gate))
  )
  const client = yield* Client
  yield* client.sendAll(
    work,
    Array.from({ length: 20 }, (_, n) => ({ n }))
  )
  yield* settle
  // A worker waits for what runs.
  yield* Effect.addFinalizer(() => Deferred.succeed(gate, undefined))
  return { open: Effect.andThen(Deferred.succeed(gate, undefined), settle) }
})

const said = (replies: Control.Replies<Control.Done>) =>
  Effect.tap(
    Effect.map(replies, ([only]) => only!.reply),
    settle
  )

const answer = <A>(replies: Control.Replies<A>) =>
  Effect.map(replies, ([only]) => {
    if (Control.isFailed(only!.reply)) throw new Error(only!.reply.error)
    return only!.reply
  })

/** How many run, how many may be held, and how many are: of twenty. */
const shown = Effect.gen(function* () {
  const stats = yield* answer(Control.inspect.stats(to))
  return {
    active: (yield* answer(Control.inspect.active(to))).length,
    slots: stats.pool["max-concurrency"],
    prefetch: stats.prefetch_count,
    taken: 20 - (yield* waiting("celery"))
  }
})

describe("a pool that is told to", () => {
  test(
    "grows at once, and the window with it",
    Effect.gen(function* () {
      yield* busy()
      assert.deepStrictEqual(yield* shown, { active: 2, slots: 2, prefetch: 8, taken: 8 })
      assert.deepStrictEqual(yield* said(Control.poolGrow(2, to)), { ok: "pool will grow" })
      assert.deepStrictEqual(yield* shown, { active: 4, slots: 4, prefetch: 16, taken: 16 })
    })
  )

  test(
    "shrinks without ending what runs, and takes no more than it may hold",
    Effect.gen(function* () {
      const { open } = yield* busy({ concurrency: 3 })
      assert.deepStrictEqual(yield* said(Control.poolShrink(2, to)), { ok: "pool will shrink" })
      assert.deepStrictEqual(yield* shown, { active: 3, slots: 1, prefetch: 4, taken: 12 })
      yield* open
      assert.deepStrictEqual(yield* shown, { active: 0, slots: 1, prefetch: 4, taken: 20 })
    })
  )

  test(
    "keeps one slot",
    Effect.gen(function* () {
      yield* busy()
      const refused = yield* said(Control.poolShrink(2, to))
      assert.deepStrictEqual(refused, { error: `ValueError("Can't shrink pool. It has 2, and keeps one")` })
      assert.strictEqual((yield* shown).slots, 2)
    })
  )

  test(
    "and has a size of its own says so",
    Effect.gen(function* () {
      yield* busy({ pool: InlinePool.layer })
      assert.deepStrictEqual(yield* said(Control.poolGrow(1, to)), {
        error: "ValueError('the pool inline has a size of its own: 1')"
      })
    })
  )
})

describe("a worker that scales itself", () => {
  const autoscale = { min: 1, max: 3, keepalive: "10 seconds" } as const

  test(
    "does so between other bounds when it is told, at once where it is outside of them",
    Effect.gen(function* () {
      yield* busy({ concurrency: 1, autoscale })
      yield* TestClock.adjust("2 seconds")
      assert.strictEqual((yield* shown).active, 3)
      assert.deepStrictEqual(yield* said(Control.autoscale(6, 2, to)), { ok: "autoscale now max=6 min=2" })
      yield* TestClock.adjust("2 seconds")
      yield* settle
      assert.strictEqual((yield* shown).active, 6)
      assert.deepStrictEqual(yield* said(Control.autoscale(2, 1, to)), { ok: "autoscale now max=2 min=1" })
      assert.strictEqual((yield* shown).slots, 2)
      const { autoscaler } = (yield* answer(Control.inspect.stats(to))) as { readonly autoscaler?: unknown }
      assert.deepInclude(autoscaler, { max: 2, min: 1, current: 2 })
    })
  )

  for (const [title, options] of [
    ["fetch exact", { fetch: "exact" }],
    ["fetch exact, acknowledged early", { fetch: "exact", profile: Profile.celery }],
    ["a multiplier of 1", { prefetchMultiplier: 1 }],
    ["a multiplier of 1, acknowledged early", { prefetchMultiplier: 1, profile: Profile.celery }],
    ["the default window", {}]
  ] as const) {
    test(
      `grows to its most while tasks wait, with ${title}, and is as small as before when they are done`,
      Effect.gen(function* () {
        const { open } = yield* busy({ concurrency: 2, autoscale: { ...autoscale, max: 8, min: 2 }, ...options })
        assert.strictEqual((yield* shown).active, 2)
        yield* TestClock.adjust("4 seconds")
        yield* settle
        assert.deepInclude(yield* shown, { active: 8, slots: 8 })
        yield* open
        yield* TestClock.adjust("15 seconds")
        assert.deepInclude(yield* shown, { active: 0, slots: 2, taken: 20 })
      })
    )
  }

  test(
    "keeps one slot free with fetch exact where no more tasks come, and does not grow again for it",
    Effect.gen(function* () {
      const gate = yield* Deferred.make<void>()
      yield* start(
        { name: "celery@a", concurrency: 2, fetch: "exact", autoscale: { ...autoscale, max: 8 } },
        Tasks.handle(work, () => Deferred.await(gate))
      )
      yield* Effect.addFinalizer(() => Deferred.succeed(gate, undefined))
      const client = yield* Client
      yield* client.sendAll(work, [{ n: 1 }, { n: 2 }])
      yield* settle
      const slots: Array<unknown> = []
      for (let look = 0; look < 40; look++) {
        yield* TestClock.adjust("1 second")
        slots.push((yield* shown).slots)
      }
      assert.strictEqual(slots[0], 4)
      assert.deepStrictEqual(
        slots.slice(20),
        Array.from({ length: 20 }, () => 3)
      )
    })
  )

  test(
    "refuses bounds that make no sense, and a size, with Celery's words",
    Effect.gen(function* () {
      yield* busy({ concurrency: 1, autoscale })
      assert.deepStrictEqual(yield* said(Control.autoscale(1, 2, to)), {
        error: "ValueError('max=1 is less than min=2')"
      })
      for (const [name, asked] of [
        ["pool_grow", Control.poolGrow(1, to)],
        ["pool_shrink", Control.poolShrink(1, to)]
      ] as const) {
        assert.deepStrictEqual(yield* said(asked), {
          error: `${name} is not supported with autoscale. Adjust autoscale range instead.`
        })
      }
    })
  )
})
