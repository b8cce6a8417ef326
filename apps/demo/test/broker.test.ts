import { assert, describe, it } from "@effect/vitest"
import { refusal } from "#demo/broker"

describe("a broker URL of the demo", () => {
  it("is of memory, for today", () => {
    for (const url of ["memory://", "MEMORY://", "memory://localhost/"]) assert.isUndefined(refusal(url))
    assert.include(refusal("redis://:secret@host"), "APIUM_BROKER_URL is redis://:**@host: redis:// needs")
  })
})
