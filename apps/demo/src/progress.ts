/**
 * How far it is: one line that is drawn again and again on a terminal, and a line per quarter where there is none.
 */
import * as TerminalCapabilities from "effect/cli/TerminalCapabilities"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Terminal from "effect/Terminal"
import type { Tally } from "./tally.ts"
import { integer, plural } from "./text.ts"

export interface State {
  readonly done: number
  readonly total: number
  readonly running: number
}

/** Fits into so many columns: what matters least goes first. */
export const bar = ({ done, total, running }: State, width: number): string => {
  const counts = `${integer(done)}/${integer(total)} tasks`
  // What neither runs nor is done waits for its time: a retry, an ETA.
  const idle = running === 0 && done > 0 && done < total
  const detail =
    done === total
      ? counts
      : idle
        ? `${counts}, ${integer(total - done)} not due yet`
        : `${counts}, ${integer(running)} running`
  const text = width >= detail.length + 14 ? detail : counts
  const room = Math.min(40, width - text.length - 2)
  if (room < 4) return text.slice(0, Math.max(0, width))
  const filled = total === 0 ? room : Math.floor((done / total) * room)
  return `${"█".repeat(filled)}${"░".repeat(room - filled)}  ${text}`
}

/** The quarters that have been reached. */
export const quarter = ({ done, total }: State): number => (total === 0 ? 4 : Math.floor((done / total) * 4))

const state = (tally: Tally): State => ({ done: tally.done(), total: tally.total(), running: tally.running() })

/** Draws until its scope closes, and leaves the last state on the screen. */
export const show = Effect.fnUntraced(function* (tally: Tally) {
  const { canAnimate } = yield* TerminalCapabilities.TerminalCapabilities
  yield* Effect.forkScoped(canAnimate ? animate(tally) : lines(tally))
})

const animate = Effect.fnUntraced(function* (tally: Tally) {
  const terminal = yield* Terminal.Terminal
  const draw = Effect.gen(function* () {
    // The last column stays free: a full line would wrap, and the next one would be drawn below it.
    const columns = (yield* terminal.columns) || 80
    yield* Effect.ignore(terminal.display(`\r${bar(state(tally), columns - 1)}\u001B[K`))
  })
  const last = Effect.andThen(draw, Effect.ignore(terminal.display("\n")))
  return yield* Effect.ensuring(Effect.forever(Effect.andThen(draw, Effect.sleep("50 millis"))), last)
})

const lines = Effect.fnUntraced(function* (tally: Tally) {
  for (let next = 1; next <= 4; next++) {
    yield* tally.until(() => quarter(state(tally)) >= next)
    const { done, total } = state(tally)
    yield* Console.log(`${integer(done)} of ${plural(total, "task")} done`)
    next = quarter({ done, total, running: 0 })
  }
})
