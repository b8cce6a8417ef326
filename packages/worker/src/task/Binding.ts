/**
 * Python's way of binding arguments: `add(2, 3)`, `add(2, y=3)` and `add(x=2, y=3)` all become `{ x: 2, y: 3 }`, and what
 * does not fit gets the text of the TypeError Python would raise (Python language reference, section 6.3.4 "Calls").
 */
import type { KombuJson } from "@apium/protocol/kombu/Json"
import * as Data from "effect/Data"
import type * as Schema from "effect/Schema"
import * as SchemaAST from "effect/SchemaAST"

/** Field order is Python's positional order; `Schema.optionalKey` or a decoding default is a parameter with a default. */
export type Params = Schema.Struct.Fields

export class BindingError extends Data.TaggedError("BindingError")<{ readonly message: string }> {}

/** What a task takes, worked out once per task. */
export interface Signature {
  /** The name in texts: the last part of the task's. */
  readonly name: string
  readonly parameters: ReadonlyArray<string>
  readonly required: ReadonlyArray<string>
}

export const signature = (task: string, params: Params): Signature => {
  const parameters = Object.keys(params)
  return {
    name: task.slice(task.lastIndexOf(".") + 1),
    parameters,
    required: parameters.filter((key) => !SchemaAST.isOptional(SchemaAST.toEncoded(params[key]!.ast)))
  }
}

const listed = (names: ReadonlyArray<string>): string => {
  const quoted = names.map((name) => `'${name}'`)
  if (quoted.length < 3) return quoted.join(" and ")
  return `${quoted.slice(0, -1).join(", ")}, and ${quoted.at(-1)}`
}

const plural = (count: number, word: string): string => `${count} ${word}${count === 1 ? "" : "s"}`

/** The arguments by name, or throws {@link BindingError}. The result has no prototype: a parameter may have any name. */
export const bindUnsafe = (
  { name, parameters, required }: Signature,
  args: ReadonlyArray<KombuJson>,
  kwargs: Readonly<Record<string, KombuJson>>
): Record<string, KombuJson> => {
  const bound: Record<string, KombuJson> = Object.create(null) as Record<string, KombuJson>
  const positional = Math.min(args.length, parameters.length)
  for (let index = 0; index < positional; index++) bound[parameters[index]!] = args[index]!
  for (const key of Object.keys(kwargs)) {
    if (!parameters.includes(key)) {
      throw new BindingError({ message: `${name}() got an unexpected keyword argument '${key.slice(0, 100)}'` })
    }
    if (key in bound) throw new BindingError({ message: `${name}() got multiple values for argument '${key}'` })
    bound[key] = kwargs[key]!
  }
  if (args.length > parameters.length) {
    const takes =
      required.length === parameters.length
        ? plural(parameters.length, "positional argument")
        : `from ${required.length} to ${parameters.length} positional arguments`
    throw new BindingError({
      message: `${name}() takes ${takes} but ${args.length} ${args.length === 1 ? "was" : "were"} given`
    })
  }
  const missing = required.filter((key) => !(key in bound))
  if (missing.length > 0) {
    throw new BindingError({
      message: `${name}() missing ${plural(missing.length, "required positional argument")}: ${listed(missing)}`
    })
  }
  return bound
}
