/**
 * Log lines as Celery's (its `worker_log_format`), on stderr:
 *
 *   [2026-11-21 07:36:09,123: INFO] celery@host ready.
 */
import * as Cause from "effect/Cause"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import type { LogLevel } from "effect/LogLevel"
import * as References from "effect/References"
import { printableLines } from "./Text.ts"

/** Celery's names. */
export const levels = ["debug", "info", "warning", "error", "critical"] as const

export type Level = (typeof levels)[number]

const effectLevels: Readonly<Record<Level, LogLevel>> = {
  debug: "Debug",
  info: "Info",
  warning: "Warn",
  error: "Error",
  critical: "Fatal"
}

const names: Readonly<Record<LogLevel, string>> = {
  All: "DEBUG",
  Trace: "DEBUG",
  Debug: "DEBUG",
  Info: "INFO",
  Warn: "WARNING",
  Error: "ERROR",
  Fatal: "CRITICAL",
  None: "CRITICAL"
}

const digits = (value: number, width = 2): string => String(value).padStart(width, "0")

/** In the zone of the machine, as Python's. */
export const timestamp = (date: Date): string =>
  `${date.getFullYear()}-${digits(date.getMonth() + 1)}-${digits(date.getDate())} ` +
  `${digits(date.getHours())}:${digits(date.getMinutes())}:${digits(date.getSeconds())}`

const wordOf = (value: unknown): string => {
  if (typeof value === "string") return value
  if (value instanceof Error) return value.message
  try {
    return JSON.stringify(value) ?? String(value)
  } catch {
    return String(value)
  }
}

/** An object in a message says more about it: `id=... task=...`. */
const partOf = (part: unknown): string =>
  typeof part === "object" && part !== null && !Array.isArray(part) && !(part instanceof Error)
    ? Object.entries(part)
        .filter(([, value]) => value !== undefined)
        .map(([key, value]) => `${key}=${wordOf(value)}`)
        .join(" ")
    : wordOf(part)

const format = Logger.make<unknown, string>(({ cause, date, fiber, logLevel, message }) => {
  const parts = (Array.isArray(message) ? message : [message]).map(partOf)
  const annotations = partOf(fiber.getRef(References.CurrentLogAnnotations))
  const text = [...parts, annotations].filter((part) => part !== "").join(" ")
  const head = `[${timestamp(date)},${digits(date.getMilliseconds(), 3)}: ${names[logLevel]}]`
  const why = cause.reasons.length === 0 ? "" : `\n${Cause.pretty(cause)}`
  // What is not the beginning of a line of ours does not look like one.
  return `${head} ${printableLines(text + why).replaceAll("\n", "\n  ")}`
})

export const layer = (level: Level): Layer.Layer<never> =>
  Layer.merge(
    Logger.layer([Logger.withConsoleError(format)]),
    Layer.succeed(References.MinimumLogLevel, effectLevels[level])
  )

/** Whether lines of `wanted` are shown at `level`. */
export const shows = (level: Level, wanted: Level): boolean => levels.indexOf(wanted) >= levels.indexOf(level)
