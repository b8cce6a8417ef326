/**
 * What Celery says over kombu's mailbox: the names of its commands and the shapes of its replies (`celery/worker/control.py`, `celery/app/control.py`,
 * WIRE 4.8). The messages themselves are in `kombu/MailboxMessage`.
 */
import { field, isRecord } from "../internal/record.ts"
import * as PythonRepr from "./PythonRepr.ts"

/** Commands that ask, and change nothing. */
export const inspectCommands = [
  "ping",
  "hello",
  "clock",
  "report",
  "conf",
  "registered",
  "active_queues",
  "active",
  "reserved",
  "scheduled",
  "revoked",
  "query_task",
  "stats",
  "memsample",
  "memdump",
  "objgraph"
] as const

/** Commands that change something. */
export const controlCommands = [
  "revoke",
  "revoke_by_stamped_headers",
  "terminate",
  "rate_limit",
  "time_limit",
  "enable_events",
  "disable_events",
  "heartbeat",
  "election",
  "pool_grow",
  "pool_shrink",
  "pool_restart",
  "autoscale",
  "add_consumer",
  "cancel_consumer",
  "shutdown"
] as const

export type Command = (typeof inspectCommands)[number] | (typeof controlCommands)[number]

/** Names of Celery 3 that clients still send. */
export const aliases: ReadonlyMap<string, Command> = new Map<string, Command>([
  ["dump_conf", "conf"],
  ["dump_tasks", "registered"],
  ["dump_active", "active"],
  ["dump_reserved", "reserved"],
  ["dump_schedule", "scheduled"],
  ["dump_revoked", "revoked"]
])

/** The command a name stands for; a name that is no alias is itself. */
export const canonical = (method: string): string => aliases.get(method) ?? method

/** What a caller waits for replies by default, seconds. */
export const defaultTimeout: Readonly<Record<"ping" | "objgraph" | "other", number>> = {
  ping: 0.2,
  objgraph: 60,
  other: 1
}

/** `{"ok": value}`. */
export const ok = <A>(value: A): { readonly ok: A } => ({ ok: value })

/** `{"error": text}`. */
export const error = (text: string): { readonly error: string } => ({ error: text })

/** What an unknown command is answered: `{"error": "KeyError('no_such_command')"}`. */
export const unknownCommand = (method: string): { readonly error: string } =>
  error(`KeyError(${PythonRepr.repr(method)})`)

export const pong = ok("pong")

/** A reply's value, told apart. Most inspect commands answer with the bare value. */
export type ReplyValue =
  | { readonly _tag: "Ok"; readonly value: unknown }
  | { readonly _tag: "Error"; readonly message: string }
  | { readonly _tag: "Value"; readonly value: unknown }

export const decodeReplyValue = (value: unknown): ReplyValue => {
  if (isRecord(value) && Object.keys(value).length === 1) {
    if (Object.hasOwn(value, "ok")) return { _tag: "Ok", value: value.ok }
    const message = field(value, "error")
    if (typeof message === "string") return { _tag: "Error", message }
  }
  return { _tag: "Value", value }
}

/** A task as `active`, `reserved` and `scheduled` show it. Wire names. */
export interface RequestInfo {
  readonly id: string
  readonly name: string
  readonly args: unknown
  readonly kwargs: unknown
  readonly type: string
  readonly hostname: string
  /** Unix seconds; `null` before it started. */
  readonly time_start: number | null
  readonly acknowledged: boolean
  readonly delivery_info: {
    readonly exchange: string
    readonly routing_key: string
    readonly priority: number | null
    readonly redelivered: boolean | null
  }
  readonly worker_pid: number | null
}

/** One entry of `scheduled`. */
export interface ScheduledInfo {
  readonly eta: string
  readonly priority: number
  readonly request: RequestInfo
}

/** The answer to `hello`: revoked ids, each as the pair `[monotonic seconds, id]`, and the logical clock. */
export interface HelloReply {
  readonly revoked: Readonly<Record<string, unknown>>
  readonly clock: number
}

/** The texts of the commands that answer with one. */
export const texts = {
  /** The ids are shown as a Python set. */
  revoked: (ids: ReadonlyArray<string>): string =>
    ids.length === 0
      ? "tasks set() flagged as revoked"
      : `tasks {${ids.map((id) => PythonRepr.repr(id)).join(", ")}} flagged as revoked`,
  terminated: (ids: ReadonlyArray<string>): string =>
    `terminate: ${ids.length === 0 ? "tasks unknown" : ids.join(", ")}`,
  rateLimitSet: "new rate limit set successfully",
  rateLimitDisabled: "rate limit disabled successfully",
  timeLimitSet: "time limits set successfully",
  eventsEnabled: "task events enabled",
  eventsAlreadyEnabled: "task events already enabled",
  eventsDisabled: "task events disabled",
  eventsAlreadyDisabled: "task events already disabled",
  poolWillGrow: "pool will grow",
  poolWillShrink: "pool will shrink",
  reloadStarted: "reload started",
  autoscale: (max: number, min: number): string => `autoscale now max=${max} min=${min}`,
  consumerAdded: (queue: string): string => `add consumer ${queue}`,
  consumerCancelled: (queue: string): string => `no longer consuming from ${queue}`,
  consumerAlreadyAdded: (queue: string): string => `already consuming from ${PythonRepr.repr(queue)}`
} as const
