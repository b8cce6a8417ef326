/**
 * A task and how to call it, as a value (celery/canvas.py): what `link` and `linkError` take.
 *
 * ```ts
 * const log = yield* Signature.s(store, { where: "audit" })          // called as store(result, where="audit")
 * const done = yield* Signature.si(notify, { text: "finished" })     // immutable: the result is not passed on
 * yield* add.applyAsync({ x: 2, y: 3 }, { link: [log, done] })
 * ```
 *
 * It is data of the wire and holds its arguments encoded, so a callback may be a task of Python's: `named`.
 */
import { EncodeFailed, HubError } from "@apium/hub/HubError"
import * as Wire from "@apium/protocol/celery/Signature"
import * as TaskMessage from "@apium/protocol/celery/TaskMessage"
import type { KombuJson } from "@apium/protocol/kombu/Json"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { Params } from "../task/Binding.ts"
import { type Countdown, toSeconds } from "../task/Countdown.ts"
import type { PayloadOf, Task } from "../task/Task.ts"
import type { SendOptions } from "./Client.ts"

export type { Signature } from "@apium/protocol/celery/Signature"

export interface Options extends SendOptions {
  /** The result of the task before it is not prepended to its arguments. */
  readonly immutable?: boolean | undefined
}

/** With a part of the arguments, as keywords: what comes before it fills the first of those that are left. */
export const make = <N extends string, P extends Params, A, E>(
  task: Task<N, P, A, E>,
  payload: Partial<PayloadOf<P>>,
  options: Options = {}
): Effect.Effect<Wire.Signature, HubError | Schema.SchemaError> => {
  const { queue = task.options.queue, priority = task.options.priority } = options
  const written = { ...options, queue, priority }
  if (task.binding === "raw") {
    const { args = [], kwargs = {} } = payload as Partial<Call>
    return named(task.name, args, kwargs, written)
  }
  const given = Object.fromEntries(Object.entries(task.params).filter(([name]) => Object.hasOwn(payload, name)))
  return Effect.flatMap(
    Schema.encodeUnknownEffect(Schema.Struct(given))(payload) as Effect.Effect<Call["kwargs"], Schema.SchemaError>,
    (kwargs) => named(task.name, [], kwargs, written)
  )
}

/** Called with the result of the task before it, then with these. */
export const s = make

/** Immutable: called with these alone. */
export const si = <N extends string, P extends Params, A, E>(
  task: Task<N, P, A, E>,
  payload: PayloadOf<P>,
  options: SendOptions = {}
): Effect.Effect<Wire.Signature, HubError | Schema.SchemaError> =>
  make(task, payload as Partial<PayloadOf<P>>, { ...options, immutable: true })

/** Any task by its name, unchecked. */
export const named = (
  task: string,
  args: ReadonlyArray<KombuJson>,
  kwargs: Readonly<Record<string, KombuJson>> = {},
  options: Options = {}
): Effect.Effect<Wire.Signature, HubError> =>
  Effect.try({
    try: () => Wire.make(task, { args, kwargs, options: optionsOf(options), immutable: options.immutable === true }),
    catch: (error) =>
      new HubError({ reason: new EncodeFailed({ what: `the options of ${task}`, text: (error as Error).message }) })
  })

interface Call {
  readonly args: ReadonlyArray<KombuJson>
  readonly kwargs: Readonly<Record<string, KombuJson>>
}

/** Wire names; what is left out is not there. */
const optionsOf = (options: Options): Readonly<Record<string, unknown>> => {
  const { expires, eta } = options
  const wire: Record<string, unknown> = {
    task_id: options.taskId,
    countdown: seconds(options.countdown),
    eta: eta === undefined ? undefined : TaskMessage.formatEta(eta.getTime()),
    expires: expires instanceof Date ? TaskMessage.formatEta(expires.getTime()) : seconds(expires),
    queue: options.queue,
    exchange: options.exchange,
    routing_key: options.routingKey,
    priority: options.priority,
    headers: options.headers,
    shadow: options.shadow,
    ignore_result: options.ignoreResult,
    serializer: options.serializer,
    compression: options.compression,
    time_limit: seconds(options.timeLimit),
    soft_time_limit: seconds(options.softTimeLimit),
    link: listOf(options.link),
    link_error: listOf(options.linkError)
  }
  return Object.fromEntries(Object.entries(wire).filter(([, value]) => value !== undefined))
}

const seconds = (length: Countdown | undefined): number | undefined => toSeconds(length) ?? undefined

const listOf = (signatures: SendOptions["link"]): ReadonlyArray<unknown> | undefined =>
  signatures === undefined ? undefined : ("task" in signatures ? [signatures] : signatures).map(Wire.encode)
