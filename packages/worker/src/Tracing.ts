/**
 * W3C trace context (w3.org/TR/trace-context) through tasks, where OpenTelemetry's instrumentation of Celery has it: the headers
 * `traceparent`, `tracestate` and `baggage` of a message, next to Celery's own.
 *
 * What a task causes goes on in its trace: what its handler sends, its retries, its callbacks, the next step of its chain, the body of its
 * chord. Where there is no tracer the headers are passed on as they came, and nothing else is done. Where there is one
 * (`effect/observability/Otlp`), a send is a span `send <queue>`, and a run a span `process <queue>` whose parent is that of the send,
 * with the attributes of OpenTelemetry's conventions for messaging.
 */
import type { Arguments } from "@apium/hub/Exchange"
import type { Failure } from "@apium/protocol/celery/ResultMessage"
import * as TaskState from "@apium/protocol/celery/TaskState"
import type * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Tracer from "effect/Tracer"
import type { Outcome } from "./execution/Outcome.ts"
import { TaskContext } from "./task/TaskContext.ts"
import * as TaskError from "./task/TaskError.ts"

const names = ["traceparent", "tracestate", "baggage"] as const

/** What is passed on of a task's headers; nothing for most tasks. */
export const carried = (headers: Arguments): Arguments | undefined => {
  if (headers.traceparent === undefined && headers.baggage === undefined) return undefined
  return Object.fromEntries(names.flatMap((name) => (headers[name] === undefined ? [] : [[name, headers[name]]])))
}

const traceparent = ({ sampled, spanId, traceId }: Tracer.AnySpan): string =>
  `00-${traceId.padStart(32, "0")}-${spanId.padStart(16, "0")}-${sampled ? "01" : "00"}`

const written = /^00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})$/

/** What the headers say is going on; nothing where they are not W3C's. */
export const parentOf = ({ traceparent: text }: Arguments): Tracer.ExternalSpan | undefined => {
  const found = typeof text === "string" ? written.exec(text) : null
  if (found === null) return undefined
  const [, traceId, spanId, flags] = found
  return Tracer.externalSpan({
    traceId: traceId!,
    spanId: spanId!,
    sampled: (Number.parseInt(flags!, 16) & 1) === 1
  })
}

/** For what this span causes. A `tracestate` is of its trace alone. */
const within = (span: Tracer.AnySpan, own: Arguments | undefined): Arguments => {
  if (own?.tracestate === undefined || parentOf(own)?.traceId === span.traceId) {
    return { ...own, traceparent: traceparent(span) }
  }
  const { tracestate: _, ...others } = own
  return { ...others, traceparent: traceparent(span) }
}

/** The headers of whatever this fiber sends: of its span, or of the task that it runs. */
export const headersOf = ({ cache: { span }, context }: Fiber.Fiber<unknown, unknown>): Arguments | undefined => {
  const task = Option.getOrUndefined(Context.getOption(context, TaskContext))
  const own = task === undefined ? undefined : carried(task.headers)
  return span === undefined || Context.get(span.annotations, Tracer.DisablePropagation) ? own : within(span, own)
}

interface Started {
  readonly span: Tracer.Span
  /** For what it causes. */
  readonly headers: Arguments
}

const start = (
  tracer: Tracer.Tracer,
  name: string,
  kind: Tracer.SpanKind,
  headers: Arguments,
  clock: Clock.Clock,
  attributes: Readonly<Record<string, unknown>>
): Started => {
  const parent = parentOf(headers)
  const span = tracer.span({
    name,
    kind,
    parent: Option.fromUndefinedOr(parent),
    root: parent === undefined,
    sampled: parent?.sampled ?? true,
    annotations: Context.empty(),
    links: [],
    startTime: clock.currentTimeNanosUnsafe()
  })
  for (const [key, value] of Object.entries(attributes)) if (value !== undefined) span.attribute(key, value)
  return { span, headers: within(span, carried(headers)) }
}

/** As OpenTelemetry calls it, which has no name for Redis or a broker in memory. */
const systemOf = (transport: string): string => (transport === "amqp" ? "rabbitmq" : transport)

export interface Sent {
  readonly task: string
  readonly id: string
  readonly rootId: string
  /** An exchange with a routing key, or a queue. */
  readonly destination: string
  readonly transport: string
  readonly headers: Arguments
}

/** The span of a send, its parent the span that its headers tell of; the message is to have `headers`. */
export const sending = (tracer: Tracer.Tracer, clock: Clock.Clock, sent: Sent): Started =>
  start(tracer, `send ${sent.destination}`, "producer", sent.headers, clock, {
    "messaging.system": systemOf(sent.transport),
    "messaging.operation.name": "send",
    "messaging.operation.type": "send",
    "messaging.destination.name": sent.destination,
    "messaging.message.id": sent.id,
    "messaging.message.conversation_id": sent.rootId,
    "celery.task_name": sent.task
  })

/** A tracer that this fiber was given; without one spans would go nowhere. */
export const tracerOf = ({ cache }: Fiber.Fiber<unknown, unknown>): Tracer.Tracer | undefined =>
  cache.tracerEnabled ? cache.tracer : undefined

export interface Run {
  /** For what the run causes. */
  readonly headers: Arguments
  readonly around: <A>(run: Effect.Effect<A>) => Effect.Effect<A>
  /** It is over, whatever becomes of the task. */
  readonly end: (exit: Exit.Exit<Outcome>) => void
}

export interface Received extends Sent {
  readonly retries: number
  readonly redelivered: boolean
}

/** Nothing where no tracer is given and no context came along, as with most. */
export const processing = (
  tracer: Tracer.Tracer | undefined,
  clock: Clock.Clock,
  { destination, headers, id, redelivered, retries, rootId, task, transport }: Received
): Run | undefined => {
  if (tracer === undefined) {
    const parent = parentOf(headers)
    return parent === undefined
      ? undefined
      : { headers: carried(headers) ?? {}, around: (run) => Effect.withParentSpan(run, parent), end: () => undefined }
  }
  const started = start(tracer, `process ${destination}`, "consumer", headers, clock, {
    "messaging.system": systemOf(transport),
    "messaging.operation.name": "process",
    "messaging.operation.type": "process",
    "messaging.destination.name": destination,
    "messaging.message.id": id,
    "messaging.message.conversation_id": rootId,
    "celery.task_name": task,
    "celery.retries": retries === 0 ? undefined : retries,
    "celery.redelivered": redelivered ? true : undefined
  })
  const { span } = started
  return {
    headers: started.headers,
    around: (run) => Effect.withParentSpan(run, span),
    end: (exit) => {
      const failure = Exit.isSuccess(exit) ? failureOf(exit.value) : undefined
      const now = clock.currentTimeNanosUnsafe()
      if (failure === undefined) return span.end(now, exit)
      span.attribute("error.type", failure.excType)
      const [state, traceback] = [TaskState.FAILURE, Option.none<string>()]
      span.end(now, Exit.fail(new TaskError.TaskFailed({ taskId: id, state, traceback, ...failure })))
    }
  }
}

/** A retry is a failure of this run. */
const failureOf = (outcome: Outcome): Failure | undefined => {
  switch (outcome._tag) {
    case "Failure":
    case "Retry":
      return outcome.failure
    case "TimedOut":
      return TaskError.timeLimitExceeded(outcome.timeLimit)
    case "Lost":
      return TaskError.workerLost(outcome.text)
    default:
      return undefined
  }
}
