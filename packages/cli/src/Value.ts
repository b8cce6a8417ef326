/**
 * Values of flags and arguments that Effect's own constructors do not check as far as we want: what is wrong with one is said
 * with what it takes.
 */
import * as TaskMessage from "@apium/protocol/celery/TaskMessage"
import * as Json from "@apium/protocol/kombu/Json"
import * as Flag from "effect/cli/Flag"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import { UsageError } from "./Errors.ts"
import { messageOf } from "./Text.ts"

/** What `pattern` has, and lies within bounds. */
const number = (name: string, pattern: RegExp, min: number, max: number, expected: string): Flag.Flag<number> =>
  Flag.String(name).pipe(
    Flag.filterMap(
      (text) => {
        const value = pattern.test(text) ? Number(text) : Number.NaN
        return value >= min && value <= max ? Option.some(value) : Option.none()
      },
      () => expected
    )
  )

/** A whole number within bounds. */
export const whole = (name: string, min: number, max = Number.MAX_SAFE_INTEGER): Flag.Flag<number> => {
  const bounds = max === Number.MAX_SAFE_INTEGER ? `at least ${min}` : `from ${min} to ${max}`
  return number(name, /^\d+$/, min, max, `a whole number, ${bounds}`).pipe(Flag.withMetavar("n"))
}

/** No timer of a runtime can wait longer: 23 days. */
const maxSeconds = 2_000_000

/** A length of time; on the command line they are seconds, as Celery's. */
export const seconds = (name: string, min = 0): Flag.Flag<Duration.Duration> =>
  number(name, /^\d+(?:\.\d+)?$/, min, maxSeconds, `seconds, from ${min} to ${maxSeconds}`).pipe(
    Flag.withMetavar("seconds"),
    Flag.map((value) => Duration.millis(Math.round(value * 1000)))
  )

/** Celery's lists: with commas. One of nothing (a variable that was not set) is refused: it would stand for all there are. */
export const list = (name: string): Flag.Flag<ReadonlyArray<string>> =>
  Flag.String(name).pipe(
    Flag.withMetavar("a,b"),
    Flag.filterMap(
      (text) => {
        const parts = text
          .split(",")
          .map((part) => part.trim())
          .filter((part) => part !== "")
        return parts.length === 0 ? Option.none() : Option.some(parts)
      },
      () => "at least one name; leave the flag out for the default"
    )
  )

/** Where it went wrong, under what was written. */
const pointedAt = (text: string, offset: number): string => {
  const before = text.slice(Math.max(0, offset - 60), offset).replaceAll(/\s/g, " ")
  return `\n  ${before}${text.slice(offset, offset + 20).replaceAll(/\s/g, " ")}\n  ${" ".repeat(before.length)}^`
}

const json = (flag: string, text: string): Effect.Effect<Json.KombuJson, UsageError> =>
  Effect.try({
    try: () => Json.parse(text),
    catch: (error) => {
      const where = error instanceof Json.JsonError && error.offset !== undefined ? pointedAt(text, error.offset) : ""
      return new UsageError({ text: `${flag} is no JSON: ${messageOf(error)}${where}` })
    }
  })

export const args = (text: string): Effect.Effect<ReadonlyArray<Json.KombuJson>, UsageError> =>
  Effect.filterOrFail(
    json("--args", text),
    (value) => Array.isArray(value),
    () => new UsageError({ text: `--args takes a JSON array, as in --args='[2,3]'` })
  )

type Kwargs = Readonly<Record<string, Json.KombuJson>>

const isPlain = (value: unknown): value is Kwargs =>
  typeof value === "object" && value !== null && [Object.prototype, null].includes(Object.getPrototypeOf(value))

export const kwargs = (text: string): Effect.Effect<Kwargs, UsageError> =>
  Effect.filterOrFail(
    json("--kwargs", text),
    isPlain,
    () => new UsageError({ text: `--kwargs takes a JSON object, as in --kwargs='{"x":2}'` })
  )

/** ISO 8601; without an offset it is UTC, as in Celery. */
export const time = (name: string): Flag.Flag<Date> =>
  Flag.String(name).pipe(
    Flag.withMetavar("iso"),
    Flag.filterMap(timeOf, () => "a time in ISO 8601, as 2030-01-01T12:00:00Z")
  )

const timeOf = (text: string): Option.Option<Date> =>
  Option.map(Result.getSuccess(TaskMessage.parseEta(text)), (millis) => new Date(millis))

export const timeOrSeconds = (name: string): Flag.Flag<Date | Duration.Duration> =>
  Flag.String(name).pipe(
    Flag.withMetavar("seconds|iso"),
    Flag.filterMap(
      (text): Option.Option<Date | Duration.Duration> =>
        /^\d+(?:\.\d+)?$/.test(text) && Number(text) <= maxSeconds
          ? Option.some(Duration.millis(Math.round(Number(text) * 1000)))
          : timeOf(text),
      () => "seconds, or a time in ISO 8601"
    )
  )
