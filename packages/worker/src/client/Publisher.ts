/**
 * Task messages onto queues: what the client sends and what a worker sends again (celery/app/amqp.py `send_task_message`).
 * The queue, its exchange and its binding are declared first, once per link; the publish itself goes to the default exchange
 * with the queue's name as routing key, as Celery's does.
 */
import type { Connection } from "@apium/hub/Connection"
import type { Arguments } from "@apium/hub/Exchange"
import * as Exchange from "@apium/hub/Exchange"
import type { HubError } from "@apium/hub/HubError"
import type { Message, Route } from "@apium/hub/Message"
import * as Queue from "@apium/hub/Queue"
import * as Serializer from "@apium/hub/Serializer"
import type { Topology } from "@apium/hub/Topology"
import type * as Content from "@apium/protocol/kombu/Content"
import * as TaskMessage from "@apium/protocol/celery/TaskMessage"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as Profile from "../Profile.ts"

export interface Outgoing {
  readonly task: Omit<TaskMessage.TaskMessage, "protocol">
  /** A queue by name, or an exchange that somebody else declares and binds. */
  readonly to: { readonly queue: string } | { readonly exchange: string; readonly routingKey: string }
  readonly priority: number
  readonly replyTo?: string | undefined
  /** Milliseconds the message may wait in its queue, where the profile lets the broker drop it. */
  readonly expiration?: number | undefined
  /** Milliseconds since the epoch; the headers say the same as `eta`. */
  readonly notBefore?: number | undefined
  readonly serializer?: string | undefined
  readonly compression?: string | undefined
}

export interface Publisher {
  readonly publish: (outgoing: Outgoing) => Effect.Effect<void, HubError>
  /** One pipelined batch, one wait for all. */
  readonly publishAll: (batch: ReadonlyArray<Outgoing>) => Effect.Effect<void, HubError>
}

/**
 * What goes around every publish of a task: it may change what goes out (a `traceparent` among the headers), or refuse with a
 * `HubError`. What `next` returned from is in a queue.
 *
 * ```ts
 * const tenant: Middleware = (outgoing, next) => next(withHeaders(outgoing, { "x-tenant": "acme" }))
 * ```
 */
export type Middleware = (
  outgoing: Outgoing,
  next: (outgoing: Outgoing) => Effect.Effect<void, HubError>
) => Effect.Effect<void, HubError>

/** With these headers of the application's own beside those it has. */
export const withHeaders = (outgoing: Outgoing, headers: Arguments): Outgoing => {
  const { task } = outgoing
  return { ...outgoing, task: { ...task, headers: { ...task.headers, extra: { ...task.headers.extra, ...headers } } } }
}

/** A queue as Celery makes it when nobody defined it: exchange, queue and routing key all of one name. */
export const queueNamed = (name: string): Queue.Queue => Queue.bindTo(Exchange.direct(name), name)(Queue.make(name))

type Batch = ReadonlyArray<readonly [message: Message, route: Route]>

/** Names that come from users may be many: past this they are looked up anew. */
const maxRemembered = 10_000

/** Celery's `task_publish_retry_policy`: what the broker may take a little later is sent again, three times within a second. */
const again = {
  while: (error: HubError) => error.transient,
  times: 3,
  schedule: Schedule.exponential("100 millis")
}

export interface Options {
  /** The first is the outermost. */
  readonly middleware?: ReadonlyArray<Middleware> | undefined
  /** Whether the broker has to have a task, whether a queue has to take it, who keeps it until it is due, and who drops it. Default `Profile.durable`. */
  readonly profile?: Pick<Profile.Profile, "confirm" | "mandatory" | "delay" | "expiry"> | undefined
}

export const make = (
  connection: Connection["Service"],
  queues: ReadonlyArray<Queue.Queue>,
  { middleware = [], profile = Profile.durable }: Options = {}
): Publisher => {
  const configured = new Map(queues.map((queue) => [queue.name, queue]))
  const known = new Map(configured)

  const queueOf = (name: string): Queue.Queue => {
    const found = known.get(name)
    if (found !== undefined) return found
    if (known.size > maxRemembered) {
      known.clear()
      for (const [name, queue] of configured) known.set(name, queue)
    }
    const made = queueNamed(name)
    known.set(name, made)
    return made
  }

  const dropped = profile.expiry === "broker"

  const message = (registry: Content.Registry, outgoing: Outgoing): Effect.Effect<Message, HubError> => {
    const { task } = outgoing
    return Serializer.encodeWith(registry, TaskMessage.encodeBody(task.args, task.kwargs, task.embed), {
      serializer: outgoing.serializer,
      compression: outgoing.compression,
      headers: TaskMessage.encodeHeaders(task.headers),
      properties: {
        correlationId: task.headers.id,
        deliveryMode: "persistent",
        priority: outgoing.priority,
        replyTo: outgoing.replyTo,
        expiration: dropped && outgoing.expiration !== undefined ? String(outgoing.expiration) : undefined
      }
    })
  }

  const { confirm, mandatory } = profile
  const kept = profile.delay === "broker"
  // A lattice keeps what is for a queue. From another exchange a task goes to its workers at once, and they keep it, each for its queue.
  const keptFor = (exchange: string): boolean =>
    kept && (exchange === "" || connection.capabilities.delay !== "lattice")

  const route = ({ to, notBefore }: Outgoing): Route => {
    const exchange = "queue" in to ? "" : to.exchange
    return {
      exchange,
      routingKey: "queue" in to ? to.queue : to.routingKey,
      mandatory,
      confirm,
      notBefore: keptFor(exchange) ? notBefore : undefined
    }
  }

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
    Effect.catchReason(
      batch.length === 1 ? connection.publish(...batch[0]!, topology) : connection.publishAll(batch, topology),
      "HubError",
      "DelayRefused",
      ({ message }) => undelayed(batch, message, topology)
    )

  /** FAST: a schedule costs 2 us, a sixth of what a send costs, and is for those that fail. */
  const send = (batch: Batch, topology: Topology): Effect.Effect<void, HubError> =>
    Effect.catch(attempt(batch, topology), (error) => {
      let first = true
      return Effect.retry(
        Effect.suspend(() => {
          if (!first) return attempt(batch, topology)
          first = false
          return Effect.fail(error)
        }),
        again
      )
    })

  const topology = (batch: ReadonlyArray<Outgoing>): Topology => {
    const names = new Set<string>()
    for (const { to } of batch) if ("queue" in to) names.add(to.queue)
    return { queues: Array.from(names, queueOf) }
  }

  // Eager where nothing waits: a batch of 1,000 is a loop, and not as many effects.
  const addressed = (registry: Content.Registry, outgoing: Outgoing) =>
    Effect.mapEager(message(registry, outgoing), (message) => [message, route(outgoing)] as const)

  const publisher: Publisher = {
    publish: (outgoing) =>
      Effect.flatMap(Serializer.Serializers, (registry) =>
        Effect.flatMapEager(addressed(registry, outgoing), (addressed) => send([addressed], topology([outgoing])))
      ),
    publishAll: (batch) =>
      Effect.flatMap(Serializer.Serializers, (registry) =>
        Effect.flatMap(
          Effect.forEach(batch, (outgoing) => addressed(registry, outgoing)),
          (messages) => send(messages, topology(batch))
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
