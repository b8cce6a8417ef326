/**
 * What a setting takes, and how that is read. Celery takes a value as it is, and fails where it is used; here a wrong one is found at the
 * start. No value is in any text: it may be a password.
 */
import { didYouMean } from "@apium/protocol/Suggest"
import * as Duration from "effect/Duration"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"

export interface Kind<A> {
  /** Stands behind `takes`. */
  readonly takes: string
  /** Nothing for what it does not take. Throws {@link Wrong} where there is more to say. */
  readonly read: (value: unknown) => A | undefined
}

export class Wrong extends Error {}

const kind = <A>(takes: string, read: Kind<A>["read"]): Kind<A> => ({ takes, read })

const schema = <A>(takes: string, schema: Schema.Decoder<A>): Kind<A> => {
  const decode = Schema.decodeUnknownOption(schema)
  return kind(takes, (value) => Option.getOrUndefined(decode(value)))
}

export const flag: Kind<boolean> = schema("true or false", Schema.Boolean)

export const text: Kind<string> = schema("a text", Schema.String)

export const name: Kind<string> = schema("a name", Schema.NonEmptyString)

export const oneOf = <const L extends ReadonlyArray<string>>(names: L): Kind<L[number]> =>
  schema(names.join(", "), Schema.Literals(names))

export const whole = (least: number, most: number = Number.MAX_SAFE_INTEGER): Kind<number> =>
  schema(
    most === Number.MAX_SAFE_INTEGER ? `a whole number, ${least} or more` : `a whole number from ${least} to ${most}`,
    Schema.Int.check(Schema.isBetween({ minimum: least, maximum: most }))
  )

export const steps: Kind<ReadonlyArray<number>> = schema(
  "a list of whole numbers from 0 to 255",
  Schema.NonEmptyArray(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 255 })))
)

/** 31 years: nobody waits longer, and a timer holds no more. */
const longest = 1e9

/** Celery's seconds, or what says its unit. */
const lengthOf = (value: unknown): Duration.Duration | undefined =>
  typeof value === "number"
    ? value >= 0 && value <= longest
      ? Duration.millis(Math.round(value * 1000))
      : undefined
    : typeof value === "string" || Duration.isDuration(value)
      ? Option.getOrUndefined(
          Option.filter(Duration.fromInput(value as Duration.Input), (length) => Duration.toMillis(length) >= 0)
        )
      : undefined

/** 0 is one, too: none. */
export const length: Kind<Duration.Duration> = kind('seconds, 0 or more, or a duration as "10 minutes"', lengthOf)

export const positive: Kind<Duration.Duration> = kind(
  'seconds, more than 0, or a duration as "10 minutes"',
  (value) => {
    const found = lengthOf(value)
    return found !== undefined && Duration.toMillis(found) > 0 ? found : undefined
  }
)

/** `None` and 0 are for ever, as for Celery. */
export const lifetime: Kind<Duration.Duration> = kind(
  'seconds (0 or null: for ever), or a duration as "1 day"',
  (value) => {
    const found = value === null ? Duration.infinity : lengthOf(value)
    return found !== undefined && Duration.toMillis(found) === 0 ? Duration.infinity : found
  }
)

/** A scheme may stand alone, as in Celery: `rpc` is `rpc://`. What a URL says is read by the door that it is for. */
const urlOf = (value: unknown): string | undefined =>
  typeof value !== "string" || value.trim() === ""
    ? undefined
    : value.trim().replace(/^[a-z][a-z+]*$/i, (scheme) => `${scheme}://`)

export const url: Kind<Redacted.Redacted> = kind('a URL as "redis://host" or "rpc://"', (value) => {
  const found = urlOf(value)
  return found === undefined ? undefined : Redacted.make(found)
})

/** Several stand in for each other. */
export const urls: Kind<Redacted.Redacted> = kind(
  'a URL as "amqp://host" or "redis://host", or a list of them',
  (value) => {
    const all = (Array.isArray(value) ? value : [value]).map(urlOf)
    return all.length > 0 && all.every((one) => one !== undefined) ? Redacted.make(all.join(";")) : undefined
  }
)

export const secret: Kind<Redacted.Redacted> = kind("a text", (value) =>
  typeof value === "string" ? Redacted.make(value) : undefined
)

export const object: Kind<Readonly<Record<string, unknown>>> = kind("an object", (value) =>
  typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : undefined
)

/** What an option of an object is called here, and what it takes. */
export type Field = readonly [option: string, kind: Kind<unknown>]

export const snakeCase = (key: string): string => key.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)

export const camelCase = (key: string): string =>
  key.replaceAll(/_([a-z\d])/g, (_, letter: string) => letter.toUpperCase())

/** A key as it may be shown: on one line, and not if it holds what may be a URL. */
export const shown = (key: string): string =>
  /[@/]/.test(key) ? "(a key that is no name)" : key.slice(0, 80).replaceAll(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, "\u{FFFD}")

/** An object with these fields and no others, by Python's names or ours; `of` says what they belong to. */
export const fields = <A>(of: string, known: Readonly<Record<string, Field>>): Kind<A> =>
  kind("an object", (value) => {
    const given = object.read(value)
    if (given === undefined) return undefined
    const names = Object.keys(known)
    const found: Record<string, unknown> = {}
    for (const [key, value] of Object.entries(given)) {
      const name = Object.hasOwn(known, key) ? key : snakeCase(key)
      if (!Object.hasOwn(known, name)) {
        throw new Wrong(`there is no ${shown(key)}.${didYouMean(key, names)} Those of ${of} are ${names.join(", ")}`)
      }
      const [option, kind] = known[name]!
      if (value === undefined) continue
      const read = kind.read(value)
      if (read === undefined) throw new Wrong(`${name} takes ${kind.takes}`)
      found[option] = read
    }
    return found as A
  })

/** What a kind makes of a value, or what is wrong with it: a sentence without the key. */
export const read = <A>(kind: Kind<A>, value: unknown): Result.Result<A, string> => {
  try {
    const found = kind.read(value)
    return found === undefined ? Result.fail(`it takes ${kind.takes}`) : Result.succeed(found)
  } catch (error) {
    if (error instanceof Wrong) return Result.fail(error.message)
    throw error
  }
}
