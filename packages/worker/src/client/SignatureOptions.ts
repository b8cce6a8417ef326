/**
 * The options of a signature as a task message has them (celery/app/amqp.py `as_task_v2`). They come from the wire and from
 * senders in any language: what makes no sense throws a `TypeError` that names the option. Options nobody here knows change
 * nothing, as in Celery.
 */
import type { Arguments } from "@apium/hub/Exchange"
import * as PythonRepr from "@apium/protocol/celery/PythonRepr"
import * as Signature from "@apium/protocol/celery/Signature"
import * as TaskMessage from "@apium/protocol/celery/TaskMessage"
import { type KombuJson, PyDateTime } from "@apium/protocol/kombu/Json"
import * as Duration from "effect/Duration"
import * as Result from "effect/Result"
import type { TaskOptions } from "../task/Task.ts"
import type { Outgoing } from "./Outgoing.ts"
import * as PublishRetry from "./PublishRetry.ts"
import type { Router } from "./Router.ts"
import type * as Routes from "./Routes.ts"
import type { Call } from "./SendOptions.ts"

export interface Given {
  /** Come before the signature's own, unless it is immutable. */
  readonly args: ReadonlyArray<KombuJson>
  /** What is to follow, in the wire's order: the next step last. */
  readonly chain: ReadonlyArray<Signature.Signature>
  /** Left out: the task is the root of a tree of its own. */
  readonly rootId?: string | undefined
  readonly parentId?: string | undefined
  /** Where results go that come as messages, unless the signature says. */
  readonly replyTo?: string | undefined
  /** The headers of the trace that it goes on in, unless the signature says. */
  readonly trace?: Arguments | undefined
}

export interface Sender {
  /** Milliseconds since the epoch. */
  readonly now: number
  /** What the definition of a task says, where it is known. */
  readonly optionsOf: (task: string) => TaskOptions | undefined
  readonly router: Router
  readonly origin: string
  readonly publishRetry?: PublishRetry.PublishRetry | undefined
}

type Options = Readonly<Record<string, unknown>>

const wrong = (name: string, wanted: string): never => {
  throw new TypeError(`options.${name} should be ${wanted}`)
}

const text = (options: Options, name: string): string | undefined => {
  const value = options[name] ?? undefined
  return value === undefined || typeof value === "string" ? value : wrong(name, "a string")
}

const number = (options: Options, name: string): number | undefined => {
  const value = options[name] ?? undefined
  if (value === undefined || (typeof value === "number" && Number.isFinite(value))) return value
  return typeof value === "bigint" && Number.isSafeInteger(Number(value)) ? Number(value) : wrong(name, "a number")
}

const record = (options: Options, name: string): Options | undefined => {
  const value = options[name] ?? undefined
  if (value === undefined) return undefined
  return typeof value === "object" && !Array.isArray(value) ? (value as Options) : wrong(name, "an object")
}

/** Milliseconds since the epoch. */
const time = (options: Options, name: string): number | undefined => {
  const value = options[name] ?? undefined
  if (value === undefined) return undefined
  if (value instanceof Date && !Number.isNaN(value.getTime())) return value.getTime()
  const written = value instanceof PyDateTime ? value.text : value
  const parsed = typeof written === "string" ? TaskMessage.parseEta(written) : undefined
  return parsed !== undefined && Result.isSuccess(parsed) ? parsed.success : wrong(name, "an ISO 8601 time")
}

const list = (options: Options, name: string): ReadonlyArray<Signature.Signature> =>
  Signature.decodeListUnsafe(options[name], `options.${name}`) ?? []

const orNull = <A>(items: ReadonlyArray<A>): ReadonlyArray<A> | null => (items.length === 0 ? null : items)

const embedOf = (options: Options, given: Given): TaskMessage.Embed => {
  const callbacks = list(options, "link")
  const errbacks = list(options, "link_error")
  // What a signature has of its own comes first: it is nearer to it.
  const chain = [...given.chain, ...list(options, "chain")]
  const chord = record(options, "chord")
  return callbacks.length + errbacks.length + chain.length === 0 && chord === undefined
    ? TaskMessage.emptyEmbed
    : {
        callbacks: orNull(callbacks),
        errbacks: orNull(errbacks),
        chain: orNull(chain),
        chord: chord === undefined ? null : Signature.decodeUnsafe(chord, "options.chord")
      }
}

const stampsOf = (options: Options): Pick<TaskMessage.TaskHeaders, "stampedHeaders" | "stamps"> | undefined => {
  const names = options.stamped_headers ?? undefined
  if (names === undefined) return undefined
  if (!Array.isArray(names) || !names.every((name): name is string => typeof name === "string")) {
    return wrong("stamped_headers", "a list of names")
  }
  const found = names.filter((name) => Object.hasOwn(options, name))
  return { stampedHeaders: names, stamps: Object.fromEntries(found.map((name) => [name, options[name]])) }
}

/** As far as they say where it goes. An empty name is none, as for Celery. */
const routedBy = (options: Options): Routes.Options => ({
  taskId: text(options, "task_id"),
  shadow: text(options, "shadow"),
  queue: text(options, "queue") || undefined,
  exchange: text(options, "exchange"),
  routingKey: text(options, "routing_key"),
  priority: number(options, "priority"),
  serializer: text(options, "serializer"),
  compression: text(options, "compression"),
  headers: record(options, "headers")
})

const retryOf = (options: Options, all: PublishRetry.PublishRetry = true): PublishRetry.PublishRetry | undefined => {
  const retry = typeof options.retry === "boolean" ? options.retry : undefined
  const policy = record(options, "retry_policy")
  if (policy === undefined) return retry === undefined ? undefined : PublishRetry.over(all, { retry })
  const interval = (name: string): Duration.Duration | undefined => {
    const seconds = number(policy, name)
    return seconds === undefined ? undefined : Duration.millis(seconds * 1000)
  }
  const retryPolicy = {
    maxRetries: policy.max_retries === null ? Number.POSITIVE_INFINITY : number(policy, "max_retries"),
    intervalStart: interval("interval_start"),
    intervalStep: interval("interval_step"),
    intervalMax: interval("interval_max")
  }
  return PublishRetry.over(all, { retry, retryPolicy })
}

/** A map goes where the task goes that it calls (celery/canvas.py `_basemap`). */
const calledBy = (task: string, { kwargs }: Call): string => {
  if (task !== "celery.map" && task !== "celery.starmap") return task
  const called = record(kwargs, "task")?.task
  return typeof called === "string" ? called : task
}

/** One task, told by its signature's options, and where they say nothing by its definition. */
export const outgoingUnsafe = (task: string, call: Call, options: Options, given: Given, sender: Sender): Outgoing => {
  const known = sender.optionsOf(task)
  const called = calledBy(task, call)
  const definition = known?.queue === undefined ? sender.optionsOf(called) : known
  const own = routedBy(options)
  const route = sender.router.route(called, call, own, definition)
  const { now } = sender
  const countdown = number(options, "countdown")
  const eta = countdown === undefined ? time(options, "eta") : now + countdown * 1000
  const waits = typeof options.expires === "number" ? options.expires * 1000 : undefined
  const expires = waits === undefined ? time(options, "expires") : now + waits
  const otherwise = known?.expires ?? route?.expires
  const fallback = expires === undefined && otherwise !== undefined ? Duration.toMillis(otherwise) : undefined
  const expiresAt = fallback === undefined ? expires : now + fallback
  const expiration = waits ?? fallback
  const id = text(options, "task_id") ?? crypto.randomUUID()
  return {
    task: {
      headers: TaskMessage.makeHeaders({
        task,
        id,
        shadow: text(options, "shadow") ?? null,
        eta: eta === undefined ? null : TaskMessage.formatEta(eta),
        expires: expiresAt === undefined ? null : TaskMessage.formatEta(expiresAt),
        group: text(options, "group_id") ?? null,
        groupIndex: number(options, "group_index") ?? null,
        timelimit: [number(options, "time_limit") ?? null, number(options, "soft_time_limit") ?? null],
        rootId: given.rootId ?? id,
        parentId: given.parentId ?? null,
        argsrepr: PythonRepr.argsRepr(call.args),
        kwargsrepr: PythonRepr.kwargsRepr(call.kwargs),
        origin: sender.origin,
        ignoreResult:
          options.ignore_result === undefined ? (known?.ignoreResult ?? false) : options.ignore_result === true,
        replacedTaskNesting: number(options, "replaced_task_nesting") ?? 0,
        ...stampsOf(options),
        extra: { ...given.trace, ...(own.headers ?? route?.headers) }
      }),
      ...call,
      embed: embedOf(options, given)
    },
    to: sender.router.destination(own, definition?.queue, route),
    priority: own.priority ?? definition?.priority ?? route?.priority ?? 0,
    replyTo: text(options, "reply_to") ?? given.replyTo,
    expiration:
      expiration === undefined || !Number.isFinite(expiration) ? undefined : Math.max(0, Math.ceil(expiration)),
    notBefore: eta,
    serializer: own.serializer ?? route?.serializer,
    compression: own.compression ?? route?.compression,
    publishRetry: retryOf(options, sender.publishRetry)
  }
}
