/**
 * `pool_grow`, `pool_shrink`, `pool_restart` and `autoscale` (celery/worker/control.py). How many tasks may be held follows, as it
 * does in Celery.
 */
import * as ControlMessage from "@apium/protocol/celery/ControlMessage"
import * as Effect from "effect/Effect"
import type { Pool } from "../execution/Pool.ts"
import type { Requests } from "../execution/Requests.ts"
import type { Autoscaler } from "../steps/Autoscale.ts"
import { ArgumentError } from "./Arguments.ts"
import { type Command, command } from "./Command.ts"

const { error, ok, texts } = ControlMessage

/** As `apium worker -c` has it: each child is a thread or a process, and dozens of megabytes. */
const mostIn = (pool: Pool["Service"]): number => (Number.isFinite(pool.size()) ? 1000 : 100_000)

export const make = (
  requests: Requests["Service"],
  pool: Pool["Service"],
  autoscaler: Autoscaler["Service"] | undefined
): ReadonlyArray<Command> => {
  const resize = (name: "pool_grow" | "pool_shrink", sign: 1 | -1, text: string): Command =>
    command(name, (args) => {
      const by = args.whole("n", 1) ?? 1
      if (autoscaler !== undefined) {
        return Effect.succeed(error(`${name} is not supported with autoscale. Adjust autoscale range instead.`))
      }
      const current = requests.concurrency()
      const wanted = current + sign * by
      if (wanted < 1) throw new ArgumentError("ValueError", `Can't shrink pool. It has ${current}, and keeps one`)
      if (wanted > mostIn(pool)) {
        throw new ArgumentError("ValueError", `Can't grow pool. It has ${current}, and takes ${mostIn(pool)} at most`)
      }
      return Effect.map(requests.resize(wanted), () => {
        if (requests.concurrency() === wanted) return ok(text)
        throw new ArgumentError("ValueError", `the pool ${pool.name} has a size of its own: ${requests.concurrency()}`)
      })
    })

  return [
    resize("pool_grow", 1, texts.poolWillGrow),
    resize("pool_shrink", -1, texts.poolWillShrink),
    command("pool_restart", () => {
      // Celery's setting for it is off unless somebody turned it on; a module that was loaded cannot be loaded anew here.
      throw new ArgumentError("ValueError", "Pool restarts not enabled")
    }),
    command("autoscale", (args) => {
      const [max, min] = [args.whole("max", 1), args.whole("min", 0)]
      if (autoscaler === undefined) throw new ArgumentError("ValueError", "Autoscale not enabled")
      const now = autoscaler.info()
      const [most, least] = [max ?? now.max, min ?? now.min]
      if (most < least) throw new ArgumentError("ValueError", `max=${most} is less than min=${least}`)
      if (most > mostIn(pool)) throw new ArgumentError("ValueError", `the pool takes ${mostIn(pool)} at most`)
      return Effect.map(autoscaler.update(most, least), (scale) => ok(texts.autoscale(scale.max, scale.min)))
    })
  ]
}
