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
import * as Mailbox from "@apium/hub/Mailbox"
import * as ControlMessage from "@apium/protocol/celery/ControlMessage"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as LogicalClock from "../events/LogicalClock.ts"
import type { Countdown } from "../task/Countdown.ts"

/** Which workers are meant: those named, those whose name matches, or all. */
export interface Target {
  readonly destination?: ReadonlyArray<string> | undefined
  readonly pattern?: string | undefined
  /** How the pattern is read; default `glob`. */
  readonly matcher?: "glob" | "pcre" | undefined
  /** What the exchanges are named after (Celery's `control_exchange`). Default `celery`. */
  readonly namespace?: string | undefined
  /** Default: none. */
  readonly clock?: LogicalClock.LogicalClock["Service"] | undefined
}

export interface AskOptions extends Target {
  /** How long answers are waited for. Default 1 s. */
  readonly timeout?: Duration.Input | undefined
  /** No more answers than these. Default: as many as there are destinations. */
  readonly limit?: number | undefined
}

export interface ChangeOptions extends AskOptions {
  /** Wait for answers. Default `false`: there are none. */
  readonly reply?: boolean | undefined
}

/** What one worker answered. */
export interface Reply<A> {
  /** Its name. */
  readonly node: string
  readonly reply: A | Failed
}

export interface Failed {
  readonly error: string
}

export const isFailed = (reply: unknown): reply is Failed => ControlMessage.decodeReplyValue(reply)._tag === "Error"

export type Replies<A> = Effect.Effect<ReadonlyArray<Reply<A>>, HubError, Connection>

export interface Done {
  readonly ok: string
}

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
  readonly rusage: unknown
}

/** A queue as `active_queues` shows it; there is more of it. */
export interface QueueInfo {
  readonly name: string
  readonly exchange: { readonly name: string; readonly type: string }
  readonly routing_key: string
}

const commandFor = (method: string, args: Arguments, target: Target): Mailbox.Command => ({
  method,
  arguments: args,
  destination: target.destination,
  pattern: target.pattern,
  matcher: target.pattern === undefined ? undefined : (target.matcher ?? "glob")
})

const mailbox = ({ namespace, clock }: Target): Mailbox.Options => ({
  namespace,
  clock: clock === undefined ? undefined : LogicalClock.forMailbox(clock)
})

/** Any command, a worker's own ones too: the answers as they come, unread. */
export const broadcast = (
  method: string,
  args: Arguments = {},
  options: AskOptions = {}
): Stream.Stream<Mailbox.Reply, HubError, Connection> =>
  Mailbox.broadcast(commandFor(method, args, options), {
    ...mailbox(options),
    timeout: options.timeout ?? Duration.seconds(ControlMessage.defaultTimeout.other),
    limit: options.limit
  })

/** Any command, to which nobody is to answer. */
export const cast = (
  method: string,
  args: Arguments = {},
  target: Target = {}
): Effect.Effect<void, HubError, Connection> => Mailbox.cast(commandFor(method, args, target), mailbox(target))

/** What kind of answer a command has. */
type Kind = "text" | "list" | "object"

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value)

const isOf = (kind: Kind, reply: unknown): boolean => {
  switch (kind) {
    case "text":
      return isObject(reply) && typeof reply.ok === "string"
    case "list":
      return Array.isArray(reply)
    case "object":
      return isObject(reply)
  }
}

const ask = <A>(kind: Kind, method: string, args: Arguments, options: AskOptions): Replies<A> =>
  Effect.map(Stream.runCollect(broadcast(method, args, options)), (replies) =>
    replies.map(({ node, reply }): Reply<A> => {
      if (isFailed(reply)) return { node, reply }
      return isOf(kind, reply)
        ? { node, reply: reply as A }
        : { node, reply: { error: `The answer to ${method} should be of the kind ${kind}, and is not` } }
    })
  )

const change = (method: string, args: Arguments, options: ChangeOptions): Replies<Done> =>
  options.reply === true ? ask("text", method, args, options) : Effect.as(cast(method, args, options), [])

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

/** As `revoke`, for tasks stamped with one of these values. Since Celery 5.3. */
export const revokeByStampedHeaders = (
  headers: Readonly<Record<string, string | ReadonlyArray<string>>>,
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
  clock: (options: AskOptions = {}) => ask<{ readonly clock: number }>("object", "clock", {}, options)
} as const
