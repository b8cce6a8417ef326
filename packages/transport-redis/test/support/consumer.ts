/** A process that takes ten messages a turn, says which, and then settles them; until it is killed. */
import { Effect } from "effect"
import { writeSync } from "node:fs"
import * as stores from "./stores.ts"

const [url = "", queue = ""] = process.argv.slice(2)

Effect.runFork(
  Effect.scoped(
    Effect.gen(function* () {
      const { store } = yield* stores.open(url, { lease: "6 seconds" })
      for (let turn = 1; ; turn++) {
        const taken = yield* store.take([queue], 10)
        if (taken.length === 0) yield* store.ready([queue])
        else writeSync(1, `done ${taken.map(stores.text).join(",")}\n`)
        yield* store.settle(taken.map((one) => one.tag))
        if (turn === 30) writeSync(1, "30 turns\n")
      }
    })
  )
)
