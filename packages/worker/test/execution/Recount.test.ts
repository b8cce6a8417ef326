import type { Connection } from "@apium/hub/Connection"
import type { Delivery } from "@apium/hub/Delivery"
import { AccessRefused, ConnectionLost, HubError } from "@apium/hub/HubError"
import type * as Message from "@apium/hub/Message"
import * as Recount from "@apium/worker/execution/Recount"
import type { Request } from "@apium/worker/execution/Request"
import * as Suspects from "@apium/worker/execution/Suspects"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Option, Random } from "effect"
import { TestClock } from "effect/testing"
import { settle } from "../support/World.ts"

/** A broker that counts nothing, and writes down what it is told. */
const world = Effect.gen(function* () {
  const log: Array<string> = []
  const published: Array<readonly [message: Message.Message, route: Message.Route]> = []
  const broker = {
    publish: Effect.void as Effect.Effect<void, HubError>,
    answers: Effect.void
  }
  const connection = {
    capabilities: { deliveryCount: "republish" },
    publish: (message: Message.Message, route: Message.Route) =>
      Effect.andThen(
        Effect.suspend(() => broker.publish),
        Effect.sync(() => {
          published.push([message, route])
          log.push("published")
        })
      ),
    use: () =>
      Effect.andThen(
        Effect.suspend(() => broker.answers),
        Effect.sync(() => log.push("answered"))
      )
  } as unknown as Connection["Service"]
  const stop = yield* Deferred.make<void>()
  const suspects = Suspects.make(yield* Random.Random)
  const recount = Recount.make({ connection, suspects, stopping: Deferred.await(stop) })

  const request = (
    headers: Readonly<Record<string, unknown>>,
    more: Partial<Request> = {},
    options: { readonly redelivered?: boolean; readonly acksLate?: boolean } = {}
  ): Request => {
    const { redelivered = true, acksLate = true } = options
    const delivery = {
      message: { body: new Uint8Array(1), properties: { priority: 3, expiration: "500", messageId: "m" }, headers },
      route: { exchange: "tasks", routingKey: "any" },
      queue: "celery",
      redelivered,
      deliveryCount: Option.none(),
      ack: Effect.sync(() => void log.push("acknowledged")),
      release: Effect.sync(() => void log.push("released"))
    } as unknown as Delivery
    return {
      delivery,
      message: { headers: { id: String(headers["id"]) } },
      registered: { task: { options: { acksLate } } },
      ...more
    } as unknown as Request
  }
  const ran = Effect.sync(() => void log.push("ran"))
  return { broker, log, published, recount, request, ran, stop, suspects }
})

const refused = (reason: HubError["reason"]) => Effect.fail(new HubError({ reason }))

describe("counting deliveries", () => {
  it.effect("is due for what comes again, is settled after its run, and is counted by nobody", () =>
    Effect.gen(function* () {
      const { recount, request } = yield* world
      const counted = { id: "a", "x-delivery-count": 3 }
      assert.deepStrictEqual(
        [
          request({ id: "a" }),
          request({ id: "a" }, {}, { redelivered: false }),
          request({ id: "a" }, {}, { acksLate: false }),
          request({ id: "a" }, { noAck: true }),
          request(counted),
          // Of those the queue counts what died with them, too.
          request(counted, { suspect: true })
        ].map(recount.due),
        [true, false, false, false, false, true]
      )
    })
  )

  it.effect("sends the copy to its queue with all that the message had, but its time to live; then acknowledges", () =>
    Effect.gen(function* () {
      const { log, published, ran, recount, request } = yield* world
      const one = request({ id: "a", "x-tenant": "acme" })
      yield* recount.instead(one, ran)
      assert.deepStrictEqual(log, ["published", "acknowledged", "answered"])
      const [[{ headers, properties }, route]] = published as [(typeof published)[0]]
      assert.deepStrictEqual(headers, { id: "a", "x-tenant": "acme", "x-apium-deliveries": 1 })
      assert.deepStrictEqual(properties, { priority: 3, messageId: "m", expiration: undefined })
      assert.deepStrictEqual(route, { exchange: "", routingKey: "celery", mandatory: true })
      assert.isTrue(one.acknowledged)
    })
  )

  it.effect("keeps the copy from running before its message is acknowledged for certain", () =>
    Effect.gen(function* () {
      const { broker, log, ran, recount, request } = yield* world
      const gate = yield* Deferred.make<void>()
      broker.answers = Deferred.await(gate)
      const counting = yield* Effect.forkChild(recount.instead(request({ id: "a" }), Effect.void))
      yield* settle
      const copy = yield* Effect.forkChild(recount.after(request({ id: "a" }, {}, { redelivered: false }), ran))
      yield* recount.after(
        request({ id: "b" }, {}, { redelivered: false }),
        Effect.sync(() => void log.push("b ran"))
      )
      yield* settle
      assert.deepStrictEqual(log, ["published", "acknowledged", "b ran"])
      yield* Deferred.succeed(gate, undefined)
      yield* Fiber.join(counting)
      yield* Fiber.join(copy)
      assert.deepStrictEqual(log.slice(3), ["answered", "ran"])
    })
  )

  it.effect("that the broker refuses: the task runs uncounted", () =>
    Effect.gen(function* () {
      const { broker, log, ran, recount, request } = yield* world
      broker.publish = refused(new AccessRefused({ replyText: "no" }))
      yield* recount.instead(request({ id: "a" }), ran)
      yield* recount.after(request({ id: "a" }), ran)
      assert.deepStrictEqual(log, ["ran", "ran"])
    })
  )

  it.effect("that a lost link cuts off: the message comes again", () =>
    Effect.gen(function* () {
      const { broker, log, ran, recount, request } = yield* world
      broker.publish = refused(new ConnectionLost({ cause: "unreachable", text: "away" }))
      yield* recount.instead(request({ id: "a" }), ran)
      assert.deepStrictEqual(log, [])
    })
  )

  it.effect("that is interrupted: the message goes back as it was", () =>
    Effect.gen(function* () {
      const { broker, log, ran, recount, request } = yield* world
      broker.publish = Effect.never
      const counting = yield* Effect.forkChild(recount.instead(request({ id: "a" }), ran))
      yield* settle
      yield* Fiber.interrupt(counting)
      assert.deepStrictEqual(log, ["released"])
    })
  )

  for (const [ends, how] of [
    [
      "its copy is back",
      (w: Effect.Success<typeof world>) => {
        w.suspects.holds(w.request({ id: "a" }, { suspect: true }, { redelivered: false }))
        return Effect.void
      }
    ],
    ["nothing is to begin any more", (w: Effect.Success<typeof world>) => Deferred.succeed(w.stop, undefined)],
    ["a second has passed", () => TestClock.adjust("1 second")]
  ] as const) {
    it.effect(`of a suspect keeps its turn until ${ends}`, () =>
      Effect.gen(function* () {
        const one = yield* world
        const counting = yield* Effect.forkChild(
          one.recount.instead(one.request({ id: "a" }, { suspect: true }), one.ran)
        )
        yield* TestClock.adjust("900 millis")
        assert.deepStrictEqual([one.log, counting.pollUnsafe()], [["published", "acknowledged", "answered"], undefined])
        yield* how(one)
        yield* Fiber.join(counting)
      })
    )
  }
})
