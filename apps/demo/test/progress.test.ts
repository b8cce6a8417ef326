import { assert, describe, it } from "@effect/vitest"
import { bar, quarter } from "#demo/progress"

describe("the progress bar", () => {
  it("shows how much is done and how much runs", () => {
    assert.strictEqual(
      bar({ done: 5, total: 10, running: 2 }, 50),
      "█████████████░░░░░░░░░░░░░░  5/10 tasks, 2 running"
    )
  })

  it("says when all that is left waits for its time", () => {
    assert.include(bar({ done: 8, total: 10, running: 0 }, 80), "8/10 tasks, 2 not due yet")
  })

  it("is empty before the first task and full after the last", () => {
    assert.match(bar({ done: 0, total: 3, running: 0 }, 80), /^░+ {2}0\/3 tasks, 0 running$/)
    assert.match(bar({ done: 3, total: 3, running: 0 }, 80), /^█+ {2}3\/3 tasks$/)
    assert.match(bar({ done: 0, total: 0, running: 0 }, 80), /^█+ {2}0\/0 tasks/)
  })

  it("drops what matters least on a narrow terminal", () => {
    assert.strictEqual(bar({ done: 5, total: 10, running: 2 }, 24), "██████░░░░░░  5/10 tasks")
    assert.strictEqual(bar({ done: 5, total: 10, running: 2 }, 12), "5/10 tasks")
    assert.strictEqual(bar({ done: 5, total: 10, running: 2 }, 4), "5/10")
    assert.strictEqual(bar({ done: 5, total: 10, running: 2 }, -1), "")
  })

  it("never needs more columns than there are", () => {
    for (let width = 0; width <= 120; width++) {
      for (const done of [0, 1, 999, 1000]) {
        assert.isAtMost(bar({ done, total: 1000, running: 8 }, width).length, width)
      }
    }
  })
})

describe("progress without a terminal", () => {
  it("is counted in quarters", () => {
    const total = 10
    assert.deepStrictEqual(
      [0, 2, 3, 5, 8, 10].map((done) => quarter({ done, total, running: 0 })),
      [0, 0, 1, 2, 3, 4]
    )
  })

  it("of nothing is all of it", () => {
    assert.strictEqual(quarter({ done: 0, total: 0, running: 0 }), 4)
  })
})
