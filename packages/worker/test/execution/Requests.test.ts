import type { Connection } from "@apium/hub/Connection"
import * as Blueprint from "@apium/worker/Blueprint"
import { Client } from "@apium/worker/client/Client"
import type { ResultBackend } from "@apium/worker/client/ResultBackend"
import { Requests } from "@apium/worker/execution/Requests"
import * as Strategy from "@apium/worker/execution/Strategy"
import * as Task from "@apium/worker/task/Task"
import { Tasks } from "@apium/worker/task/Tasks"
import * as Profile from "@apium/worker/Profile"
import { Shutdown } from "@apium/worker/Shutdown"
import * as Worker from "@apium/worker/Worker"
import { assert, describe } from "@effect/vitest"
import { Context, Deferred, Effect, Layer, Result, Schema, type Scope } from "effect"
import { TestClock } from "effect/testing"
import { celery, ended, headers, inject, json, settle, stored, takeAll, test, waiting } from "../support/World.ts"

const params = { n: Schema.Number }
const work = Task.make("t.work", { params, result: Schema.Number })
const slow = Task.make("t.slow", { params, result: Schema.Number, rateLimit: "1/m" })
const alone = Task.make("t.alone", { params, result: Schema.Number, concurrency: 1 })

/** Handlers that wait for their gate, and the requests of the worker that runs them. */
const gated = Effect.fnUntraced(function* (options: Partial<Worker.Options> = {}): Effect.fn.Return<
  {
    readonly requests: Requests["Service"]
    readonly began: Array<number>
    readonly interrupted: Array<number>
    readonly open: (n: number) => Effect.Effect<void>
  },
  never,
  Connection | ResultBackend | Tasks | Scope.Scope
> {
  const began: Array<number> = []
  const interrupted: Array<number> = []
  const gates = new Map<number, Deferred.Deferred<void>>()
  const gate = (n: number) => {
    const known = gates.get(n) ?? Deferred.makeUnsafe<void>()
    gates.set(n, known)
    return known
  }
  const run = ({ n }: { readonly n: number }) =>
    Effect.suspend(() => {
      began.push(n)
      return Effect.onInterrupt(Effect.as(Deferred.await(gate(n)), n), () =>
        Effect.sync(() => void interrupted.push(n))
      )
    })
  for (const task of [work, slow, alone]) yield* Layer.build(Tasks.handle(task, run))
  const context = yield* Layer.build(
    Blueprint.layer(Worker.blueprint({ queues: [celery], concurrency: 2, ...options }))
  ).pipe(Effect.orDie)
  yield* settle
  // What still runs when a test ends is not waited for.
  yield* Effect.addFinalizer(() => Context.get(context, Shutdown).request("cold"))
  return {
    requests: Context.get(context, Requests),
    began,
    interrupted,
    open: (n) => Effect.andThen(Deferred.succeed(gate(n), undefined), settle)
  }
})

/** A task for a minute from now, which the broker knows nothing about: as Python sends it. */
const later = (id: string, n: number) =>
  inject(json(`[[], {"n": ${n}}, {}]`, headers("t.work", id, { eta: "1970-01-01T00:01:00+00:00" })))

const numbers = (of: ReadonlyArray<{ readonly message: { readonly kwargs: Readonly<Record<string, unknown>> } }>) =>
  of.map(({ message }) => message.kwargs.n)

const shown = (requests: Requests["Service"]) => ({
  active: numbers(requests.active().map(({ request }) => request)),
  reserved: numbers(requests.reserved()),
  scheduled: numbers(requests.scheduled().map(({ request }) => request))
})

describe("the requests of a worker", () => {
  test(
    "are active, reserved or scheduled",
    Effect.gen(function* () {
      const { requests, open } = yield* gated({ profile: { ...Profile.durable, delay: "worker" } })
      const client = yield* Client
      yield* client.sendAll(
        work,
        [1, 2, 3].map((n) => ({ n }))
      )
      yield* client.sendAll(
        slow,
        [4, 5].map((n) => ({ n }))
      )
      yield* later("later", 6)
      yield* settle
      assert.deepStrictEqual(shown(requests), { active: [1, 2], reserved: [3, 4, 5], scheduled: [6] })
      // Four per slot, and room beside for the one that is held and the one that waits for its rate limit.
      assert.strictEqual(requests.prefetch(), 10)
      yield* open(1)
      assert.deepStrictEqual(shown(requests), { active: [2, 3], reserved: [4, 5], scheduled: [6] })
      assert.deepStrictEqual([...requests.totals()], [["t.work", 3]])
      yield* TestClock.adjust("1 minute")
      yield* settle
      assert.deepStrictEqual(shown(requests), { active: [2, 3], reserved: [4, 5, 6], scheduled: [] })
    })
  )

  test(
    "wait for others of their task alone",
    Effect.gen(function* () {
      const { began, open } = yield* gated()
      const client = yield* Client
      yield* client.sendAll(
        alone,
        [1, 2].map((n) => ({ n }))
      )
      yield* client.send(work, { n: 3 })
      yield* settle
      assert.deepStrictEqual(began, [1, 3])
      yield* open(1)
      assert.deepStrictEqual(began, [1, 3, 2])
    })
  )
})

describe("revoking", () => {
  test(
    "discards at once what waits here, wherever it waits",
    Effect.gen(function* () {
      const { requests, began } = yield* gated({ profile: { ...Profile.durable, delay: "worker" } })
      const client = yield* Client
      const running = yield* client.sendAll(
        work,
        [1, 2].map((n) => ({ n }))
      )
      const reserved = yield* client.send(work, { n: 3 })
      const limited = yield* client.sendAll(
        slow,
        [4, 5].map((n) => ({ n }))
      )
      yield* later("later", 6)
      yield* settle
      const ids = [...[running[0]!, reserved, ...limited].map(({ id }) => id), "later"]
      yield* requests.revoke(ids)
      assert.deepStrictEqual(shown(requests), { active: [1, 2], reserved: [], scheduled: [] })
      for (const id of ids.slice(1)) assert.strictEqual((yield* ended(id)).status, "REVOKED")
      assert.isUndefined(yield* stored(ids[0]!))
      assert.deepStrictEqual(requests.revoked(), ids)
      assert.deepStrictEqual(began, [1, 2])
      assert.strictEqual(yield* waiting("celery"), 0)
    })
  )

  test(
    "discards what comes later",
    Effect.gen(function* () {
      const { requests, began } = yield* gated()
      const client = yield* Client
      yield* requests.revoke(["later"])
      const result = yield* client.send(work, { n: 1 }, { taskId: "later" })
      yield* settle
      assert.strictEqual(yield* result.state, "REVOKED")
      assert.deepStrictEqual(began, [])
    })
  )

  test(
    "with terminate ends what runs, and no other",
    Effect.gen(function* () {
      const { requests, interrupted, open } = yield* gated()
      const client = yield* Client
      const [one, other] = yield* client.sendAll(
        work,
        [1, 2].map((n) => ({ n }))
      )
      yield* settle
      yield* requests.revoke([one!.id], { terminate: true })
      yield* settle
      assert.deepStrictEqual(interrupted, [1])
      const failure = yield* Effect.flip(one!.get)
      assert.deepInclude(failure, { _tag: "TaskFailed", state: "REVOKED", excType: "TaskRevokedError" })
      yield* open(2)
      assert.strictEqual(yield* other!.get, 2)
      assert.strictEqual(yield* waiting("celery"), 0)
    })
  )

  test(
    "by a stamp ends and discards what carries it, here and later, and says which were here",
    Effect.gen(function* () {
      const { requests, interrupted } = yield* gated({ concurrency: 1 })
      const stamped = (id: string, tenant: unknown) =>
        inject(json(`[[${id}], {}, {}]`, headers("t.work", id, { stamped_headers: ["tenant"], stamps: { tenant } })))
      yield* stamped("1", "a")
      yield* stamped("2", ["b", "a"])
      yield* stamped("3", "b")
      yield* settle
      const ids = yield* requests.revokeByStampedHeaders({ tenant: ["a"] }, { terminate: true })
      yield* settle
      assert.deepStrictEqual(ids, ["1", "2"])
      assert.deepStrictEqual(interrupted, [1])
      yield* stamped("4", "a")
      yield* settle
      for (const id of ["1", "2", "4"]) assert.strictEqual((yield* ended(id)).status, "REVOKED")
      assert.isUndefined(yield* stored("3"))
    })
  )
})

describe("limits set while the worker runs", () => {
  test(
    "a rate limit holds for what waits already, and can be lifted",
    Effect.gen(function* () {
      const { requests, began } = yield* gated({ concurrency: 10 })
      const client = yield* Client
      yield* client.sendAll(
        slow,
        [1, 2, 3, 4].map((n) => ({ n }))
      )
      yield* settle
      assert.deepStrictEqual(began, [1])
      yield* requests.rateLimit("t.slow", "1/s").pipe(Effect.orDie)
      yield* TestClock.adjust("1 second")
      yield* settle
      assert.deepStrictEqual(began, [1, 2])
      yield* requests.rateLimit("t.slow", null).pipe(Effect.orDie)
      yield* settle
      assert.deepStrictEqual(began, [1, 2, 3, 4])
      const refused = yield* Effect.result(requests.rateLimit("t.slow", "often"))
      assert.isTrue(Result.isFailure(refused))
    })
  )

  test(
    "a time limit holds for the runs that begin after it",
    Effect.gen(function* () {
      const { requests, interrupted } = yield* gated()
      const client = yield* Client
      yield* client.send(work, { n: 1 })
      yield* settle
      yield* requests.timeLimit("t.work", { soft: 5 })
      const limited = yield* client.send(work, { n: 2 })
      yield* settle
      yield* TestClock.adjust("5 seconds")
      yield* settle
      assert.deepStrictEqual(interrupted, [2])
      assert.deepInclude(yield* Effect.flip(limited.get), { state: "FAILURE", excType: "SoftTimeLimitExceeded" })
    })
  )

  test(
    "more slots take more at once, fewer let what runs end",
    Effect.gen(function* () {
      const { requests, began, open } = yield* gated({ concurrency: 1 })
      const client = yield* Client
      yield* client.sendAll(
        work,
        [1, 2, 3, 4, 5].map((n) => ({ n }))
      )
      yield* settle
      assert.strictEqual(requests.prefetch(), 4)
      yield* requests.resize(3)
      yield* settle
      assert.deepStrictEqual(began, [1, 2, 3])
      assert.strictEqual(requests.prefetch(), 12)
      yield* requests.resize(1)
      yield* open(1)
      yield* open(2)
      assert.deepStrictEqual(began, [1, 2, 3])
      yield* open(3)
      assert.deepStrictEqual(began, [1, 2, 3, 4])
    })
  )

  test(
    "autoscale: grows with what waits, and shrinks when nobody has needed it for a while",
    Effect.gen(function* () {
      const { requests, open } = yield* gated({
        concurrency: 1,
        autoscale: { min: 1, max: 3, keepalive: "10 seconds" }
      })
      const client = yield* Client
      yield* client.sendAll(
        work,
        [1, 2, 3, 4].map((n) => ({ n }))
      )
      yield* settle
      yield* TestClock.adjust("1 second")
      yield* settle
      assert.strictEqual(requests.concurrency(), 3)
      for (const n of [1, 2, 3, 4]) yield* open(n)
      yield* TestClock.adjust("8 seconds")
      yield* settle
      assert.strictEqual(requests.concurrency(), 3)
      yield* TestClock.adjust("3 seconds")
      yield* settle
      assert.strictEqual(requests.concurrency(), 1)
    })
  )
})

describe("a strategy of the task's own", () => {
  test(
    "decides before the worker does, and may leave it to it",
    Effect.gen(function* () {
      const tenant = Task.make("t.tenant", { params })
      const seen: Array<unknown> = []
      yield* Layer.build(
        Tasks.handle(tenant, ({ n }) => Effect.sync(() => void seen.push(n)), {
          strategy: (request, next) =>
            request.message.headers.extra["x-tenant"] === "blocked"
              ? Effect.as(request.delivery.reject({ requeue: false }), Strategy.settled)
              : next
        })
      )
      yield* gated()
      const client = yield* Client
      yield* client.send(tenant, { n: 1 }, { headers: { "x-tenant": "blocked" } })
      yield* client.send(tenant, { n: 2 }, { headers: { "x-tenant": "good" } })
      yield* settle
      assert.deepStrictEqual(seen, [2])
      assert.strictEqual((yield* takeAll("celery")).length, 0)
    })
  )
})
