/**
 * How a task ends when it does not return: what a handler may fail with to steer its own execution, and what the caller of a
 * failed task gets. On the wire a failure is `{exc_type, exc_message, exc_module}` (celery/backends/base.py
 * `prepare_exception`); Python builds the class again from type and module, so the errors Celery has keep its names.
 */
import type { Failure } from "@apium/protocol/celery/ResultMessage"
import type { Signature } from "@apium/protocol/celery/Signature"
import { safeRepr } from "@apium/protocol/celery/PythonRepr"
import { type KombuJson, stringify } from "@apium/protocol/kombu/Json"
import * as Cause from "effect/Cause"
import type * as Duration from "effect/Duration"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as PythonError from "./PythonError.ts"

export { python, type PythonClass } from "./PythonError.ts"

/** Run this task again, later (`Retry.again`). */
export class RetryRequested extends Schema.TaggedError<RetryRequested>()("Retry", {
  countdown: Schema.optionalKey(Schema.Duration),
  eta: Schema.optionalKey(Schema.Date),
  maxRetries: Schema.optionalKey(Schema.Int),
  cause: Schema.optionalKey(Schema.Unknown)
}) {
  override get message() {
    return "The task asked to be run again"
  }
}

/** Acknowledge and store nothing, as if the task had never been (celery.exceptions.Ignore). */
export class Ignore extends Schema.TaggedError<Ignore>()("Ignore", {}) {
  override get message() {
    return "The task asked to be ignored"
  }
}

/** Reject the message: back to its queue, or to where rejected messages go (celery.exceptions.Reject). */
export class Reject extends Schema.TaggedError<Reject>()("Reject", {
  requeue: Schema.Boolean,
  reason: Schema.optionalKey(Schema.String)
}) {
  override get message() {
    return this.reason ?? "The task asked for its message to be rejected"
  }
}

/** Another task, or a canvas, is to be run in the place of this one (`Canvas.replace`). */
export class ReplaceRequested extends Schema.TaggedError<ReplaceRequested>()("Replace", {
  /** As on the wire. */
  signature: Schema.declare((value): value is Signature => typeof value === "object" && value !== null)
}) {
  override get message() {
    return "The task asked to be replaced by another"
  }
}

/** The soft time limit ran out (billiard.exceptions.SoftTimeLimitExceeded): what the failure of an interrupted task is. */
export class SoftTimeLimitExceeded extends Schema.TaggedError<SoftTimeLimitExceeded>()("SoftTimeLimitExceeded", {
  /** Seconds. */
  softTimeLimit: Schema.Number
}) {
  override get message() {
    return `The task ran longer than its soft time limit of ${this.softTimeLimit} s`
  }
}

/** What any handler may fail with, besides its own error. */
export type Steering = RetryRequested | Ignore | Reject | ReplaceRequested

/** At the caller: the task ended in FAILURE or REVOKED. */
export class TaskFailed extends Schema.TaggedError<TaskFailed>()("TaskFailed", {
  taskId: Schema.String,
  state: Schema.String,
  excType: Schema.String,
  /** The arguments of the exception. */
  excMessage: Schema.Array(Schema.Unknown),
  excModule: Schema.String,
  traceback: Schema.Option(Schema.String)
}) {
  override get message() {
    const [text] = this.excMessage
    return `Task ${this.taskId} ended as ${this.state}: ${this.excType}${typeof text === "string" ? `: ${text}` : ""}`
  }
}

/** The module of everything that is ours or the user's: Python makes an exception class of that name. */
const module = "apium"

export const notRegistered = (name: string): Failure => ({
  excType: "NotRegistered",
  excMessage: [name],
  excModule: "celery.exceptions"
})

/** `why` is Celery's word: revoked, expired, terminated. */
export const revoked = (why: string): Failure => ({
  excType: "TaskRevokedError",
  excMessage: [why],
  excModule: "celery.exceptions"
})

export const maxRetriesExceeded = (name: string, id: string): Failure => ({
  excType: "MaxRetriesExceededError",
  excMessage: [`Can't retry ${name}[${id}]: it has been tried often enough`],
  excModule: "celery.exceptions"
})

/** Given back again and again: each run of it ended without an end. */
export const tooManyDeliveries = (deliveries: number): Failure => ({
  excType: "TooManyDeliveries",
  excMessage: [`the message was given back ${deliveries} times, and is now in its dead-letter queue`],
  excModule: module
})

/** What the body of a chord fails with when a part of it failed (celery.exceptions.ChordError). `repr`: the part's exception. */
export const chordError = (taskId: string, repr: string): Failure => ({
  excType: "ChordError",
  excMessage: [`Dependency ${taskId} raised ${repr}`],
  excModule: "celery.exceptions"
})

/** A chord whose body cannot be sent. */
export const callbackError = (text: string): Failure => ({
  excType: "ChordError",
  excMessage: [`Callback error: ${text}`],
  excModule: "celery.exceptions"
})

/** As Python's own: what binding errors and refused values are. */
export const typeError = (message: string): Failure => ({
  excType: "TypeError",
  excMessage: [message],
  excModule: "builtins"
})

/** A value that no serializer takes (kombu.exceptions.EncodeError). */
export const encodeError = (message: string): Failure => ({
  excType: "EncodeError",
  excMessage: [message],
  excModule: "kombu.exceptions"
})

/** A value of the right type that makes no sense. */
export const valueError = (message: string): Failure => ({
  excType: "ValueError",
  excMessage: [message],
  excModule: "builtins"
})

/** The worker that ran the task is gone (billiard.exceptions.WorkerLostError). */
export const workerLost = (text: string): Failure => ({
  excType: "WorkerLostError",
  excMessage: [text],
  excModule: "billiard.exceptions"
})

/** As billiard's exceptions have it. */
export const timeLimitExceeded = (seconds: number): Failure => ({
  excType: "TimeLimitExceeded",
  excMessage: [seconds],
  excModule: "billiard.exceptions"
})

/** Names that JavaScript and Python give to the same thing: Python's client gets its own class back. */
const builtins: ReadonlySet<string> = new Set(["TypeError", "SyntaxError"])

/** What is stored for a day, and shown in lists, is no place for more. */
const maxMessage = 16_384

const highSurrogate = /[\ud800-\udbff]$/

/** Half of a character is text that Python cannot print. */
const cut = (text: string): string =>
  text.length <= maxMessage ? text : text.slice(0, maxMessage).replace(highSurrogate, "")

const messageOf = (error: object): string => {
  const message = "message" in error ? error.message : undefined
  return typeof message === "string" ? cut(message) : ""
}

const nameOf = (error: object): string => {
  if ("_tag" in error && typeof error._tag === "string") return error._tag
  return "name" in error && typeof error.name === "string" && error.name !== "" ? error.name : "Error"
}

/** What no message can carry is told in words, as Celery does it (`ensure_serializable`): the failure is stored all the same. */
const carried = (value: KombuJson): KombuJson => {
  try {
    stringify(value)
    return value
  } catch {
    return safeRepr(value)
  }
}

/** An exception without a message has no arguments, as in Python. */
const argsOf = (error: object): ReadonlyArray<KombuJson> => {
  const message = messageOf(error)
  if (message !== "") return [message]
  // Thrown, but no error: an object, a list.
  return error instanceof Error || ("_tag" in error && typeof error._tag === "string") ? [] : [safeRepr(error)]
}

/**
 * Anything a handler failed with or threw, as an exception of Python's. `encoded` are the fields of a declared error: they are the
 * arguments of `python`, its class there, or travel behind the text, where a TypeScript caller finds them.
 */
export const toFailure = (
  error: unknown,
  encoded: Option.Option<KombuJson> = Option.none(),
  python?: PythonError.PythonClass
): Failure => {
  if (typeof error !== "object" || error === null) {
    const text = cut(String(error))
    return Option.isSome(encoded)
      ? { excType: "Exception", excMessage: [text, carried(encoded.value)], excModule: module }
      : { excType: "Exception", excMessage: [text], excModule: "builtins" }
  }
  if (error instanceof SoftTimeLimitExceeded) {
    return { excType: "SoftTimeLimitExceeded", excMessage: [], excModule: "billiard.exceptions" }
  }
  const excType = nameOf(error)
  if (Option.isNone(encoded)) {
    return { excType, excMessage: argsOf(error), excModule: builtins.has(excType) ? "builtins" : module }
  }
  const message = messageOf(error)
  const fields = encoded.value
  if (python === undefined || typeof fields !== "object" || fields === null) {
    return { excType, excMessage: [message, carried(fields)], excModule: module }
  }
  const args = PythonError.argsOf(python, fields as Readonly<Record<string, KombuJson>>, message)
  return { excType: python.type, excMessage: args.map(carried), excModule: python.module }
}

/** What travels behind the text of a declared error; nothing for an exception of anybody else's. */
export const fieldsOf = ({ excMessage, excModule }: Failure): Option.Option<KombuJson> =>
  excModule === module && excMessage.length === 2 ? Option.some(excMessage[1]!) : Option.none()

/** A traceback is for people: the first 16 KiB are enough. */
const maxTraceback = 16_384

export const traceback = (cause: Cause.Cause<unknown>): string => Cause.pretty(cause).slice(0, maxTraceback)

/** How long a retry waits when nobody says: Celery's `default_retry_delay`. */
export const defaultRetryDelay: Duration.Input = "180 seconds"

/** How often a task is retried when nobody says: Celery's `max_retries`. */
export const defaultMaxRetries = 3
