/**
 * Sends tasks (celery/app/base.py `send_task`). Needs a connection and a result backend, nothing of the worker.
 *
 * A send that returned is in a queue: the broker confirmed it, and it is mandatory, so a queue that is not there is an error
 * and not a silence.
 */
import { Connection } from "@apium/hub/Connection"
import type { Arguments } from "@apium/hub/Exchange"
import { Host } from "@apium/hub/Host"
import { EncodeFailed, HubError } from "@apium/hub/HubError"
import * as Mailbox from "@apium/hub/Mailbox"
import type { Queue } from "@apium/hub/Queue"
import * as PythonRepr from "@apium/protocol/celery/PythonRepr"
import type { Signature as WireSignature } from "@apium/protocol/celery/Signature"
import * as TaskMessage from "@apium/protocol/celery/TaskMessage"
import type { KombuJson } from "@apium/protocol/kombu/Json"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as SentEvent from "../events/SentEvent.ts"
import type { Params } from "../task/Binding.ts"
import * as Countdown from "../task/Countdown.ts"
import type { PayloadOf, Task, TaskOptions } from "../task/Task.ts"
import { TaskContext } from "../task/TaskContext.ts"
import * as Apply from "./Apply.ts"
import * as AsyncResult from "./AsyncResult.ts"
import * as Dispatch from "./Dispatch.ts"
import * as GroupResult from "./GroupResult.ts"
import * as Publisher from "./Publisher.ts"
import { ResultBackend } from "./ResultBackend.ts"
import * as Signature from "./Signature.ts"

/** What sending a canvas gives: a handle on its one result, or on a list of them. */
export type Sent<A, E, M extends boolean> = M extends true
  ? GroupResult.GroupResult<A, E>
  : AsyncResult.AsyncResult<A, E>

export interface SendOptions {
  /** Default: a new UUID. */
  readonly taskId?: string | undefined
  /** Not before this much time has passed. */
  readonly countdown?: Countdown.Countdown | undefined
  /** Not before this time. */
  readonly eta?: Date | undefined
  /** Revoked if nobody started it by then; a duration also lets the broker drop the message, in the profiles that say so. */
  readonly expires?: Countdown.Countdown | Date | undefined
  readonly queue?: string | undefined
  /** With `routingKey`: published there as it is, and nothing is declared. */
  readonly exchange?: string | undefined
  readonly routingKey?: string | undefined
  readonly priority?: number | undefined
  /** Headers of your own; they travel at the top level, next to Celery's, and through retries. */
  readonly headers?: Arguments | undefined
  /** A name to show instead of the task's. */
  readonly shadow?: string | undefined
  readonly ignoreResult?: boolean | undefined
  readonly serializer?: string | undefined
  readonly compression?: string | undefined
  /** Callbacks: sent by the worker when the task has succeeded, with its result (`task.partial`, `task.si`). */
  readonly link?: Signature.Any | ReadonlyArray<Signature.Any> | undefined
  /** Errbacks: sent when the task has failed, with its id as the first argument. */
  readonly linkError?: Signature.Any | ReadonlyArray<Signature.Any> | undefined
  /** The hard limit of this one run, instead of the task's own. */
  readonly timeLimit?: Countdown.Countdown | undefined
  readonly softTimeLimit?: Countdown.Countdown | undefined
}

export class Client extends Context.Service<
  Client,
  {
    readonly send: <N extends string, P extends Params, A, E>(
      task: Task<N, P, A, E>,
      payload: PayloadOf<P>,
      options?: SendOptions
    ) => Effect.Effect<AsyncResult.AsyncResult<A, E>, HubError | Schema.SchemaError>
    /** One pipelined batch, one wait for all confirms. */
    readonly sendAll: <N extends string, P extends Params, A, E>(
      task: Task<N, P, A, E>,
      payloads: ReadonlyArray<PayloadOf<P>>,
      options?: Omit<SendOptions, "taskId">
    ) => Effect.Effect<ReadonlyArray<AsyncResult.AsyncResult<A, E>>, HubError | Schema.SchemaError>
    /** By name, unchecked: what Celery calls send_task. */
    readonly sendTask: (
      name: string,
      args: ReadonlyArray<KombuJson>,
      kwargs: Readonly<Record<string, KombuJson>>,
      options?: SendOptions
    ) => Effect.Effect<AsyncResult.AsyncResult<KombuJson>, HubError | Schema.SchemaError>
    /** A signature, or a canvas of them, with options for the whole of it: `Canvas.delay` is this. */
    readonly apply: <A, E, M extends boolean>(
      signature: Signature.Signature<Signature.Complete, A, E, M>,
      options?: SendOptions
    ) => Effect.Effect<Sent<A, E, M>, HubError | Schema.SchemaError>
    /** A group that was saved, by whomever (`GroupResult.save`). */
    readonly restoreGroup: (
      id: string
    ) => Effect.Effect<Option.Option<GroupResult.GroupResult<ReadonlyArray<unknown>>>, HubError>
  }
>()("@apium/worker/Client") {
  static readonly layer: Layer.Layer<Client, never, Connection | ResultBackend> = Layer.suspend(() =>
    Client.layerWith({})
  )

  /** `Client.layer` with options. */
  static readonly layerWith = (options: Options): Layer.Layer<Client, never, Connection | ResultBackend> =>
    Layer.effect(Client, make(options))
}

export interface Options extends Publisher.Options {
  /**
   * Queues that are not Celery's plain ones (quorum, priorities, other bindings); declared as given when sent to. The worker's
   * and the client's have to agree: a broker refuses (406) a queue that is there with other properties.
   */
  readonly queues?: ReadonlyArray<Queue> | undefined
  /** Celery's `task_default_queue`; default `celery`. */
  readonly defaultQueue?: string | undefined
  /** Say `task-sent` of each task, on the exchange of events (Celery's `task_send_sent_event`). Default `false`. */
  readonly sendSentEvent?: boolean | undefined
  /** What remote control's exchanges are named after, as the worker's: `AsyncResult.revoke` goes there. Default `celery`. */
  readonly controlNamespace?: string | undefined
}

/** When, inside of which task, and with which callbacks something is sent. */
interface Moment {
  /** Where a backend listens that gets results as messages. */
  readonly replyTo: string | undefined
  readonly now: number
  readonly parent: TaskContext["Service"] | undefined
  readonly link: ReadonlyArray<WireSignature> | null
  readonly linkError: ReadonlyArray<WireSignature> | null
}

/** A task sent by a handler belongs to the handler's tree, as with Celery's `current_task`. */
const nothing: Effect.Effect<Moment> = Effect.withFiber(({ context }) =>
  Effect.succeed({
    now: Context.get(context, Clock.Clock).currentTimeMillisUnsafe(),
    parent: Option.getOrUndefined(Context.getOption(context, TaskContext)),
    replyTo: undefined,
    link: null,
    linkError: null
  })
)

interface Call {
  readonly args: ReadonlyArray<KombuJson>
  readonly kwargs: Readonly<Record<string, KombuJson>>
}

const make = Effect.fnUntraced(function* (
  options: Options
): Effect.fn.Return<Client["Service"], never, Connection | ResultBackend> {
  const connection = yield* Connection
  const backend = yield* ResultBackend
  const host = yield* Host
  const publisher = Publisher.make(connection, options.queues ?? [], options)
  const defaultQueue = options.defaultQueue ?? "celery"
  const origin = `gen${host.pid}@${host.hostname}`
  const said =
    options.sendSentEvent === true
      ? SentEvent.make(connection, { hostname: origin, pid: host.pid }, yield* Clock.Clock)
      : () => Effect.void
  const plain: Effect.Effect<Moment, HubError> =
    backend.replyTo === undefined
      ? nothing
      : Effect.zipWith(nothing, backend.replyTo, (moment, replyTo) => ({ ...moment, replyTo }))
  const moment = ({ link, linkError }: SendOptions): Effect.Effect<Moment, HubError | Schema.SchemaError> =>
    link === undefined && linkError === undefined
      ? plain
      : Effect.gen(function* () {
          return { ...(yield* plain), link: yield* Signature.wires(link), linkError: yield* Signature.wires(linkError) }
        })
  // One id per client, and always sent, as Celery's.
  const client = crypto.randomUUID()

  const outgoingUnsafe = (
    name: string,
    call: Call,
    task: TaskOptions,
    send: SendOptions,
    { now, parent, replyTo = client, link, linkError }: Moment
  ): Publisher.Outgoing => {
    const id = send.taskId ?? newId()
    if (send.routingKey !== undefined && send.exchange === undefined) {
      throw new RangeError("routingKey is of an exchange: name it, or a queue")
    }
    if (id === "") throw new RangeError("taskId is empty: leave it out, and the task gets one")
    const eta = send.countdown === undefined ? send.eta?.getTime() : now + Duration.toMillis(send.countdown)
    const expires = send.expires ?? task.expires
    const waits = expires === undefined || expires instanceof Date ? undefined : Duration.toMillis(expires)
    const expiresAt = expires instanceof Date ? expires.getTime() : waits === undefined ? undefined : now + waits
    return {
      task: {
        headers: TaskMessage.makeHeaders({
          task: name,
          id,
          shadow: send.shadow ?? null,
          eta: eta === undefined ? null : timeOf("eta", eta),
          expires: expiresAt === undefined ? null : timeOf("expires", expiresAt),
          argsrepr: PythonRepr.argsRepr(call.args),
          kwargsrepr: PythonRepr.kwargsRepr(call.kwargs),
          origin,
          ignoreResult: send.ignoreResult ?? task.ignoreResult ?? false,
          ...(send.timeLimit === undefined && send.softTimeLimit === undefined
            ? undefined
            : { timelimit: [Countdown.toSeconds(send.timeLimit), Countdown.toSeconds(send.softTimeLimit)] as const }),
          ...(parent === undefined ? undefined : { rootId: parent.rootId, parentId: parent.id }),
          ...(send.headers === undefined ? undefined : { extra: send.headers })
        }),
        ...call,
        embed:
          link === null && linkError === null
            ? TaskMessage.emptyEmbed
            : { ...TaskMessage.emptyEmbed, callbacks: link, errbacks: linkError }
      },
      to:
        send.exchange === undefined
          ? { queue: send.queue ?? task.queue ?? defaultQueue }
          : { exchange: send.exchange, routingKey: send.routingKey ?? "" },
      priority: send.priority ?? task.priority ?? 0,
      replyTo,
      // A broker refuses the whole channel for a negative one.
      expiration: waits === undefined ? undefined : Math.max(0, Math.ceil(waits)),
      notBefore: eta,
      serializer: send.serializer,
      compression: send.compression
    }
  }

  /** A time that is none is the caller's mistake, and no defect. */
  const outgoing = (...of: Parameters<typeof outgoingUnsafe>): Effect.Effect<Publisher.Outgoing, HubError> => {
    try {
      return Effect.succeed(outgoingUnsafe(...of))
    } catch (error) {
      const text = error instanceof Error ? error.message : String(error)
      return Effect.fail(new HubError({ reason: new EncodeFailed({ what: "the options of a task", text }) }))
    }
  }

  const revoke: AsyncResult.Revoke = (id, { terminate = false, signal = "SIGTERM" } = {}) =>
    Effect.provideService(
      Mailbox.cast(
        { method: "revoke", arguments: { task_id: id, terminate, signal } },
        { namespace: options.controlNamespace }
      ),
      Connection,
      connection
    )
  // Two for all results: a batch has 100,000 of them.
  const stored: AsyncResult.Options = { ignored: false, revoke }
  const ignored: AsyncResult.Options = { ignored: true, revoke }

  const result = <A, E>(sent: Publisher.Outgoing, codecs: AsyncResult.Codecs<A, E>) =>
    AsyncResult.make(backend, sent.task.headers.id, codecs, sent.task.headers.ignoreResult ? ignored : stored)

  const publish = (sent: Publisher.Outgoing): Effect.Effect<void, HubError> =>
    options.sendSentEvent === true ? Effect.andThen(publisher.publish(sent), said([sent])) : publisher.publish(sent)

  const sendAll = <N extends string, P extends Params, A, E>(
    task: Task<N, P, A, E>,
    payloads: ReadonlyArray<PayloadOf<P>>,
    send: SendOptions = {}
  ) =>
    Effect.gen(function* () {
      const when = yield* moment(send)
      const encode = encoder(task)
      const batch = yield* Effect.forEach(payloads, (payload) =>
        Effect.flatMapEager(encode(payload), (call) => outgoing(task.name, call, task.options, send, when))
      )
      yield* publisher.publishAll(batch)
      yield* said(batch)
      return batch.map((sent) => result(sent, task))
    })

  const dispatch = Dispatch.make(backend, publisher)

  const plan = (wire: WireSignature, { now, parent, replyTo = client }: Moment): Effect.Effect<Apply.Plan, HubError> =>
    Effect.try({
      try: () =>
        Apply.planUnsafe([[wire, { args: [], chain: [], rootId: parent?.rootId, parentId: parent?.id, replyTo }]], {
          now,
          optionsOf: () => undefined,
          defaultQueue,
          origin
        }),
      catch: (error) =>
        new HubError({
          reason: new EncodeFailed({ what: "a canvas", text: (error as Apply.SignatureRefused).message })
        })
    })

  const apply = <A, E, M extends boolean>(
    signature: Signature.Signature<Signature.Complete, A, E, M>,
    options: SendOptions = {}
  ) =>
    Effect.gen(function* () {
      const wire = yield* Signature.set(signature, options).wire
      const planned = yield* plan(wire, yield* plain)
      const { chord, group_id: group } = wire.options
      // One part more of a chord that is under way (`Canvas.addToChord`): it is waited for before it can end.
      if (chord !== undefined && typeof group === "string") yield* backend.chords.add(group)
      yield* dispatch(planned)
      yield* said(planned.messages)
      const [tuple] = planned.results
      return GroupResult.make(backend, tuple!, signature.leaves, stored) as Sent<A, E, M>
    })

  return {
    apply,
    restoreGroup: (id) =>
      Effect.map(
        backend.groups.restore(id),
        Option.map(
          (tuple) => GroupResult.make(backend, tuple, [], stored) as GroupResult.GroupResult<ReadonlyArray<unknown>>
        )
      ),
    send: (task, payload, send = {}) =>
      Effect.flatMap(moment(send), (when) =>
        Effect.flatMapEager(
          Effect.flatMapEager(encoder(task)(payload), (call) => outgoing(task.name, call, task.options, send, when)),
          (sent) => Effect.map(publish(sent), () => result(sent, task))
        )
      ),
    sendAll,
    sendTask: (name, args, kwargs, send = {}) =>
      Effect.gen(function* () {
        const sent = yield* outgoing(name, { args, kwargs }, {}, send, yield* moment(send))
        yield* publisher.publish(sent)
        yield* said([sent])
        return result(sent, AsyncResult.anything)
      })
  }
})

/** In one piece: V8 keeps the 17 pieces it makes an UUID of, 480 bytes instead of 56, until somebody has to look inside. */
const newId = (): string => crypto.randomUUID().toLowerCase()

/** Throws for an invalid Date, and for a time Python cannot hold. */
const timeOf = (option: "eta" | "expires", epochMillis: number): string => {
  try {
    return TaskMessage.formatEta(epochMillis)
  } catch (error) {
    throw new RangeError(`${option} is no time a message can carry: ${(error as RangeError).message}`)
  }
}

type Encoder = (payload: unknown) => Effect.Effect<Call, Schema.SchemaError>

/** One per task: building an encoder costs more than using it. */
const encoders = new WeakMap<object, Encoder>()

export const encoder = <N extends string, P extends Params, A, E>(task: Task<N, P, A, E>): Encoder => {
  const known = encoders.get(task)
  if (known !== undefined) return known
  const encode = Schema.encodeUnknownEffect(Schema.Struct(task.params))
  const made: Encoder = (payload) =>
    Effect.mapEager(encode(payload) as Effect.Effect<unknown, Schema.SchemaError>, (encoded) =>
      task.binding === "raw" ? (encoded as Call) : { args: [], kwargs: encoded as Readonly<Record<string, KombuJson>> }
    )
  encoders.set(task, made)
  return made
}
