import { Client } from "@apium/worker/client/Client"
import * as Profile from "@apium/worker/Profile"
import * as Task from "@apium/worker/task/Task"
import { Tasks } from "@apium/worker/task/Tasks"
import type * as Worker from "@apium/worker/Worker"
import { assert, describe } from "@effect/vitest"
import { Deferred, Effect, Layer, Schema } from "effect"
import { TestClock } from "effect/testing"
import { Faults, mended, open, pass, test } from "../support/SlowWorld.ts"
import { settle, waiting } from "../support/World.ts"

const work = Task.make("proj.work", { params: { n: Schema.Number }, result: Schema.Number })
const payloads = (count: number) => Array.from({ length: count }, (_, n) => ({ n }))

const hourLong = Tasks.handle(work, ({ n }) => Effect.as(Effect.sleep("1 hour"), n))

describe("a warm stop", () => {
  for (const [broker, latency] of [
    ["at once", Effect.void],
    ["in 10 ms", Effect.sleep("10 millis")]
  ] as const) {
    test(
      `gives back what was on its way, before what runs ends, to a broker that answers ${broker}`,
      Effect.gen(function* () {
        const faults = yield* Faults
        faults.taken = latency
        const client = yield* Client
        yield* Layer.build(hourLong)
        const worker = yield* open()
        yield* client.send(work, { n: 0 })
        yield* settle
        yield* pass(1)
        yield* client.sendAll(work, [{ n: 1 }, { n: 2 }])
        // The take of these two is on its way.
        yield* settle
        yield* worker.shutdown.request("warm")
        yield* settle
        yield* pass(60)
        assert.strictEqual(yield* waiting("celery"), 2)
        yield* TestClock.adjust("2 hours")
      })
    )
  }

  for (const [broker, latency] of [
    ["at once", Effect.void],
    ["a while later", Effect.repeat(Effect.yieldNow, { times: 4 })]
  ] as const) {
    test(
      `that turns cold sends back what had no acknowledgement to lose, to a broker that answers ${broker}`,
      Effect.gen(function* () {
        const faults = yield* Faults
        const client = yield* Client
        const begun: Array<number> = []
        yield* Layer.build(
          Tasks.handle(work, ({ n }) =>
            Effect.andThen(
              Effect.sync(() => void begun.push(n)),
              Effect.never
            )
          )
        )
        const worker = yield* open({ profile: Profile.fast, concurrency: 2 })
        yield* client.sendAll(work, payloads(4))
        yield* settle
        assert.strictEqual(yield* waiting("celery"), 0)
        faults.publish = () => latency
        yield* worker.shutdown.request("warm")
        yield* settle
        yield* worker.shutdown.request("cold")
        yield* settle
        yield* worker.stopped
        yield* settle
        assert.deepStrictEqual([begun, yield* waiting("celery")], [[0, 1], 2])
      })
    )
  }

  test(
    "that a handler asks for waits for that handler",
    Effect.gen(function* () {
      const client = yield* Client
      const gate = yield* Deferred.make<void>()
      const self = yield* Deferred.make<Worker.Worker["Service"]>()
      let outcome = "none"
      yield* Layer.build(
        Tasks.handle(work, ({ n }) =>
          n === 0
            ? Effect.as(Effect.sleep("1 second"), n)
            : Effect.gen(function* () {
                const { shutdown } = yield* Deferred.await(self)
                yield* shutdown.request("warm")
                yield* Deferred.await(gate)
                outcome = "done"
                return n
              }).pipe(Effect.onInterrupt(() => Effect.sync(() => void (outcome = "interrupted"))))
        )
      )
      const worker = yield* open()
      yield* Deferred.succeed(self, worker)
      const stopped = yield* Effect.forkChild(Effect.andThen(worker.stopped, worker.close))
      yield* client.sendAll(work, payloads(2))
      yield* settle
      yield* pass(1)
      assert.deepStrictEqual([worker.shutdown.level(), stopped.pollUnsafe(), outcome], ["warm", undefined, "none"])
      yield* Deferred.succeed(gate, undefined)
      yield* settle
      assert.strictEqual(outcome, "done")
      assert.isDefined(stopped.pollUnsafe())
    })
  )

  test(
    "ends within 10 s while the broker takes no message, with what is not due yet",
    Effect.gen(function* () {
      const faults = yield* Faults
      faults.publish = (_, { notBefore }) => (notBefore === undefined ? Effect.void : Effect.never)
      yield* Layer.build(Tasks.handle(work, ({ n }) => Effect.succeed(n)))
      const worker = yield* open()
      yield* Effect.flatMap(Client, (client) => client.send(work, { n: 7 }, { countdown: "1 hour" })).pipe(
        Effect.provide(Client.layerWith({ profile: Profile.celery }))
      )
      yield* settle
      const stopped = yield* Effect.forkChild(worker.stopped)
      yield* worker.shutdown.request("warm")
      yield* pass(11)
      assert.isDefined(stopped.pollUnsafe())
      yield* mended
      assert.strictEqual(yield* waiting("celery"), 1)
    })
  )
})

describe("a cold stop", () => {
  test(
    "does not wait for a broker that does not take back what was given",
    Effect.gen(function* () {
      const faults = yield* Faults
      const client = yield* Client
      yield* Layer.build(hourLong)
      const worker = yield* open()
      yield* client.sendAll(work, payloads(2))
      yield* settle
      faults.release = Effect.never
      const stopped = yield* Effect.forkChild(worker.stopped)
      yield* worker.shutdown.request("cold")
      yield* pass(60)
      assert.isDefined(stopped.pollUnsafe())
    })
  )
})
