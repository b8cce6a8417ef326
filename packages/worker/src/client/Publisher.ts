/**
 * Task messages onto queues: what the client sends and what a worker sends again (celery/app/amqp.py `send_task_message`).
 * What the destination says is declared first, once per link: the queue, its exchange and its binding (`Router`).
 */
import * as Compression from "@apium/hub/Compression"
import type { Connection } from "@apium/hub/Connection"
import { HubError } from "@apium/hub/HubError"
import * as Message from "@apium/hub/Message"
import * as Serializer from "@apium/hub/Serializer"
import type { Topology } from "@apium/hub/Topology"
import * as TaskMessage from "@apium/protocol/celery/TaskMessage"
import * as Content from "@apium/protocol/kombu/Content"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Profile from "../Profile.ts"
import type { Outgoing } from "./Outgoing.ts"
import * as PublishRetry from "./PublishRetry.ts"

export interface Publisher {
  readonly publish: (outgoing: Outgoing) => Effect.Effect<void, HubError>
  /** One pipelined batch, one wait for all; of those with a `publishRetry` of their own each kind is a batch beside the others. */
  readonly publishAll: (batch: ReadonlyArray<Outgoing>) => Effect.Effect<void, HubError>
}

/**
 * What goes around every publish of a task: it may change what goes out (a `traceparent` among the headers), or refuse with a
 * `HubError`. What `next` returned from is in a queue.
 *
 * ```ts
 * const tenant: Middleware = (outgoing, next) => next(Outgoing.withHeaders(outgoing, { "x-tenant": "acme" }))
 * ```
 */
export type Middleware = (
  outgoing: Outgoing,
  next: (outgoing: Outgoing) => Effect.Effect<void, HubError>
) => Effect.Effect<void, HubError>

export { queueNamed } from "./Router.ts"

type Batch = ReadonlyArray<readonly [message: Message.Message, route: Message.Route]>

export interface Options {
  /** The first is the outermost. */
  readonly middleware?: ReadonlyArray<Middleware> | undefined
  /** Whether the broker has to have a task, whether a queue has to take it, who keeps it until it is due, and who drops it. Default `Profile.durable`. */
  readonly profile?: Pick<Profile.Profile, "confirm" | "mandatory" | "delay" | "expiry"> | undefined
  /**
   * How often what the broker does not take for the moment is published again (Celery's `task_publish_retry`,
   * `task_publish_retry_policy`); `false`: never, and without waiting for a link. Default: thrice within 0.6 s.
   */
  readonly publishRetry?: PublishRetry.PublishRetry | undefined
}

/** How tasks are written: as whoever made the client has it, and not as each caller. A call from elsewhere would send what nobody signed. */
export interface Writing {
  readonly serializers: Serializer.Registry
  readonly compressions: Compression.Options
}

/** What is in force here. */
export const writing: Effect.Effect<Writing> = Effect.gen(function* () {
  return { serializers: yield* Serializer.Serializers, compressions: yield* Compression.Compressions }
})

const nothing: Topology = {}

export const make = (
  connection: Connection["Service"],
  { middleware = [], profile = Profile.durable, publishRetry = true }: Options,
  { compressions, serializers }: Writing
): Publisher => {
  const dropped = profile.expiry === "broker"

  const { effects } = serializers
  const isJson = (serializer: string): boolean =>
    serializer === "json" && serializers.byName.get("json") === Content.json && effects?.has("json") !== true
  /** What calls without arguments have for a body in JSON. Another serializer may write the time into it, or a nonce. */
  let empty: Uint8Array | undefined

  const message = (outgoing: Outgoing): Effect.Effect<Message.Message, HubError> => {
    const { task, compression = serializers.compression, serializer = serializers.serializer ?? "json" } = outgoing
    const headers = TaskMessage.encodeHeaders(task.headers)
    const properties: Message.Properties = {
      correlationId: task.headers.id,
      deliveryMode: "persistent",
      priority: outgoing.priority,
      replyTo: outgoing.replyTo,
      expiration: dropped && outgoing.expiration !== undefined ? String(outgoing.expiration) : undefined
    }
    // FAST: the same octets each time, and a tenth of what a send costs.
    const same = compression === undefined && isEmpty(task) && isJson(serializer)
    if (same && empty !== undefined) {
      const { contentEncoding, contentType } = Content.json
      return Effect.succeed(Message.make(empty, { ...properties, contentType, contentEncoding }, headers))
    }
    const body = TaskMessage.encodeBody(task.args, task.kwargs, task.embed)
    const written = Serializer.encodeWith(serializers, body, { serializer, compression, headers, properties })
    if (compression !== undefined) return Effect.provideService(written, Compression.Compressions, compressions)
    return same
      ? Effect.mapEager(written, (message) => {
          empty = message.body
          return message
        })
      : written
  }

  const { confirm, mandatory } = profile
  const kept = profile.delay === "broker"
  // A lattice keeps what is for a queue. From another exchange a task goes to its workers at once, and they keep it, each for its queue.
  const keptFor = (exchange: string): boolean =>
    kept && (exchange === "" || connection.capabilities.delay !== "lattice")

  const route = ({
    to: { exchange, routingKey },
    notBefore,
    publishRetry: retry = publishRetry
  }: Outgoing): Message.Route => ({
    exchange,
    routingKey,
    mandatory,
    confirm,
    wait: retry === false ? false : undefined,
    notBefore: keptFor(exchange) ? notBefore : undefined
  })

  let refusals = 0

  /** The header `eta` is there: whoever gets the task now holds it until then, as Celery does. */
  const undelayed = (batch: Batch, reason: string, topology: Topology): Effect.Effect<void, HubError> => {
    const now = connection.publishAll(
      batch.map(([message, route]) => [message, { ...route, notBefore: undefined }]),
      topology
    )
    // Once is enough: there may be millions.
    return refusals++ > 0
      ? now
      : Effect.andThen(
          Effect.logWarning(
            "The broker does not keep tasks until they are due: they are sent at once, for workers to hold",
            { reason }
          ),
          now
        )
  }

  const attempt = (batch: Batch, topology: Topology): Effect.Effect<void, HubError> =>
    batch.length === 1 ? connection.publish(...batch[0]!, topology) : connection.publishAll(batch, topology)

  /** FAST: one handler, and nothing is made of the policy before the first failure. */
  const send = (
    batch: Batch,
    topology: Topology,
    retry: PublishRetry.PublishRetry = publishRetry
  ): Effect.Effect<void, HubError> =>
    Effect.catch(attempt(batch, topology), (error) =>
      error.reason._tag === "DelayRefused"
        ? Effect.catch(undelayed(batch, error.reason.message, topology), (error) =>
            again(batch, topology, retry, error)
          )
        : again(batch, topology, retry, error)
    )

  const again = (
    batch: Batch,
    topology: Topology,
    retry: PublishRetry.PublishRetry,
    error: HubError
  ): Effect.Effect<void, HubError> => {
    if (retry === false) return Effect.fail(error)
    let rest = batch.map((one, place) => ({ one, place }))
    const left = ({ unsent }: HubError) => {
      // What the broker has taken would run twice.
      if (unsent !== undefined) rest = unsent.map((at) => rest[at]!)
      const again = rest.map(({ one }) => one)
      return send(again, topology, false)
    }
    /** Whoever sends what is left himself knows the places of the whole. */
    const placed = (error: HubError): HubError =>
      error.unsent === undefined
        ? error
        : new HubError({ reason: error.reason, unsent: error.unsent.map((at) => rest[at]!.place) })
    return Effect.mapError(PublishRetry.retrying(left, retry === true ? {} : retry, error), placed)
  }

  const topology = (batch: ReadonlyArray<Outgoing>): Topology => {
    const all = new Set<Topology>()
    for (const { to } of batch) if (to.declare !== undefined) all.add(to.declare)
    const [only = nothing] = all
    if (all.size < 2) return only
    const each = [...all]
    return {
      exchanges: each.flatMap(({ exchanges = [] }) => exchanges),
      queues: each.flatMap(({ queues = [] }) => queues)
    }
  }

  // Eager where nothing waits: a batch of 1,000 is a loop, and not as many effects.
  const addressed = (outgoing: Outgoing) =>
    Effect.mapEager(message(outgoing), (message) => [message, route(outgoing)] as const)

  /** One wait for all is one policy for all. */
  const together = (batch: ReadonlyArray<Outgoing>) =>
    Effect.map(Effect.forEach(batch, addressed), (messages) => send(messages, topology(batch), batch[0]?.publishRetry))

  const publisher: Publisher = {
    publish: (outgoing) =>
      Effect.flatMapEager(addressed(outgoing), (addressed) =>
        send([addressed], outgoing.to.declare ?? nothing, outgoing.publishRetry)
      ),
    publishAll: (batch) =>
      // What cannot be written is found out before any of them leaves.
      Effect.flatMap(Effect.forEach(PublishRetry.grouped(batch, publishRetry), together), (sends) =>
        sends.length === 1
          ? sends[0]!
          : // The others are not stopped by one that fails: what is on its way may be in a queue or not.
            Effect.flatMap(
              Effect.forEach(sends, (one) => Effect.exit(one), { concurrency: "unbounded" }),
              (exits) => exits.find(Exit.isFailure) ?? Effect.void
            )
      )
  }
  if (middleware.length === 0) return publisher

  const publish = middleware.reduceRight<Publisher["publish"]>(
    (next, layer) => (outgoing) => Effect.suspend(() => layer(outgoing, next)),
    publisher.publish
  )
  // Each on its way alone, and all of them waiting for their confirms together.
  return {
    publish,
    publishAll: (batch) => Effect.forEach(batch, publish, { concurrency: "unbounded", discard: true })
  }
}

const isEmpty = ({ args, embed, kwargs }: Outgoing["task"]): boolean => {
  if (args.length > 0 || embed !== TaskMessage.emptyEmbed) return false
  for (const _ in kwargs) return false
  return true
}
