import { Nacked, OutOfMemory } from "@apium/hub/HubError"
import type { Message } from "@apium/hub/Message"
import { Client } from "@apium/worker/client/Client"
import * as Signature from "@apium/worker/client/Signature"
import * as Retry from "@apium/worker/task/Retry"
import * as Task from "@apium/worker/task/Task"
import { Tasks } from "@apium/worker/task/Tasks"
import { assert, describe } from "@effect/vitest"
import { Clock, Effect, Schema } from "effect"
import { Faults, mended, pass, refused, test } from "../support/SlowWorld.ts"
import { headers, inject, json, settle, start, stored, takeAll, waiting } from "../support/World.ts"

const work = Task.make("proj.work", { params: { n: Schema.Number }, result: Schema.Number })
const plain = Task.make("proj.plain", { params: {}, result: Schema.Number })
const again = Task.make("proj.again", {
  params: {},
  result: Schema.Number,
  retry: Retry.fixed({ maxRetries: 5, delay: "1 second" })
})

const refusals = [
  ["is out of memory", refused(new OutOfMemory({ text: "used_memory > maxmemory" }))],
  ["nacks", refused(new Nacked({ exchange: "", routingKey: "celery" }))]
] as const

for (const [how, refusal] of refusals) {
  describe(`a broker that ${how}`, () => {
    for (const seconds of [0, 5]) {
      test(
        `for ${seconds} s does not turn a retry into a failure`,
        Effect.gen(function* () {
          const faults = yield* Faults
          const client = yield* Client
          let runs = 0
          yield* start(
            {},
            Tasks.handle(again, () =>
              Effect.suspend(() => {
                if (++runs > 1) return Effect.succeed(1)
                faults.publish = () => refusal
                return Effect.die(new Error("again"))
              })
            )
          )
          const { id } = yield* client.send(again, {})
          yield* settle
          if (seconds > 0) yield* pass(seconds)
          yield* mended
          yield* pass(60)
          assert.deepStrictEqual([(yield* stored(id))?.status, yield* waiting("celery")], ["SUCCESS", 0])
          assert.isAtLeast(runs, 2)
        })
      )

      test(
        `for ${seconds} s does not turn a success into a failure, and the next step of its chain is sent`,
        Effect.gen(function* () {
          const faults = yield* Faults
          const client = yield* Client
          let runs = 0
          let steps = 0
          yield* start(
            {},
            Tasks.handle(plain, () =>
              Effect.sync(() => {
                if (runs++ === 0) faults.publish = () => refusal
                return 1
              })
            ),
            Tasks.handle(work, ({ n }) =>
              Effect.as(
                Effect.sync(() => void steps++),
                n
              )
            )
          )
          const { id } = yield* client.send(plain, {}, { link: Signature.si(work, { n: 1 }) })
          yield* settle
          if (seconds > 0) yield* pass(seconds)
          assert.notStrictEqual((yield* stored(id))?.status, "FAILURE")
          yield* mended
          yield* pass(60)
          assert.deepStrictEqual([(yield* stored(id))?.status, yield* waiting("celery")], ["SUCCESS", 0])
          assert.isAtLeast(steps, 1)
        })
      )
    }

    test(
      "loses nothing that was to be dead-lettered",
      Effect.gen(function* () {
        const faults = yield* Faults
        faults.publish = (_, { routingKey }) => (routingKey.endsWith(".dead") ? refusal : Effect.void)
        yield* start(
          {},
          Tasks.handle(work, ({ n }) => Effect.succeed(n))
        )
        yield* inject(json("[[], {}, {}]", headers("proj.unknown", "nobody's")))
        yield* settle
        yield* pass(5)
        yield* mended
        yield* pass(60)
        assert.deepStrictEqual(
          [yield* takeAll("celery"), yield* takeAll("celery.dead")].flat().map(({ message }) => message.headers.id),
          ["nobody's"]
        )
      })
    )
  })
}

describe("what a worker publishes", () => {
  for (const callbacks of [false, true]) {
    test(
      `by a middleware that throws costs it no place for others, ${callbacks ? "with" : "without"} a callback`,
      Effect.gen(function* () {
        const client = yield* Client
        let others = 0
        yield* start(
          {
            publishMiddleware: [
              () => {
                throw new Error("a bug")
              }
            ]
          },
          Tasks.handle(plain, () => Effect.die(new Error("as it should"))),
          Tasks.handle(work, ({ n }) =>
            Effect.as(
              Effect.sync(() => void others++),
              n
            )
          )
        )
        const callback = Signature.si(work, { n: 9 })
        // As many as it prefetches.
        for (let sent = 0; sent < 4; sent++) yield* client.send(plain, {}, callbacks ? { linkError: callback } : {})
        yield* settle
        yield* client.send(work, { n: 1 })
        yield* settle
        assert.strictEqual(others, 1)
      })
    )
  }

  test(
    "until it is due goes to no second queue, and in nobody else's name",
    Effect.gen(function* () {
      const faults = yield* Faults
      const parked: Array<Message> = []
      faults.publish = (message, { notBefore }) =>
        Effect.sync(() => {
          if (notBefore !== undefined) parked.push(message)
        })
      yield* start(
        {},
        Tasks.handle(work, ({ n }) => Effect.succeed(n))
      )
      const eta = new Date((yield* Clock.currentTimeMillis) + 60_000).toISOString()
      const message = json(`[[], {"n": 1}, {}]`, headers("proj.work", "python's", { eta, CC: ["other"] }))
      yield* inject({ ...message, properties: { ...message.properties, userId: "python" } })
      yield* settle
      // RabbitMQ refuses another user's `userId`, and `CC` has been followed once.
      assert.deepStrictEqual(
        parked.map(({ headers, properties }) => [headers.id, "CC" in headers, properties.userId]),
        [["python's", false, undefined]]
      )
      yield* pass(61)
      assert.strictEqual((yield* stored("python's"))?.status, "SUCCESS")
    })
  )
})
