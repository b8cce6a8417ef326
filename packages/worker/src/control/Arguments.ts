/**
 * The arguments of a command, read from what anybody may have sent. One that is missing or makes no sense is thrown as the
 * exception Python would raise, which is what the caller is answered.
 */
import type { Arguments } from "@apium/hub/Exchange"
import { maxLength } from "../execution/Revoked.ts"

/** The name is the one of Python's exception. */
export class ArgumentError extends Error {
  override readonly name: "TypeError" | "ValueError" | "ImportError"
  constructor(name: ArgumentError["name"], message: string) {
    super(message)
    this.name = name
  }
}

/** Linux's numbers: SIGHUP is 1. */
const signals = "HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM".split(" ")

const kindOf = (value: unknown): string => {
  if (value === null) return "null"
  if (Array.isArray(value)) return "a list"
  return typeof value === "object" ? "an object" : `a ${typeof value}`
}

export interface Reader {
  readonly all: () => Arguments
  readonly get: (name: string) => unknown
  readonly required: (name: string) => unknown
  readonly text: (name: string) => string
  /** One or a list of them; `null` is none, as Python's `maybe_list` has it. */
  readonly texts: (name: string) => ReadonlyArray<string>
  /** These, which stand in that argument and are to be remembered: at most 1,024 characters each. */
  readonly brief: (name: string, texts: ReadonlyArray<string>) => ReadonlyArray<string>
  /** Left out or `null`: `false`. */
  readonly flag: (name: string) => boolean
  /** A whole number, at least this. Left out or `null`: nothing. */
  readonly whole: (name: string, least: number) => number | undefined
  /** Seconds, at least 0. Left out, `null` or 0: none. */
  readonly seconds: (name: string) => number | null
  /** `TERM`, `SIGTERM` or 15; left out or `null`: `SIGTERM`. */
  readonly signal: (name: string) => string
  readonly wrong: (name: string, wanted: string) => ArgumentError
}

/** `command` is what the texts say of where the error is. */
export const reader = (command: string, args: Arguments): Reader => {
  const get = (name: string): unknown => (Object.hasOwn(args, name) ? args[name] : undefined)

  const wrong = (name: string, wanted: string) =>
    new ArgumentError("TypeError", `${command}() argument '${name}' should be ${wanted}, and is ${kindOf(get(name))}`)

  const required = (name: string): unknown => {
    const value = get(name)
    if (value === undefined) {
      throw new ArgumentError("TypeError", `${command}() missing 1 required positional argument: '${name}'`)
    }
    return value
  }

  return {
    all: () => args,
    get,
    required,
    wrong,
    text: (name) => {
      const value = required(name)
      if (typeof value !== "string") throw wrong(name, "a string")
      return value
    },
    texts: (name) => {
      const value = required(name)
      if (value === null) return []
      if (typeof value === "string") return [value]
      if (Array.isArray(value) && value.every((item) => typeof item === "string")) return [...new Set<string>(value)]
      throw wrong(name, "a string or a list of strings")
    },
    brief: (name, texts) => {
      const long = texts.find(({ length }) => length > maxLength)
      if (long === undefined) return texts
      throw new ArgumentError(
        "ValueError",
        `${command}() argument '${name}' should have at most ${maxLength} characters in each text, and one has ${long.length}`
      )
    },
    flag: (name) => {
      const value = get(name) ?? false
      if (typeof value !== "boolean") throw wrong(name, "true or false")
      return value
    },
    whole: (name, least) => {
      const value = get(name) ?? null
      if (value === null) return undefined
      if (typeof value !== "number") throw wrong(name, "a whole number")
      if (Number.isSafeInteger(value) && value >= least) return value
      throw new ArgumentError(
        "ValueError",
        `${command}() argument '${name}' should be a whole number, at least ${least}, and is ${value}`
      )
    },
    seconds: (name) => {
      const value = get(name) ?? null
      if (value === null || value === 0) return null
      if (typeof value !== "number") throw wrong(name, "a number of seconds or null")
      if (value > 0 && Number.isFinite(value)) return value
      throw new ArgumentError(
        "ValueError",
        `${command}() argument '${name}' should be at least 0 seconds, and is ${value}`
      )
    },
    signal: (name) => {
      const value = get(name) ?? "SIGTERM"
      if (typeof value === "number") {
        const known = signals[value - 1]
        if (known !== undefined) return `SIG${known}`
      } else if (typeof value !== "string") {
        throw wrong(name, "the name of a signal")
      } else if (signals.includes(value.replace(/^SIG/, ""))) {
        return value.startsWith("SIG") ? value : `SIG${value}`
      }
      throw new ArgumentError(
        "ValueError",
        `there is no signal ${String(value).slice(0, 40)}: use a name such as SIGTERM or SIGKILL`
      )
    }
  }
}
