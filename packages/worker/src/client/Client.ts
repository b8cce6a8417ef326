/**
 * Sends tasks (celery/app/base.py `send_task`). Needs a connection and a result backend, nothing of the worker.
 *
 * A send that returned is in a queue: the broker confirmed it, and it is mandatory, so a queue that is not there is an error
 * and not a silence.
 */
import { Connection } from "@apium/hub/Connection"
import { Host } from "@apium/hub/Host"
import { EncodeFailed, HubError } from "@apium/hub/HubError"
import * as Mailbox from "@apium/hub/Mailbox"
import type { Queue } from "@apium/hub/Queue"
import type { Signature as WireSignature } from "@apium/protocol/celery/Signature"
import type { KombuJson } from "@apium/protocol/kombu/Json"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as SentEvent from "../events/SentEvent.ts"
import type { Params } from "../task/Binding.ts"
import type { PayloadOf, Task, TaskOptions } from "../task/Task.ts"
import { TaskContext } from "../task/TaskContext.ts"
import * as Tracing from "../Tracing.ts"
import * as Apply from "./Apply.ts"
import * as AsyncResult from "./AsyncResult.ts"
import * as Dispatch from "./Dispatch.ts"
import * as GroupResult from "./GroupResult.ts"
import type { Outgoing } from "./Outgoing.ts"
import * as Publisher from "./Publisher.ts"
import { ResultBackend } from "./ResultBackend.ts"
import { type Call, type Moment, outgoingUnsafe, type SendOptions } from "./SendOptions.ts"
import * as Router from "./Router.ts"
import * as Signature from "./Signature.ts"
import * as TracedPublisher from "./TracedPublisher.ts"

export type { SendOptions } from "./SendOptions.ts"

/** What sending a canvas gives: a handle on its one result, or on a list of them. */
export type Sent<A, E, M extends boolean> = M extends true
  ? GroupResult.GroupResult<A, E>
  : AsyncResult.AsyncResult<A, E>

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
      options?: Signature.Options
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

export interface Options extends Publisher.Options, Pick<Router.Options, "routes" | "createMissingQueues"> {
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

/** A task sent by a handler belongs to the handler's tree, as with Celery's `current_task`. */
const momentIn = (fiber: Fiber.Fiber<unknown, unknown>): Moment => ({
  now: Context.get(fiber.context, Clock.Clock).currentTimeMillisUnsafe(),
  parent: Option.getOrUndefined(Context.getOption(fiber.context, TaskContext)),
  trace: Tracing.headersOf(fiber),
  replyTo: undefined,
  link: null,
  linkError: null
})

const make = Effect.fnUntraced(function* (
  options: Options
): Effect.fn.Return<Client["Service"], never, Connection | ResultBackend> {
  const connection = yield* Connection
  const backend = yield* ResultBackend
  const host = yield* Host
  const publisher = TracedPublisher.make(
    Publisher.make(connection, options, yield* Publisher.writing),
    connection.transport
  )
  const router = Router.make(options)
  const origin = `gen${host.pid}@${host.hostname}`
  const said =
    options.sendSentEvent === true
      ? SentEvent.make(connection, { hostname: origin, pid: host.pid }, yield* Clock.Clock)
      : () => Effect.void
  const { replyTo } = backend
  /** FAST: what need not be asked for costs no step of the fiber. */
  const plain = <A, E>(next: (when: Moment) => Effect.Effect<A, E>): Effect.Effect<A, E | HubError> =>
    Effect.withFiber((fiber) =>
      replyTo === undefined
        ? next(momentIn(fiber))
        : Effect.flatMap(replyTo, (replyTo) => next({ ...momentIn(fiber), replyTo }))
    )
  const at = <A, E>(
    { link, linkError }: SendOptions,
    next: (when: Moment) => Effect.Effect<A, E>
  ): Effect.Effect<A, E | HubError | Schema.SchemaError> =>
    link === undefined && linkError === undefined
      ? plain(next)
      : Effect.flatMap(Effect.all([Signature.wires(link), Signature.wires(linkError)]), ([link, linkError]) =>
          plain((when) => next({ ...when, link, linkError }))
        )
  // One id per client, and always sent, as Celery's.
  const sender = { client: crypto.randomUUID(), router, origin, publishRetry: options.publishRetry }

  /** A time that is none is the caller's mistake, and no defect. */
  const outgoing = (
    name: string,
    call: Call,
    task: TaskOptions,
    send: SendOptions,
    when: Moment
  ): Effect.Effect<Outgoing, HubError> => {
    try {
      return Effect.succeed(outgoingUnsafe(name, call, task, send, when, sender))
    } catch (error) {
      if (error instanceof HubError) return Effect.fail(error)
      const text = error instanceof Error ? error.message : String(error)
      return Effect.fail(refused("the options of a task", text))
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

  const result = <A, E>(sent: Outgoing, codecs: AsyncResult.Codecs<A, E>) =>
    AsyncResult.make(backend, sent.task.headers.id, codecs, sent.task.headers.ignoreResult ? ignored : stored)

  const publish = (sent: Outgoing): Effect.Effect<void, HubError> =>
    options.sendSentEvent === true ? Effect.andThen(publisher.publish(sent), said([sent])) : publisher.publish(sent)

  const sendAll = <N extends string, P extends Params, A, E>(
    task: Task<N, P, A, E>,
    payloads: ReadonlyArray<PayloadOf<P>>,
    send: SendOptions = {}
  ) =>
    at(send, (when) =>
      Effect.gen(function* () {
        const encode = encoder(task)
        const batch = yield* Effect.forEach(payloads, (payload) =>
          Effect.flatMapEager(encode(payload), (call) => outgoing(task.name, call, task.options, send, when))
        )
        yield* publisher.publishAll(batch)
        yield* said(batch)
        return batch.map((sent) => result(sent, task))
      })
    )

  const dispatch = Dispatch.make(backend, publisher)

  const plan = (
    wire: WireSignature,
    { now, parent, replyTo = sender.client, trace }: Moment
  ): Effect.Effect<Apply.Plan, HubError> =>
    Effect.try({
      try: () =>
        Apply.planUnsafe(
          [[wire, { args: [], chain: [], rootId: parent?.rootId, parentId: parent?.id, replyTo, trace }]],
          {
            now,
            optionsOf: () => undefined,
            router,
            origin,
            publishRetry: options.publishRetry
          }
        ),
      catch: (error) =>
        error instanceof HubError ? error : refused("a canvas", (error as Apply.SignatureRefused).message)
    })

  const apply = <A, E, M extends boolean>(
    signature: Signature.Signature<Signature.Complete, A, E, M>,
    options: Signature.Options = {}
  ) =>
    Effect.gen(function* () {
      const wire = yield* Signature.set(signature, options).wire
      const planned = yield* plain((when) => plan(wire, when))
      const [tuple] = planned.results
      if (tuple === undefined) return yield* refused("a canvas", `${wire.task} cannot be sent: it is empty`)
      const { chord, group_id: group } = wire.options
      yield* chord !== undefined && typeof group === "string"
        ? Dispatch.asPart(backend, group, dispatch(planned))
        : dispatch(planned)
      yield* said(planned.messages)
      return GroupResult.make(backend, tuple, signature.leaves, { ignored: planned.ignored, revoke }) as Sent<A, E, M>
    })

  return {
    apply,
    restoreGroup: (id) =>
      Effect.map(
        backend.groups.restore(id),
        Option.map(
          (tuple) =>
            GroupResult.make(backend, tuple, [], { ignored: new Set(), revoke }) as GroupResult.GroupResult<
              ReadonlyArray<unknown>
            >
        )
      ),
    send: (task, payload, send = {}) =>
      at(send, (when) =>
        Effect.flatMapEager(
          Effect.flatMapEager(encoder(task)(payload), (call) => outgoing(task.name, call, task.options, send, when)),
          (sent) => Effect.map(publish(sent), () => result(sent, task))
        )
      ),
    sendAll,
    sendTask: (name, args, kwargs, send = {}) =>
      at(send, (when) =>
        Effect.flatMapEager(outgoing(name, { args, kwargs }, {}, send, when), (sent) =>
          Effect.map(publish(sent), () => result(sent, AsyncResult.anything))
        )
      )
  }
})

const refused = (what: string, text: string): HubError => new HubError({ reason: new EncodeFailed({ what, text }) })

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
