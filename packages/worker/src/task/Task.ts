/**
 * A task's definition: its name, what it takes, what it gives, and how it is to be run. No handler here, so a client at the
 * edge imports it without the worker.
 *
 * ```ts
 * export const add = Task.make("proj.add", {
 *   params: { x: Schema.Number, y: Schema.Number, scale: Schema.optionalKey(Schema.Number) },
 *   result: Schema.Number
 * })
 * ```
 *
 * A typed payload travels as kwargs with empty args, so that a chain's prepended result stays the first positional.
 */
import type { KombuJson } from "@apium/protocol/kombu/Json"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as SchemaGetter from "effect/SchemaGetter"
import type { HubError } from "@apium/hub/HubError"
import type { AsyncResult } from "../client/AsyncResult.ts"
import { Client, type SendOptions } from "../client/Client.ts"
import * as Signature from "../client/Signature.ts"
import type { Params } from "./Binding.ts"
import type { Countdown } from "./Countdown.ts"
import type { RetryPolicy } from "./Retry.ts"

// A function, and no method of the task: a client that only sends is spared the run.
export { apply, type ApplyOptions, type EagerResult } from "./Eager.ts"

/** A codec of what the wire carries: JSON, and kombu's `__type__` values as Date, bytes, bigint and so on. */
export type Wire<A> = Schema.Codec<A, unknown>

export type PayloadOf<P extends Params> = Schema.Struct.Type<P>

export interface TaskOptions {
  /** Where it is sent unless a send says otherwise. Default: the client's default queue, `celery`. */
  readonly queue?: string | undefined
  /** When a failed run is tried again; left out: never. */
  readonly retry?: RetryPolicy | undefined
  /** Acknowledge after the run (the default of the `durable` profile), or before it. */
  readonly acksLate?: boolean | undefined
  /** Acknowledge what failed (the default); `false`: reject it, to where rejected messages go. Matters to `acksLate` tasks. */
  readonly acksOnFailure?: boolean | undefined
  /** Acknowledge what ran into its hard time limit (the default); `false`: put it back into its queue. */
  readonly acksOnTimeout?: boolean | undefined
  /** When the thread or process that ran it is gone: put it back into its queue. Default: acknowledge, FAILURE. */
  readonly rejectOnWorkerLost?: boolean | undefined
  /** The hard limit: what runs longer is killed, where its pool can. */
  readonly timeLimit?: Countdown | undefined
  /** The soft limit: what runs longer is interrupted, and fails with `SoftTimeLimitExceeded`. */
  readonly softTimeLimit?: Countdown | undefined
  /** At most so many starts per second, minute or hour in one worker: `"100/s"`, `"10/m"`, `"5/h"`. */
  readonly rateLimit?: string | undefined
  /** At most so many runs at once in one worker. Default: as many as the worker runs. */
  readonly concurrency?: number | undefined
  /** Higher is sooner on AMQP and memory, on a queue made with `Queue.priority`. */
  readonly priority?: number | undefined
  /** A task that nobody started within this time is revoked. */
  readonly expires?: Countdown | undefined
  /**
   * A message given back this often goes to `<queue>.dead`; from half of it on, it runs beside no other such. Default 20. Of a quorum
   * queue with a limit of its own (`Queue.deliveryLimit`), at most that.
   */
  readonly maxDeliveries?: number | undefined
  /** Store no result. */
  readonly ignoreResult?: boolean | undefined
  /** Store STARTED when a run begins. */
  readonly trackStarted?: boolean | undefined
}

export interface Task<Name extends string, P extends Params, Result, Error = never> {
  readonly name: Name
  readonly params: P
  readonly result: Wire<Result>
  readonly error: Wire<Error> | undefined
  readonly options: TaskOptions
  /** `raw`: args and kwargs as they are, instead of bound to `params`. */
  readonly binding: "params" | "raw"
  /** Celery's words; both need a Client. */
  delay(payload: PayloadOf<P>): Effect.Effect<AsyncResult<Result, Error>, HubError | Schema.SchemaError, Client>
  applyAsync(
    payload: PayloadOf<P>,
    options?: SendOptions
  ): Effect.Effect<AsyncResult<Result, Error>, HubError | Schema.SchemaError, Client>
  /** A call as a value, for links and canvases: with all its arguments. */
  s(payload: PayloadOf<P>, options?: Signature.Options): Signature.Signature<Signature.Complete, Result, Error>
  /** Immutable: the result of what comes before it is not passed on. */
  si(payload: PayloadOf<P>, options?: Omit<Signature.Options, "immutable">): Signature.Signature<unknown, Result, Error>
  /** All arguments but the first, which is the result of what comes before it. */
  partial<G extends Partial<PayloadOf<P>>>(
    payload: Signature.Given<PayloadOf<P>, G>,
    options?: Signature.Options
  ): Signature.Signature<Signature.Awaiting<PayloadOf<P>, G>, Result, Error>
}

/** Any task, where only its name and options matter. */
export type AnyTask = Pick<Task<string, Params, unknown, unknown>, "name" | "options">

const build = <Name extends string, P extends Params, Result, Error>(
  fields: Pick<Task<Name, P, Result, Error>, "name" | "params" | "result" | "error" | "options" | "binding">
): Task<Name, P, Result, Error> => {
  const task: Task<Name, P, Result, Error> = {
    ...fields,
    delay: (payload) => Effect.flatMap(Client, (client) => client.send(task, payload)),
    applyAsync: (payload, options) => Effect.flatMap(Client, (client) => client.send(task, payload, options)),
    s: (payload, options) => Signature.s(task, payload, options),
    si: (payload, options) => Signature.si(task, payload, options),
    partial: (payload, options) => Signature.partial(task, payload, options)
  }
  return task
}

/** Python's None: what a task without a result gives. */
const Nothing: Wire<void> = Schema.Null.pipe(
  Schema.decodeTo(Schema.Void, {
    decode: SchemaGetter.transform(() => undefined),
    encode: SchemaGetter.transform(() => null)
  })
)

/**
 * Left-out `result`: void, null on the wire. `error`: its tag travels as `exc_type`, and the caller gets the tagged error back;
 * `TaskError.python` makes it a class of Python's.
 */
export const make = <const Name extends string, P extends Params, Result = void, Error = never>(
  name: Name,
  definition: TaskOptions & {
    readonly params: P
    readonly result?: Wire<Result> | undefined
    readonly error?: Wire<Error> | undefined
  }
): Task<Name, P, Result, Error> => {
  const { params, result, error, ...options } = definition
  return build({
    name,
    params,
    result: result ?? (Nothing as unknown as Wire<Result>),
    error,
    options,
    binding: "params"
  })
}

const rawParams = {
  args: Schema.declare((value): value is ReadonlyArray<KombuJson> => Array.isArray(value)),
  kwargs: Schema.declare(
    (value): value is Readonly<Record<string, KombuJson>> => typeof value === "object" && value !== null
  )
}

/** Unchecked args and kwargs, as Python sends them. */
export const raw = <const Name extends string>(
  name: Name,
  options: TaskOptions = {}
): Task<Name, typeof rawParams, KombuJson> =>
  build<Name, typeof rawParams, KombuJson, never>({
    name,
    params: rawParams,
    result: Schema.declare((_value): _value is KombuJson => true),
    error: undefined,
    options,
    binding: "raw"
  })
