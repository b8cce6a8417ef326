/**
 * Sends tasks when they are due (celery/beat.py), for as long as its scope is open.
 *
 * ```ts
 * const Periodic = Beat.layer({
 *   entries: [
 *     Beat.entry("clean up", { task: cleanUp, payload: { olderThan: 30 }, schedule: Schedule.crontab("0 4 * * *") }),
 *     Beat.entryNamed("python's", { task: "proj.refresh", schedule: Schedule.every("30 seconds") })
 *   ]
 * }).pipe(Layer.provide(Client.layer))
 * ```
 *
 * Each entry is a loop of its own that sleeps until it is due: none waits for another, or fails with it. What was missed,
 * however often, runs once. A send that fails is logged and tried again, 1 s later at first and a minute at last, with the
 * id of the first try: should both have arrived, they are one task to whoever looks at ids. What has run is kept in memory
 * only, and two Beats with the same entries send everything twice.
 */
import type { HubError } from "@apium/hub/HubError"
import type { KombuJson } from "@apium/protocol/kombu/Json"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { format } from "effect/Formatter"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { Client, type SendOptions } from "../client/Client.ts"
import type { Params } from "../task/Binding.ts"
import type { Countdown } from "../task/Countdown.ts"
import type { PayloadOf, Task } from "../task/Task.ts"
import * as Schedule from "./Schedule.ts"

/** What a send may say, without what can be right only once. */
export interface SendEveryOptions extends Omit<SendOptions, "taskId" | "eta" | "expires"> {
  readonly expires?: Countdown | undefined
}

export interface EntryOptions {
  readonly schedule: Schedule.Schedule
  readonly options?: SendEveryOptions | undefined
  /** Default `true`. */
  readonly enabled?: boolean | undefined
  /** When it was sent last, from somebody who remembers; what was missed since runs once at start. Default: the start of Beat. */
  readonly lastRunAt?: Date | undefined
}

export interface Entry extends EntryOptions {
  readonly name: string
  /** The task's name. */
  readonly task: string
  readonly send: (
    client: Client["Service"],
    options: SendOptions
  ) => Effect.Effect<unknown, HubError | Schema.SchemaError>
}

/** A periodic task with its payload. The name is the entry's: one task may be in several. */
export const entry = <N extends string, P extends Params, A, E>(
  name: string,
  { payload, task, ...options }: EntryOptions & { readonly task: Task<N, P, A, E>; readonly payload: PayloadOf<P> }
): Entry => ({
  ...options,
  name,
  task: task.name,
  send: (client, options) => client.send(task, payload, options)
})

/** A periodic task by its name, unchecked: one of a Python worker, say. */
export const entryNamed = (
  name: string,
  {
    args = [],
    kwargs = {},
    task,
    ...options
  }: EntryOptions & {
    readonly task: string
    readonly args?: ReadonlyArray<KombuJson> | undefined
    readonly kwargs?: Readonly<Record<string, KombuJson>> | undefined
  }
): Entry => ({ ...options, name, task, send: (client, options) => client.sendTask(task, args, kwargs, options) })

export interface Options {
  readonly entries: ReadonlyArray<Entry>
  /**
   * The longest sleep before the clock is looked at again, for somebody may set it (Celery's `beat_max_loop_interval`).
   * From 1 ms to 1 day, default 5 minutes.
   */
  readonly maxInterval?: Countdown | undefined
  /**
   * A crontab's run that was missed by more than this is left out (Celery's `beat_cron_starting_deadline`). From 1 second to
   * 36,500 days; default: none is.
   */
  readonly cronStartingDeadline?: Countdown | undefined
}

/** Beat does not start: two entries of one name, or something written that it cannot go by. */
export class BeatError extends Schema.TaggedError<BeatError>()("BeatError", {
  /** The entry's name; left out when it is about an option of Beat. */
  entry: Schema.optionalKey(Schema.String),
  field: Schema.String,
  found: Schema.String,
  allowed: Schema.String
}) {
  override get message() {
    const where = this.entry === undefined ? "" : ` entry "${this.entry}",`
    return `Beat:${where} ${this.field} is "${this.found}", and takes ${this.allowed}`
  }
}

export interface EntryState {
  readonly name: string
  readonly task: string
  readonly enabled: boolean
  /** Of an entry that never ran: what it was given, or when Beat started. */
  readonly lastRunAt: Date
  /** How often it was sent since Beat started. */
  readonly totalRunCount: number
}

export class Beat extends Context.Service<
  Beat,
  {
    /** As they are now, in the order they were given. */
    readonly entries: Effect.Effect<ReadonlyArray<EntryState>>
  }
>()("@apium/worker/Beat") {}

export const layer = (options: Options): Layer.Layer<Beat, BeatError, Client> => Layer.effect(Beat, make(options))

interface Running {
  readonly entry: Entry
  lastRunAt: Date
  totalRunCount: number
}

interface Limits {
  /** Milliseconds. */
  readonly maxInterval: number
  readonly cronStartingDeadline: number | undefined
}

const make = Effect.fnUntraced(function* (options: Options) {
  const limits: Limits = {
    maxInterval: yield* within("maxInterval", options.maxInterval ?? "5 minutes", "1 millis", "1 day"),
    cronStartingDeadline:
      options.cronStartingDeadline === undefined
        ? undefined
        : yield* within("cronStartingDeadline", options.cronStartingDeadline, "1 second", "36500 days")
  }
  yield* check(options.entries)
  const client = yield* Client
  const now = yield* Clock.currentTimeMillis
  const all = options.entries.map((entry): Running => ({
    entry,
    lastRunAt: entry.lastRunAt ?? new Date(now),
    totalRunCount: 0
  }))
  for (const running of all) {
    if (running.entry.enabled !== false) yield* Effect.forkScoped(loop(client, running, limits))
  }
  return Beat.of({
    entries: Effect.sync(() =>
      all.map(({ entry: { enabled = true, name, task }, lastRunAt, totalRunCount }) => ({
        name,
        task,
        enabled,
        lastRunAt,
        totalRunCount
      }))
    )
  })
})

const within = (
  field: string,
  value: Countdown,
  min: Duration.Input & string,
  max: Duration.Input & string
): Effect.Effect<number, BeatError> => {
  const millis = Option.getOrElse(Option.map(Duration.fromInput(value), Duration.toMillis), () => Number.NaN)
  if (millis >= Duration.toMillis(min) && millis <= Duration.toMillis(max)) return Effect.succeed(millis)
  const found = typeof value === "string" ? value : format(value)
  return Effect.fail(new BeatError({ field, found, allowed: `a duration from ${min} to ${max}` }))
}

const check = Effect.fnUntraced(function* (entries: ReadonlyArray<Entry>) {
  const names = new Set<string>()
  for (const { lastRunAt, name, schedule } of entries) {
    if (names.has(name)) {
      const allowed = "a name that no other entry has"
      return yield* new BeatError({ entry: name, field: "name", found: name, allowed })
    }
    names.add(name)
    const valid = Schedule.validate(schedule)
    if (Result.isFailure(valid)) {
      const { allowed, field, found } = valid.failure
      return yield* new BeatError({ entry: name, field, found, allowed })
    }
    if (lastRunAt !== undefined && Number.isNaN(lastRunAt.getTime())) {
      return yield* new BeatError({ entry: name, field: "lastRunAt", found: String(lastRunAt), allowed: "a time" })
    }
  }
})

/** Milliseconds between two tries of what fails again and again. */
const maxPause = 60_000

/** A schema's error shows the value it refused, which is an argument and no business of the log's. */
const reason = (cause: Cause.Cause<HubError | Schema.SchemaError>): string => {
  const error = Cause.squash(cause)
  if (Schema.isSchemaError(error)) return "The payload does not fit the parameters of the task"
  return error instanceof Error ? error.message : String(error)
}

/** Never ends. */
const loop = Effect.fnUntraced(function* (
  client: Client["Service"],
  running: Running,
  { cronStartingDeadline, maxInterval }: Limits
) {
  const { entry } = running
  let failed: { readonly due: number; readonly taskId: string; readonly pause: number } | undefined
  for (;;) {
    const now = yield* Clock.currentTimeMillis
    // Somebody set the clock back: an interval starts anew, or it would wait until the clock is where it was.
    if (entry.schedule._tag === "Interval" && now < running.lastRunAt.getTime()) running.lastRunAt = new Date(now)
    const due = dueAt(running, now, cronStartingDeadline)
    if (due > now) {
      yield* Effect.sleep(Duration.millis(Math.min(due - now, maxInterval)))
      continue
    }
    const taskId = failed?.due === due ? failed.taskId : crypto.randomUUID()
    const what = { entry: entry.name, task: entry.task, taskId }
    yield* Effect.logInfo("Beat sends a task that is due", what)
    const sent = yield* Effect.exit(Effect.suspend(() => entry.send(client, { ...entry.options, taskId })))
    if (Exit.isSuccess(sent)) {
      failed = undefined
      running.lastRunAt = new Date(now)
      running.totalRunCount++
    } else {
      const pause = Math.min(failed === undefined ? 1000 : failed.pause * 2, maxPause, maxInterval)
      failed = { due, taskId, pause }
      const retryIn = Duration.format(Duration.millis(pause))
      yield* Effect.logWarning("Beat could not send a task", { ...what, reason: reason(sent.cause), retryIn })
      yield* Effect.sleep(Duration.millis(pause))
    }
  }
})

/** A time that is not after `now` means now. */
const dueAt = ({ entry: { schedule }, lastRunAt }: Running, now: number, deadline: number | undefined): number => {
  const due = Schedule.next(schedule, lastRunAt, new Date(now)).getTime()
  if (schedule._tag === "Interval" || deadline === undefined || due >= now - deadline) return due
  // The first that is not too old, be it past or to come.
  return Schedule.next(schedule, new Date(now - deadline - 1), new Date(now)).getTime()
}
