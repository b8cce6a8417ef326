/**
 * Events: what workers and clients say about themselves and their tasks (`celery/events/`, WIRE 4.7). Exchange `celeryev`, routing key the type with `-` as `.`.
 *
 * A worker's task events are buffered and go out as one JSON list on the routing key `task.multi`; everything else goes singly. Fields keep the wire's names.
 */
import * as Data from "effect/Data"
import * as Result from "effect/Result"
import { describe, type Fields, field, isRecord, rest, setField } from "../internal/record.ts"
import type { KombuJson } from "../kombu/Json.ts"

export interface Event {
  /** `task-received`, `worker-heartbeat`, or the application's own. */
  readonly type: string
  /** The sender: a nodename, or `gen<pid>@<host>` for a client. */
  readonly hostname: string
  /** Hours between the sender's local time and UTC, as Python counts them: positive in the west. */
  readonly utcoffset: number
  readonly pid: number
  /** The sender's logical clock. */
  readonly clock: number
  /** Unix seconds. */
  readonly timestamp: number
  readonly fields: Readonly<Record<string, KombuJson>>
}

/** A body that is no event; says which field. */
export class InvalidEvent extends Data.TaggedError("InvalidEvent")<{ readonly message: string }> {}

/** The topic exchange. */
export const exchange = "celeryev"

/** The routing key of a list of task events. */
export const multiRoutingKey = "task.multi"

/** How many task events a worker buffers before it sends them. */
export const bufferLimit = 24

interface TaskFields {
  readonly uuid: string
}
interface WorkerFields {
  /** Seconds between two heartbeats. */
  readonly freq: number
  readonly active: number
  readonly processed: number
  readonly loadavg: ReadonlyArray<number>
  readonly sw_ident: string
  readonly sw_ver: string
  readonly sw_sys: string
}
interface FailureFields extends TaskFields {
  /** Python's repr of the exception. */
  readonly exception: string
  /** Left out of a task that was never run. */
  readonly traceback?: string | null
}
interface ReceivedFields extends TaskFields {
  readonly name: string
  /** Reprs, see `PythonRepr`. */
  readonly args: string
  readonly kwargs: string
  readonly root_id: string | null
  readonly parent_id: string | null
  readonly retries: number
  readonly eta: string | null
  readonly expires: string | null
}

/** The fields of each type, beside those that all events have. */
export interface EventFields {
  readonly "task-sent": ReceivedFields & {
    readonly queue: string | null
    readonly exchange: string | null
    readonly routing_key: string | null
  }
  readonly "task-received": ReceivedFields
  readonly "task-started": TaskFields
  readonly "task-succeeded": TaskFields & {
    /** Repr. */
    readonly result: string
    /** Seconds. */
    readonly runtime: number
  }
  readonly "task-failed": FailureFields
  readonly "task-retried": FailureFields
  readonly "task-rejected": TaskFields & { readonly requeue: boolean }
  readonly "task-revoked": TaskFields & {
    readonly terminated: boolean
    readonly signum: number | string | null
    readonly expired: boolean
  }
  readonly "task-cancelled": TaskFields
  readonly "worker-online": WorkerFields
  readonly "worker-heartbeat": WorkerFields
  readonly "worker-offline": WorkerFields
  readonly "worker-elect": {
    readonly id: string
    readonly topic: string
    readonly action: KombuJson
    readonly cver: number
  }
  readonly "worker-elect-ack": { readonly id: string }
}

/** An event of a built-in type, its fields checked by the compiler. */
export const make = <T extends keyof EventFields>(
  type: T,
  common: Omit<Event, "type" | "fields">,
  fields: EventFields[T]
): Event => ({ ...common, type, fields: fields as unknown as Event["fields"] })

/** An event of the application's own; from within a task it carries the task's `uuid`. */
export const custom = (type: string, common: Omit<Event, "type" | "fields">, fields: Event["fields"]): Event => ({
  ...common,
  type,
  fields
})

/** `worker-online` goes to `worker.online`. */
export const routingKey = (type: string): string => type.replaceAll("-", ".")

/** `task` of `task-received`: what decides whether a worker buffers it. */
export const groupOf = (type: string): string => type.split("-", 1)[0]!

const known: ReadonlySet<string> = new Set(["type", "hostname", "utcoffset", "pid", "clock", "timestamp"])

/** The object of the wire. */
export const encode = (event: Event): Record<string, unknown> => {
  const wire: Record<string, unknown> = {
    hostname: event.hostname,
    utcoffset: event.utcoffset,
    pid: event.pid,
    clock: event.clock
  }
  for (const [key, value] of Object.entries(rest(event.fields, known))) setField(wire, key, value)
  wire.timestamp = event.timestamp
  wire.type = event.type
  return wire
}

/** The body of a `task.multi` message. */
export const encodeMulti = (events: ReadonlyArray<Event>): ReadonlyArray<Record<string, unknown>> => events.map(encode)

const readEvent = (value: unknown, where: string): Event => {
  if (!isRecord(value)) throw new InvalidEvent({ message: `${where} should be an object, and is ${describe(value)}` })
  const type = field(value, "type")
  if (typeof type !== "string" || type === "") {
    throw new InvalidEvent({ message: `${where}.type should be a name, and is ${describe(type)}` })
  }
  const hostname = field(value, "hostname")
  if (typeof hostname !== "string") {
    throw new InvalidEvent({ message: `${where}.hostname should be a string, and is ${describe(hostname)}` })
  }
  return {
    type,
    hostname,
    utcoffset: number(value, "utcoffset", where),
    pid: number(value, "pid", where),
    clock: number(value, "clock", where),
    timestamp: number(value, "timestamp", where),
    fields: rest(value, known) as Event["fields"]
  }
}

const number = (record: Fields, key: string, where: string): number => {
  const value = field(record, key) ?? 0
  if (typeof value === "number") return value
  if (typeof value === "bigint") return Number(value)
  throw new InvalidEvent({ message: `${where}.${key} should be a number, and is ${describe(value)}` })
}

/** Reads a body: one event, or the list of `task.multi`. Of the common fields only `type` and `hostname` have to be there. */
export const decode = (body: unknown): Result.Result<ReadonlyArray<Event>, InvalidEvent> =>
  Result.try({
    try: () =>
      Array.isArray(body) ? body.map((item, index) => readEvent(item, `event[${index}]`)) : [readEvent(body, "event")],
    catch: (error) => error as InvalidEvent
  })
