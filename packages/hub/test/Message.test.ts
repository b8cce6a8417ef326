import * as Message from "@apium/hub/Message"
import { assert, describe, it } from "@effect/vitest"

const body = new Uint8Array(1)

describe("Message.republishable", () => {
  it("is the message itself where nothing in it is of one delivery", () => {
    const message = Message.make(body, { priority: 3 }, { "x-tenant": "acme" })
    assert.strictEqual(Message.republishable(message), message)
  })

  it("takes off what a broker wrote, what it would route by again, and whose it was", () => {
    const message = Message.make(
      body,
      { priority: 3, userId: "guest" },
      {
        "x-tenant": "acme",
        CC: ["other"],
        "x-death": [{ queue: "celery_delayed_0", reason: "expired", count: 1 }],
        "x-first-death-exchange": "celery_delayed_27",
        "x-first-death-queue": "celery_delayed_0",
        "x-first-death-reason": "expired",
        "x-last-death-exchange": "celery_delayed_27",
        "x-last-death-queue": "celery_delayed_0",
        "x-last-death-reason": "expired",
        "x-delivery-count": 2
      }
    )
    const { headers, properties } = Message.republishable(message)
    assert.deepStrictEqual(headers, { "x-tenant": "acme" })
    assert.deepStrictEqual(properties, { priority: 3, userId: undefined })
  })
})
