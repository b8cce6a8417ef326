import { assert, describe, it } from "@effect/vitest"
import * as Ledger from "../../../../test/support/Ledger.ts"

describe("the ledger of fault tests", () => {
  it("finds what was lost, what took effect twice, and what nobody sent", () => {
    const ledger = Ledger.make()
    for (const task of ["done", "twice", "lost", "back", "again"]) ledger.accepted(task)
    for (const task of ["done", "twice", "twice", "stranger"]) {
      ledger.started(task)
      ledger.finished(task)
    }
    ledger.started("lost")
    ledger.givenBack("back")
    // Given back, and taken again by somebody who never ended it.
    ledger.givenBack("again")
    ledger.started("again")
    const { line, recovery: _, ...report } = ledger.report()
    assert.deepStrictEqual(report, {
      n: 5,
      lost: ["lost", "again"],
      dup: 1,
      unknown: ["stranger"],
      started: 6,
      finished: 2,
      givenBack: 1
    })
    assert.strictEqual(line, "lost=2 dup=1 n=5 recover_p50/p95/max=0/0/0\n  lost: lost\n  lost: again")
  })

  it("takes the time from a fault until what it cut off begins again", () => {
    let now = 0
    const ledger = Ledger.make(() => now)
    for (let task = 0; task < 10; task++) {
      ledger.accepted(String(task))
      ledger.started(String(task))
    }
    ledger.finished("9")
    now = 100
    ledger.fault()
    now = 150
    // One more does not set the clock back.
    ledger.fault()
    for (let task = 0; task < 9; task++) {
      now += 50
      ledger.started(String(task))
      ledger.finished(String(task))
    }
    assert.deepStrictEqual(ledger.report().recovery, { p50: 300, p95: 500, max: 500 })
  })
})
