/**
 * A task and how to call it, as a value (celery/canvas.py): what `link` and `linkError` take, and what a canvas is made of.
 *
 * ```ts
 * add.s({ x: 1, y: 2 })             // all it needs
 * add.partial({ y: 4 })             // waits for x: the result of whatever comes before it
 * add.si({ x: 1, y: 2 })            // immutable: whatever comes before it, its result is not passed on
 * Signature.named("py.log", [1])    // a task of Python's, unchecked
 * ```
 *
 * Its type says what it waits for, what it gives and how it fails, so that a pipe that does not fit does not compile. Nothing is encoded
 * before it is sent, and a signature may be used any number of times.
 */
import { EncodeFailed, HubError } from "@apium/hub/HubError"
import * as Wire from "@apium/protocol/celery/Signature"
import * as TaskMessage from "@apium/protocol/celery/TaskMessage"
import type { KombuJson } from "@apium/protocol/kombu/Json"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { type Params, signature as parametersOf } from "../task/Binding.ts"
import { type Countdown, toSeconds } from "../task/Countdown.ts"
import type { PayloadOf, Task } from "../task/Task.ts"
import type { Codecs } from "./AsyncResult.ts"
import type { Policy } from "./PublishRetry.ts"
import type { Call, SendOptions } from "./SendOptions.ts"

/** What a signature waits for that has all it needs: nothing is to be put before its arguments. */
export interface Complete {
  readonly complete: unique symbol
}

/** More than one argument is left: the result of the task before it can be one of them only. */
export interface Missing<Names> {
  readonly stillMissing: Names
}

/**
 * What comes of it: a result (`Codec`), or a list of them, each its own (a group, a chain that ends with one; a group may have
 * members that end with a group).
 */
export type Leaves = Leaf | ReadonlyArray<Leaves>

export type Leaf = Codecs<unknown, unknown>

/** `In`: what it waits for. `A`: what it gives. `E`: how it fails. `Many`: whether it has one result, or is a list of results. */
export interface Signature<in In, out A, out E = never, out Many extends boolean = false> {
  readonly "~In"?: ((wanted: In) => void) | undefined
  readonly "~A"?: (() => A) | undefined
  readonly "~E"?: (() => E) | undefined
  readonly "~Many"?: Many | undefined
  /** As it travels. Fails for arguments its task does not take, and for options that make no sense. */
  readonly wire: Effect.Effect<Wire.Signature, HubError | Schema.SchemaError>
  readonly leaves: Leaves
}

/** Any signature, whatever it waits for. */
export type Any = Signature<never, unknown, unknown, boolean>

export interface Options extends Omit<SendOptions, "queue"> {
  /** By its name, or its alias: whoever sends it, now or as a step of something, has to know the queue (`queues` of client and worker). */
  readonly queue?: string | undefined
  /** The result of the task before it is not prepended to its arguments. */
  readonly immutable?: boolean | undefined
}

type RequiredKeys<T> = { [K in keyof T]-?: object extends Pick<T, K> ? never : K }[keyof T]

type IsUnion<T, U = T> = [T] extends [never] ? false : T extends unknown ? ([U] extends [T] ? false : true) : never

/** The one argument that is left. */
type Awaited<Payload, Left extends keyof Payload> = [Left] extends [never]
  ? Complete
  : IsUnion<Left> extends true
    ? Missing<Left>
    : Payload[Left]

/** What a task waits for that was given a part of its arguments; a raw one takes anything. */
export type Awaiting<Payload, Given> = Payload extends Call
  ? unknown
  : Awaited<Payload, Exclude<RequiredKeys<Payload>, keyof Given>>

/** A part of the arguments, and nothing else: a type parameter by itself may have more than what it extends, as a name that is misspelt. */
export type Given<Payload, G extends Partial<Payload>> = G & {
  readonly [Name in Exclude<keyof G, keyof Payload>]: never
}

/** A task of which only what travels matters. */
export type Sendable = Pick<Task<string, Params, unknown, unknown>, "name" | "options" | "params" | "binding">

export const leafOf = (task: object): Leaf => task as Leaf

const build = <In, A, E>(task: Sendable, payload: object, options: Options): Signature<In, A, E> => ({
  wire: Effect.suspend(() => wireOf(task, payload, options)),
  leaves: leafOf(task)
})

const wireOf = (
  task: Sendable,
  payload: object,
  options: Options
): Effect.Effect<Wire.Signature, HubError | Schema.SchemaError> => {
  const { expires, ignoreResult, priority, queue } = task.options
  const written: Options = {
    ...options,
    expires: options.expires ?? expires,
    ignoreResult: options.ignoreResult ?? ignoreResult,
    priority: options.priority ?? priority,
    // An exchange that is named is where it goes.
    queue: options.queue ?? (options.exchange === undefined ? queue : undefined)
  }
  if (task.binding === "raw") {
    const { args = [], kwargs = {} } = payload as Partial<Call>
    return encoded(task.name, args, kwargs, written)
  }
  const given = Object.fromEntries(Object.entries(task.params).filter(([name]) => Object.hasOwn(payload, name)))
  return Effect.flatMap(
    Schema.encodeUnknownEffect(Schema.Struct(given))(payload) as Effect.Effect<Call["kwargs"], Schema.SchemaError>,
    (kwargs) => encoded(task.name, [], kwargs, written)
  )
}

/** With all its arguments. */
export const s = <N extends string, P extends Params, A, E>(
  task: Task<N, P, A, E>,
  payload: PayloadOf<P>,
  options: Options = {}
): Signature<Complete, A, E> => build(task, payload, options)

/** Immutable: called with these arguments alone, whatever comes before it. */
export const si = <N extends string, P extends Params, A, E>(
  task: Task<N, P, A, E>,
  payload: PayloadOf<P>,
  options: Omit<Options, "immutable"> = {}
): Signature<unknown, A, E> => build(task, payload, { ...options, immutable: true })

/**
 * All arguments but one, which is the result of the task before it. On the wire that is the first positional argument, so it has to be the
 * first of the task's parameters. Another one is `EncodeFailed` here: a Python worker that is to send such a step dies of the TypeError, and
 * whoever waits for the end of the chain waits for ever.
 */
export const partial = <N extends string, P extends Params, A, E, G extends Partial<PayloadOf<P>>>(
  task: Task<N, P, A, E>,
  payload: Given<PayloadOf<P>, G>,
  options: Options = {}
): Signature<Awaiting<PayloadOf<P>, G>, A, E> => {
  const built = build<Awaiting<PayloadOf<P>, G>, A, E>(task, payload, options)
  return { ...built, wire: Effect.tap(built.wire, () => firstIsLeft(task, payload)) }
}

const firstIsLeft = ({ binding, name, params }: Sendable, payload: object): Effect.Effect<void, HubError> => {
  const { parameters, required } = parametersOf(name, params)
  const left = required.find((parameter) => !Object.hasOwn(payload, parameter))
  if (binding === "raw" || left === undefined || left === parameters[0]) return Effect.void
  const text = `what comes before it becomes its first parameter, ${parameters[0]}, and the one left is ${left}`
  return new HubError({ reason: new EncodeFailed({ what: `a partial of ${name}`, text }) })
}

/** Any task by its name, unchecked. */
export const named = (
  task: string,
  args: ReadonlyArray<KombuJson> = [],
  kwargs: Readonly<Record<string, KombuJson>> = {},
  options: Options = {}
): Signature<unknown, KombuJson> => ({
  wire: Effect.suspend(() => encoded(task, args, kwargs, options)),
  leaves: anything
})

/** One of the wire's. */
export const fromWire = (signature: Wire.Signature): Signature<unknown, KombuJson> => ({
  wire: Effect.succeed(signature),
  leaves: anything
})

/** The same, called with other options besides: those that are given replace its own. */
export const set = <In, A, E, Many extends boolean>(
  signature: Signature<In, A, E, Many>,
  options: Options
): Signature<In, A, E, Many> => ({
  ...signature,
  wire: Effect.flatMap(signature.wire, (wire) =>
    Effect.map(optionsOf(wire.task, options), (given) => ({
      ...wire,
      options: { ...wire.options, ...given },
      immutable: options.immutable ?? wire.immutable
    }))
  )
})

/** As one part more of a chord that is under way. */
export const partOf = <In, A, E>(
  signature: Signature<In, A, E>,
  {
    chord,
    group,
    groupIndex
  }: { readonly chord: Wire.Signature; readonly group: string; readonly groupIndex: number | null }
): Signature<In, A, E> => ({
  ...signature,
  wire: Effect.map(signature.wire, (wire) => ({
    ...wire,
    options: {
      ...wire.options,
      group_id: group,
      ...(groupIndex === null ? undefined : { group_index: groupIndex }),
      chord: Wire.encode(chord)
    }
  }))
})

/** The result of the task before it is not prepended to its arguments. */
export const immutable = <A, E, Many extends boolean>(
  signature: Signature<Complete, A, E, Many>
): Signature<unknown, A, E, Many> =>
  ({
    ...signature,
    wire: Effect.map(signature.wire, (wire) => ({ ...wire, immutable: true }))
  }) as unknown as Signature<unknown, A, E, Many>

const anything: Leaf = {
  result: Schema.declare((_value): _value is KombuJson => true),
  error: undefined
}

const encoded = (
  task: string,
  args: ReadonlyArray<KombuJson>,
  kwargs: Readonly<Record<string, KombuJson>>,
  options: Options
): Effect.Effect<Wire.Signature, HubError | Schema.SchemaError> =>
  Effect.map(optionsOf(task, options), (wire) =>
    Wire.make(task, { args, kwargs, options: wire, immutable: options.immutable === true })
  )

/** The wire's form of callbacks: one or many. */
export const wires = (
  signatures: SendOptions["link"]
): Effect.Effect<ReadonlyArray<Wire.Signature> | null, HubError | Schema.SchemaError> =>
  signatures === undefined
    ? Effect.succeed(null)
    : Effect.forEach("wire" in signatures ? [signatures] : signatures, ({ wire }) => wire)

/** Wire names; what is left out is not there. */
const optionsOf = (
  task: string,
  options: Options
): Effect.Effect<Readonly<Record<string, unknown>>, HubError | Schema.SchemaError> =>
  Effect.gen(function* () {
    const link = yield* wires(options.link)
    const linkError = yield* wires(options.linkError)
    return yield* Effect.try({
      try: () => wireOptions(options, link, linkError),
      catch: (error) =>
        new HubError({ reason: new EncodeFailed({ what: `the options of ${task}`, text: (error as Error).message }) })
    })
  })

const wireOptions = (
  options: Options,
  link: ReadonlyArray<Wire.Signature> | null,
  linkError: ReadonlyArray<Wire.Signature> | null
): Readonly<Record<string, unknown>> => {
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
    retry: options.retry,
    retry_policy: options.retryPolicy && retryPolicy(options.retryPolicy),
    link: link?.map(Wire.encode),
    link_error: linkError?.map(Wire.encode)
  }
  return Object.fromEntries(Object.entries(wire).filter(([, value]) => value !== undefined))
}

const retryPolicy = (policy: Policy): Readonly<Record<string, unknown>> => {
  const { intervalMax, intervalStart, intervalStep, maxRetries } = policy
  const wire = {
    max_retries: maxRetries === Number.POSITIVE_INFINITY ? null : maxRetries,
    interval_start: seconds(intervalStart),
    interval_step: seconds(intervalStep),
    interval_max: seconds(intervalMax)
  }
  return Object.fromEntries(Object.entries(wire).filter(([, value]) => value !== undefined))
}

const seconds = (length: Countdown | undefined): number | undefined => toSeconds(length) ?? undefined
