import type { Delivery } from "@apium/hub/Delivery"
import * as Orphans from "@apium/worker/execution/Orphans"
import type { Request } from "@apium/worker/execution/Request"
import type { Slots } from "@apium/worker/execution/Slots"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"

/** A delivery that says what became of it. */
const delivery = (log: Array<string>, redelivered: boolean, counted?: number): Delivery =>
  ({
    message: { headers: { id: "a", retries: 0, ...(counted === undefined ? {} : { "x-apium-deliveries": counted }) } },
    redelivered,
    ack: Effect.sync(() => void log.push("acknowledged"))
  }) as unknown as Delivery

const request = (delivery: Delivery, more: Partial<Request> = {}): Request =>
  ({ delivery, message: { headers: { id: "a", retries: 0 } }, ...more }) as unknown as Request

const make = (waiting: ReadonlyArray<Request> = []) =>
  Effect.map(Effect.scope, (scope) =>
    Orphans.make({ running: () => new Map(), waiting: () => waiting } as unknown as Slots, scope)
  )

describe("what comes again of a message that was published again to be counted", () => {
  it.effect("is done with as that message was, if its acknowledgement did not arrive", () =>
    Effect.gen(function* () {
      const log: Array<string> = []
      const orphans = yield* make()
      orphans.ended(request(delivery(log, true, 1), { acknowledged: true }))
      yield* orphans.adopt(delivery(log, true, 1))!
      assert.deepStrictEqual(log, ["acknowledged"])
    })
  )

  it.effect("is run if it is the copy, for the first time or not: it has had no run", () =>
    Effect.gen(function* () {
      const log: Array<string> = []
      const orphans = yield* make()
      orphans.ended(request(delivery(log, true, 1), { acknowledged: true }))
      orphans.ended(request(delivery(log, true), { acknowledged: true }))
      for (const redelivered of [true, false])
        assert.strictEqual(orphans.adopt(delivery(log, redelivered, 2)), undefined)
    })
  )

  it.effect("is run once if the copy is there twice, for it was sent again on another link", () =>
    Effect.gen(function* () {
      const log: Array<string> = []
      const ended = yield* make()
      ended.ended(request(delivery(log, false, 2), { acknowledged: true }))
      yield* ended.adopt(delivery(log, false, 2))!
      const held = yield* make([request(delivery(log, false, 2))])
      yield* held.adopt(delivery(log, false, 2))!
      assert.deepStrictEqual(log, ["acknowledged", "acknowledged"])
      // Another one of the same task is another one.
      assert.strictEqual(held.adopt(delivery(log, false, 3)), undefined)
      assert.strictEqual(held.adopt(delivery(log, false)), undefined)
    })
  )
})
