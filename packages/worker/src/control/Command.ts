/** A command by the name that its errors say: it answers, or throws an `ArgumentError`. */
import * as Effect from "effect/Effect"
import { type Reader, reader } from "./Arguments.ts"
import type { Handler } from "./Panel.ts"

export type Command = readonly [name: string, handler: Handler]

export const command = (name: string, answer: (args: Reader) => Effect.Effect<unknown, unknown>): Command => [
  name,
  (args) => Effect.suspend(() => answer(reader(name, args)))
]

/** One that answers at once. */
export const inspect = (name: string, answer: (args: Reader) => unknown): Command =>
  command(name, (args) => Effect.sync(() => answer(args)))
