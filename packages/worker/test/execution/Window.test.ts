import * as Window from "@apium/worker/execution/Window"
import { assert, describe, it } from "@effect/vitest"

const load: Window.Load = { concurrency: 4, early: 0, orphans: 0, held: 0, limited: 0 }

describe("the window", () => {
  const table: ReadonlyArray<readonly [string, Window.Fetch, Partial<Window.Load>, number]> = [
    ["prefetches so many per slot", "prefetch", {}, 16],
    ["is smaller by what runs on from a lost link", "prefetch", { orphans: 3 }, 13],
    ["is never closed for it", "prefetch", { orphans: 40 }, 1],
    ["has room beside what is held until it is due", "prefetch", { held: 5 }, 21],
    ["has room for so many of these and no more", "prefetch", { held: 5000 }, 116],
    ["has room beside what waits for its own kind", "prefetch", { limited: 7 }, 23],
    ["has room for a thousand of these", "prefetch", { limited: 5000 }, 1016],
    ["does not mind what was acknowledged early", "prefetch", { early: 4 }, 16],
    ["is exact: as many as there are slots", "exact", {}, 4],
    ["is exact: less what has a slot and no delivery", "exact", { early: 3 }, 1],
    ["is exact: none when no slot is free", "exact", { early: 3, orphans: 1 }, 0],
    ["is exact: none, and not fewer", "exact", { early: 4, orphans: 2 }, 0],
    ["is exact: beside what is held", "exact", { early: 4, held: 7 }, 7]
  ]
  for (const [name, fetch, more, expected] of table) {
    it(`the window ${name}`, () => {
      assert.strictEqual(Window.size({ fetch, multiplier: 4, etaLimit: 100 }, { ...load, ...more }), expected)
    })
  }
})
