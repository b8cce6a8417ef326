import { Connection } from "@apium/hub/Connection"
import * as Queue from "@apium/hub/Queue"
import { MemoryBroker } from "@apium/hub/memory/MemoryTransport"
import { Transport } from "@apium/hub/Transport"
import * as Wire from "@apium/protocol/celery/Signature"
import * as TaskMessage from "@apium/protocol/celery/TaskMessage"
import { type At, Failpoint, steps } from "@apium/worker/execution/Failpoint"
import * as Task from "@apium/worker/task/Task"
import { Tasks } from "@apium/worker/task/Tasks"
import { assert, describe } from "@effect/vitest"
import { Context, Deferred, Effect, Layer, Scope } from "effect"
import { TestClock } from "effect/testing"
import { bodyOf, headers, inject, json, settle, start, stored, takeAll, test, waiting } from "../support/World.ts"

const next = Wire.make("py.next", { options: { queue: "python" } })

const embeds: Readonly<Record<string, Partial<TaskMessage.Embed>>> = {
  plain: {},
  link: { callbacks: [next] },
  chain: { chain: [Wire.make("py.last"), next] },
  both: { callbacks: [next], chain: [next] }
}

/** A connection that does not come back: what is left of a process that is gone. */
const OneLink = Layer.fresh(Connection.layer).pipe(
  Layer.provide(
    Layer.effect(
      Transport,
      Effect.map(Transport, (transport) => {
        let used = false
        const connect = Effect.suspend(() => {
          if (used) return Effect.never
          used = true
          return transport.connect
        })
        return { ...transport, connect }
      })
    )
  )
)

/** A worker that stands still for ever when a task comes past the step. Its scope is never closed: a dead process says no goodbye. */
const doomed = (step: (typeof steps)[number], frozen: Deferred.Deferred<void>) =>
  Effect.gen(function* () {
    const scope = yield* Scope.make()
    const at: At = (at) =>
      at === step ? Effect.andThen(Deferred.succeed(frozen, undefined), Effect.never) : Effect.void
    const connection = Context.get(yield* Scope.provide(Layer.build(OneLink), scope), Connection)
    yield* start({}).pipe(
      Effect.provideService(Connection, connection),
      Effect.provideService(Failpoint, at),
      Scope.provide(scope)
    )
  })

describe("a worker that dies", () => {
  // Of chords processes tell: what fires one in this process's memory does not die with its worker.
  for (const step of steps.filter((step) => step !== "after-body" && step !== "after-chord")) {
    for (const [name, embed] of Object.entries(embeds)) {
      for (const acksLate of [true, false]) {
        for (const failing of [false, true]) {
          test(
            `${step}, ${name}, acknowledged ${acksLate ? "late" : "early"}, ${failing ? "failing" : "succeeding"}`,
            Effect.gen(function* () {
              let runs = 0
              const task = Task.make("proj.work", { params: {}, acksLate })
              const connection = yield* Connection
              yield* connection.declare({ queues: [Queue.make("python")] })
              yield* Layer.build(
                Tasks.handle(task, () =>
                  Effect.andThen(
                    Effect.sync(() => void runs++),
                    failing ? Effect.die("no") : Effect.void
                  )
                )
              )
              const frozen = yield* Deferred.make<void>()
              yield* doomed(step, frozen)
              const errbacks = [Wire.make("py.oops", { options: { queue: "python" } })]
              const body = TaskMessage.encodeBody([], {}, { ...TaskMessage.emptyEmbed, ...embed, errbacks })
              yield* inject(json(JSON.stringify(body), headers("proj.work", "w1")))
              yield* Effect.raceFirst(Deferred.await(frozen), settle)
              yield* (yield* MemoryBroker).disconnect
              yield* TestClock.adjust("2 seconds")
              yield* start({})
              yield* TestClock.adjust("1 minute")
              yield* settle

              const bodies = yield* Effect.forEach(yield* takeAll("python"), bodyOf)
              const called = bodies.map((body) => JSON.stringify((body as ReadonlyArray<unknown>)[0]))
              const state = (yield* stored("w1"))?.status
              const wanted = Object.keys(embed).length
              const sent = called.filter((args) => args === (failing ? '["w1"]' : "[null]")).length
              assert.strictEqual(yield* waiting("celery"), 0)
              // The promise: what is stored as SUCCESS has sent what it was to send.
              if (state === "SUCCESS") assert.isAtLeast(sent, wanted)
              if (acksLate) {
                assert.isAtLeast(runs, 1)
                assert.strictEqual(state, failing ? "FAILURE" : "SUCCESS")
                assert.isAtLeast(sent, failing ? 1 : wanted)
                const again = step !== "after-ack" && (step !== "after-callbacks" || failing || wanted > 0)
                assert.strictEqual(runs, again && step !== "after-accept" ? 2 : 1)
              } else assert.isAtMost(runs, 1)
            })
          )
        }
      }
    }
  }
})
