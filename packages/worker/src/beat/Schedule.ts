/**
 * When a periodic task is due (celery/schedules.py): every so often, or by the calendar of a time zone. A schedule is data,
 * as it was written; `validate` says what is wrong with it, and `next` when it is due.
 *
 * ```ts
 * Schedule.every("30 seconds")
 * Schedule.crontab({ minute: "0,30", hour: "8-18", dayOfWeek: "mon-fri", timezone: "Europe/Berlin" })
 * Schedule.crontab("0 0 13 * 5") // Friday the 13th: a day has to be in both fields of the day, as with Celery
 * ```
 *
 * A field is Celery's: `5`, `*`, `8-18`, `22-2` (over the end), a step as in `*` + `/15` or `8-18/2`, several with commas,
 * `mon` or `monday` for days and `jan` for months. A step counts from the lowest value of the field, so that every second
 * day of the week is Sunday, Tuesday, Thursday and Saturday.
 *
 * Where clocks go forward, a time in the hour left out is the one an hour later (2:30 is 3:30); where they go back, a time in
 * the hour that comes twice is the first of the two. So Celery 5.6 has it, run after run.
 */
import * as Cron from "effect/Cron"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import { format } from "effect/Formatter"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type { Countdown } from "../task/Countdown.ts"

export interface Interval {
  readonly _tag: "Interval"
  readonly runEvery: Countdown
  readonly relative: boolean
}

export interface Crontab {
  readonly _tag: "Crontab"
  readonly minute: string
  readonly hour: string
  readonly dayOfWeek: string
  readonly dayOfMonth: string
  readonly monthOfYear: string
  readonly timezone: string
}

export type Schedule = Interval | Crontab

/** A schedule that cannot be read, or that is never due. */
export class ScheduleError extends Schema.TaggedError<ScheduleError>()("ScheduleError", {
  /** `minute`, `dayOfWeek`, `timezone`, `runEvery` and so on; `crontab` when it is about several. */
  field: Schema.String,
  found: Schema.String,
  allowed: Schema.String
}) {
  override get message() {
    return `${this.field} is "${this.found}", and takes ${this.allowed}`
  }
}

/**
 * Every so often, counted from the last run: one millisecond at least, 36,500 days at most. `relative` rounds the time down
 * to the day, hour, minute or second, whichever is the largest that fits into the interval, in UTC.
 */
export const every = (runEvery: Countdown, options: { readonly relative?: boolean | undefined } = {}): Interval => ({
  _tag: "Interval",
  runEvery,
  relative: options.relative ?? false
})

/** As text, one number, or several. */
export type Field = string | number | ReadonlyArray<number>

export interface Fields {
  /** 0-59. */
  readonly minute?: Field | undefined
  /** 0-23. */
  readonly hour?: Field | undefined
  /** 0-6, Sunday is 0, or names. */
  readonly dayOfWeek?: Field | undefined
  /** 1-31. */
  readonly dayOfMonth?: Field | undefined
  /** 1-12, or names. */
  readonly monthOfYear?: Field | undefined
  /** IANA name; default `UTC`, as Celery's `timezone`. */
  readonly timezone?: string | undefined
}

/**
 * By the calendar. A field left out is `*`. In one string (Celery's `crontab.from_string`) they are: minute, hour, day of the
 * month, month, day of the week.
 */
export function crontab(fields?: Fields): Crontab
export function crontab(expression: string, options?: Pick<Fields, "timezone">): Crontab
export function crontab(fields: Fields | string = {}, options: Pick<Fields, "timezone"> = {}): Crontab {
  if (typeof fields === "string") return { ...fromExpression(fields), timezone: options.timezone ?? "UTC" }
  const text = (field: Field = "*") => (typeof field === "string" ? field : [field].flat().join(","))
  return {
    _tag: "Crontab",
    minute: text(fields.minute),
    hour: text(fields.hour),
    dayOfWeek: text(fields.dayOfWeek),
    dayOfMonth: text(fields.dayOfMonth),
    monthOfYear: text(fields.monthOfYear),
    timezone: fields.timezone ?? "UTC"
  }
}

/** Too few fields leave the last ones empty, too many end up in the last one: `validate` refuses both. */
const fromExpression = (expression: string): Omit<Crontab, "timezone"> => {
  const [minute = "", hour = "", dayOfMonth = "", monthOfYear = "", ...rest] = expression.trim().split(/\s+/)
  return { _tag: "Crontab", minute, hour, dayOfMonth, monthOfYear, dayOfWeek: rest.join(" ") }
}

export const validate = (schedule: Schedule): Result.Result<void, ScheduleError> => Result.map(read(schedule), () => {})

/**
 * When it is due next, or has been since: a time that is not after `now` means now, however many runs were missed. Of an
 * interval, a `lastRunAt` after `now` (somebody set the clock back) counts as `now`, and it never waits longer than itself; by
 * the calendar, what has run does not run again. Throws {@link ScheduleError} for a schedule that `validate` refuses.
 */
export const next = (schedule: Schedule, lastRunAt: Date, now: Date): Date =>
  Result.getOrThrow(read(schedule))(lastRunAt, now)

type Next = (lastRunAt: Date, now: Date) => Date

/** Reading costs more than asking. */
const known = new WeakMap<Schedule, Result.Result<Next, ScheduleError>>()

const read = (schedule: Schedule): Result.Result<Next, ScheduleError> => {
  const found = known.get(schedule)
  if (found !== undefined) return found
  const made = schedule._tag === "Interval" ? readInterval(schedule) : readCrontab(schedule)
  known.set(schedule, made)
  return made
}

const maxInterval = Duration.toMillis("36500 days")

const units = ["1 day", "1 hour", "1 minute", "1 second"].map((unit) => Duration.toMillis(unit as Duration.Input))

const readInterval = ({ relative, runEvery }: Interval): Result.Result<Next, ScheduleError> => {
  const interval = Option.getOrElse(Option.map(Duration.fromInput(runEvery), Duration.toMillis), () => Number.NaN)
  if (!(interval >= 1 && interval <= maxInterval)) {
    const found = typeof runEvery === "string" ? runEvery : format(runEvery)
    return Result.fail(
      new ScheduleError({ field: "runEvery", found, allowed: "a duration from 1 millisecond to 36500 days" })
    )
  }
  const step = Math.ceil(interval)
  const unit = relative ? (units.find((unit) => step >= unit) ?? 1) : 1
  return Result.succeed((lastRunAt, now) => {
    const due = Math.min(lastRunAt.getTime(), now.getTime()) + step
    return new Date(due - (due % unit))
  })
}

interface Range {
  readonly min: number
  readonly max: number
  /** Of the values from `min`; any three letters or more of one will do. */
  readonly names: ReadonlyArray<string>
}

const weekdays = ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"]

const monthNames = "january february march april may june july august september october november december".split(" ")

const ranges = {
  minute: { min: 0, max: 59, names: [] },
  hour: { min: 0, max: 23, names: [] },
  dayOfWeek: { min: 0, max: 6, names: weekdays },
  dayOfMonth: { min: 1, max: 31, names: [] },
  monthOfYear: { min: 1, max: 12, names: monthNames }
} satisfies Readonly<Record<string, Range>>

/** In a leap year: the 29th of February does come. */
const daysOfMonth = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]

const readCrontab = (crontab: Crontab): Result.Result<Next, ScheduleError> =>
  Result.gen(function* () {
    const minutes = yield* readField(crontab, "minute")
    const hours = yield* readField(crontab, "hour")
    const days = yield* readField(crontab, "dayOfMonth")
    const months = yield* readField(crontab, "monthOfYear")
    const weekdays = yield* readField(crontab, "dayOfWeek")
    const tz = yield* Result.fromOption(
      DateTime.zoneMakeNamed(crontab.timezone),
      () => new ScheduleError({ field: "timezone", found: crontab.timezone, allowed: 'a name like "Europe/Berlin"' })
    )
    if (months.every((month) => Math.min(...days) > daysOfMonth[month - 1]!)) {
      const found = `dayOfMonth ${crontab.dayOfMonth}, monthOfYear ${crontab.monthOfYear}`
      return yield* Result.fail(
        new ScheduleError({ field: "crontab", found, allowed: "a day that at least one of the months has" })
      )
    }
    // `Cron.parse` would take a day that is in either of the two fields.
    const cron = Cron.make({ minutes, hours, days, months, weekdays, and: true, tz })
    return (lastRunAt: Date) => Cron.next(cron, lastRunAt)
  })

/** The values of one field (celery/schedules.py `crontab_parser`). */
const readField = (crontab: Crontab, field: keyof typeof ranges): Result.Result<Array<number>, ScheduleError> => {
  const range: Range = ranges[field]
  const values = new Set<number>()
  for (const part of crontab[field].split(",")) {
    const some = readPart(part.trim(), range)
    if (some === undefined) return Result.fail(refused(field, crontab[field], range))
    for (const value of some) values.add(value)
  }
  return Result.succeed([...values])
}

const refused = (field: string, found: string, { max, min, names }: Range): ScheduleError => {
  const named = names.length === 0 ? "" : ` or names (${names[0]!.slice(0, 3)} is ${min})`
  const allowed = `numbers from ${min} to ${max}${named}: "*", "${min}", "${min}-${max}", with a step "*/2", "${min}-${max}/2", or several with commas`
  return new ScheduleError({ field, found, allowed })
}

/** `*`, a value or a range, the latter two with a step or without. */
const partPattern = /^(?:(\*)|(\w+)(?:-(\w+))?)(?:\/(\d+))?$/

const readPart = (part: string, range: Range): ReadonlyArray<number> | undefined => {
  const match = partPattern.exec(part)
  if (match === null) return undefined
  const [, star, first, last, step = "1"] = match
  // "5/10" says nothing that Celery would understand.
  if (Number(step) < 1 || (star === undefined && last === undefined && match[4] !== undefined)) return undefined
  const from = star === undefined ? readValue(first!, range) : range.min
  const to = star === undefined ? readValue(last ?? first!, range) : range.max
  if (from === undefined || to === undefined) return undefined
  const size = range.max - range.min + 1
  const count = ((to - from + size) % size) + 1
  const values: Array<number> = []
  for (let offset = 0; offset < count; offset += Number(step)) {
    values.push(range.min + ((from - range.min + offset) % size))
  }
  return values
}

const readValue = (text: string, { max, min, names }: Range): number | undefined => {
  const name = text.length < 3 ? -1 : names.findIndex((name) => name.startsWith(text.toLowerCase()))
  const value = name >= 0 ? min + name : /^\d+$/.test(text) ? Number(text) : Number.NaN
  return value >= min && value <= max ? value : undefined
}
