/**
 * Remote control from the caller's side (celery/app/control.py): `inspect` asks workers, the rest changes them. Needs a
 * connection and nothing else, and speaks to Python's workers as well.
 *
 * ```ts
 * yield* Control.rateLimit("proj.mail", "10/m", { destination: ["celery@a"], reply: true })
 * for (const { node, reply } of yield* Control.inspect.active()) ...
 * ```
 *
 * A request goes to everybody who is meant and nobody keeps it: a worker that is away never sees it. Questions wait for the
 * whole `timeout` unless `limit` or `destination` says how many answers there can be; none in time is an empty list, and no
 * error. Changes wait for answers only with `reply: true`, as in Celery.
 *
 * Answers are read as far as their kind goes (a text, a list, an object); what is inside is what the worker sent. One that is
 * not of its kind is an `error`, as is one that says so itself: an unknown command is `{ error: "KeyError('nonesuch')" }`.
 */
import type { Connection } from "@apium/hub/Connection"
import type { Arguments } from "@apium/hub/Exchange"
import type { HubError } from "@apium/hub/HubError"
import type * as ControlMessage from "@apium/protocol/celery/ControlMessage"
import * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type { Countdown } from "../task/Countdown.ts"
import { ask, type AskOptions, cast, change, type ChangeOptions, type Done, type Replies, type Target } from "./Ask.ts"

export {
  type AskOptions,
  broadcast,
  cast,
  type ChangeOptions,
  type Done,
  type Failed,
  isFailed,
  type Replies,
  type Reply,
  type Target
} from "./Ask.ts"

export interface Terminate {
  /** Also end it if it runs. */
  readonly terminate?: boolean | undefined
  /** What to end it with, where its pool knows signals. Default `SIGTERM`. */
  readonly signal?: string | undefined
}

/** `stats`, under the names of the wire; a worker in another language says more. */
export interface Stats {
  /** How many tasks were begun, by name. */
  readonly total: Readonly<Record<string, number>>
  readonly pid: number
  /** A text, as it is in Celery. */
  readonly clock: string
  /** Seconds. */
  readonly uptime: number
  readonly pool: Readonly<Record<string, unknown>>
  readonly broker: Readonly<Record<string, unknown>>
  readonly prefetch_count: number
  /** Of this process: results that could not be stored. Apium's own. */
  readonly results_lost?: number | undefined
  readonly rusage: unknown
}

/** A queue as `active_queues` shows it; there is more of it. */
export interface QueueInfo {
  readonly name: string
  readonly exchange: { readonly name: string; readonly type: string }
  readonly routing_key: string
}

// ---------------------------------------------------------------- changing

/** Who is there. Always waits for answers, each `{ ok: "pong" }`. */
export const ping = (options: AskOptions = {}): Replies<Done> => ask("text", "ping", {}, options)

/** These tasks are not to be run; those that run go on, unless terminated. */
export const revoke = (ids: string | ReadonlyArray<string>, options: ChangeOptions & Terminate = {}): Replies<Done> =>
  change(
    "revoke",
    { task_id: ids, terminate: options.terminate ?? false, signal: options.signal ?? "SIGTERM" },
    options
  )

/** Compared as text. */
type Stamp = string | number | boolean

/** As `revoke`, for tasks stamped with one of these values. Since Celery 5.3. */
export const revokeByStampedHeaders = (
  headers: Readonly<Record<string, Stamp | ReadonlyArray<Stamp>>>,
  options: ChangeOptions & Terminate = {}
): Replies<Done> =>
  change(
    "revoke_by_stamped_headers",
    { headers, terminate: options.terminate ?? false, signal: options.signal ?? "SIGTERM" },
    options
  )

/** As `revoke` with `terminate: true`. */
export const terminate = (
  ids: string | ReadonlyArray<string>,
  options: ChangeOptions & Pick<Terminate, "signal"> = {}
): Replies<Done> => revoke(ids, { ...options, terminate: true })

/** At most so many starts of a task in each worker, in Celery's notation (`10/m`); `null` lifts the limit. */
export const rateLimit = (task: string, rate: string | number | null, options: ChangeOptions = {}): Replies<Done> =>
  change("rate_limit", { task_name: task, rate_limit: rate }, options)

/** The limits of all runs of a task from now on; one left out is lifted. Python's workers say yes, and go on as before. */
export const timeLimit = (
  task: string,
  limits: { readonly hard?: Countdown | undefined; readonly soft?: Countdown | undefined },
  options: ChangeOptions = {}
): Replies<Done> =>
  change("time_limit", { task_name: task, hard: secondsOf(limits.hard), soft: secondsOf(limits.soft) }, options)

const secondsOf = (limit: Countdown | undefined): number | null =>
  limit === undefined ? null : Duration.toMillis(limit) / 1000

/** Task events from now on, of workers that were started without (`-E`). */
export const enableEvents = (options: ChangeOptions = {}): Replies<Done> => change("enable_events", {}, options)

/** No task events any more, of workers that were started without. */
export const disableEvents = (options: ChangeOptions = {}): Replies<Done> => change("disable_events", {}, options)

/** The pool grows by so many slots (1 if nothing is said). A worker that scales itself refuses. */
export const poolGrow = (n = 1, options: ChangeOptions = {}): Replies<Done> => change("pool_grow", { n }, options)

/** The pool shrinks by so many slots, and keeps one: what runs goes on. */
export const poolShrink = (n = 1, options: ChangeOptions = {}): Replies<Done> => change("pool_shrink", { n }, options)

/** A new pool in the place of the old one, of Python's workers with `worker_pool_restarts`. Ours refuse. */
export const poolRestart = (
  options: ChangeOptions & { readonly modules?: ReadonlyArray<string> | undefined; readonly reload?: boolean } = {}
): Replies<Done> =>
  change("pool_restart", { modules: options.modules ?? null, reload: options.reload ?? false, reloader: null }, options)

/** Between how many slots workers scale themselves that do. */
export const autoscale = (max: number, min: number, options: ChangeOptions = {}): Replies<Done> =>
  change("autoscale", { max, min }, options)

/** How a queue is bound that a worker is to consume. What is left out is called as the queue, and `direct`. */
export interface AddConsumer {
  readonly exchange?: string | undefined
  readonly exchangeType?: string | undefined
  readonly routingKey?: string | undefined
  /** By kombu's names: `{ durable: false, queue_arguments: { "x-max-priority": 10 } }`. */
  readonly options?: Arguments | undefined
}

/** Workers consume this queue, too, until they end. One that a worker was started with is known by its name. */
export const addConsumer = (queue: string, options: ChangeOptions & AddConsumer = {}): Replies<Done> =>
  change(
    "add_consumer",
    {
      queue,
      exchange: options.exchange ?? null,
      exchange_type: options.exchangeType ?? "direct",
      routing_key: options.routingKey ?? null,
      ...options.options
    },
    options
  )

/** Workers do not consume this queue any more; what they have of it they finish. */
export const cancelConsumer = (queue: string, options: ChangeOptions = {}): Replies<Done> =>
  change("cancel_consumer", { queue }, options)

/** A heartbeat now, on the exchange of events. */
export const heartbeat = (target: Target = {}): Effect.Effect<void, HubError, Connection> =>
  cast("heartbeat", {}, target)

/** Workers stop warmly. No one answers. */
export const shutdown = (target: Target = {}): Effect.Effect<void, HubError, Connection> => cast("shutdown", {}, target)

// ---------------------------------------------------------------- asking

/** Questions: they change nothing. */
export const inspect = {
  ping,
  /** The tasks that run. `safe`: their arguments as text. */
  active: (options: AskOptions & { readonly safe?: boolean | undefined } = {}) =>
    ask<ReadonlyArray<ControlMessage.RequestInfo>>(
      "list",
      "active",
      options.safe === undefined ? {} : { safe: options.safe },
      options
    ),
  /** Those that were received, are due and have not begun. */
  reserved: (options: AskOptions = {}) =>
    ask<ReadonlyArray<ControlMessage.RequestInfo>>("list", "reserved", {}, options),
  /** Those a worker holds until they are due; not those the broker keeps. */
  scheduled: (options: AskOptions = {}) =>
    ask<ReadonlyArray<ControlMessage.ScheduledInfo>>("list", "scheduled", {}, options),
  /** The revoked ids that are remembered. */
  revoked: (options: AskOptions = {}) => ask<ReadonlyArray<string>>("list", "revoked", {}, options),
  /** The names of the tasks, with those of these attributes that are set: `proj.add [rate_limit=10/m]`. */
  registered: (options: AskOptions & { readonly taskInfoItems?: ReadonlyArray<string> | undefined } = {}) =>
    ask<ReadonlyArray<string>>("list", "registered", { taskinfoitems: options.taskInfoItems ?? [] }, options),
  stats: (options: AskOptions = {}) => ask<Stats>("object", "stats", {}, options),
  activeQueues: (options: AskOptions = {}) => ask<ReadonlyArray<QueueInfo>>("list", "active_queues", {}, options),
  /** By id, where each is that a worker has: `["active", info]` or `["reserved", info]`. */
  queryTask: (ids: ReadonlyArray<string>, options: AskOptions = {}) =>
    ask<Readonly<Record<string, readonly [state: string, info: ControlMessage.RequestInfo]>>>(
      "object",
      "query_task",
      { ids },
      options
    ),
  clock: (options: AskOptions = {}) => ask<{ readonly clock: number }>("object", "clock", {}, options),
  /** The settings by Celery's names, passwords covered. `withDefaults`: also those that nobody has said. */
  conf: (options: AskOptions & { readonly withDefaults?: boolean | undefined } = {}) =>
    ask<Readonly<Record<string, unknown>>>("object", "conf", { with_defaults: options.withDefaults ?? false }, options),
  /** Versions, the platform and the settings, for a bug report. */
  report: (options: AskOptions = {}) => ask<Done>("text", "report", {}, options),
  /** Resident memory now, as `45.2MB`, which the worker remembers; `null` where that is unknown. */
  memsample: (options: AskOptions = {}) => ask<string | null>("any", "memsample", {}, options),
  /** The samples since the last time (at most 10 if nothing is said), and the memory now: some lines of text. */
  memdump: (options: AskOptions & { readonly samples?: number | undefined } = {}) =>
    ask<string>("any", "memdump", { samples: options.samples ?? 10 }, options)
} as const
