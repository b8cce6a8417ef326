/** A client, a registry, results and the embedded broker in one: what a test of the worker stands on. */
import { Connection } from "@apium/hub/Connection"
import * as Consumer from "@apium/hub/Consumer"
import type { Delivery } from "@apium/hub/Delivery"
import type { HubError } from "@apium/hub/HubError"
import * as MemoryTransport from "@apium/hub/memory/MemoryTransport"
import * as Message from "@apium/hub/Message"
import * as Queue from "@apium/hub/Queue"
import * as Serializer from "@apium/hub/Serializer"
import * as TaskMessage from "@apium/protocol/celery/TaskMessage"
import { Client } from "@apium/worker/client/Client"
import * as MemoryBackend from "@apium/worker/client/backends/MemoryBackend"
import * as Publisher from "@apium/worker/client/Publisher"
import { ResultBackend } from "@apium/worker/client/ResultBackend"
import { Tasks } from "@apium/worker/task/Tasks"
import * as Worker from "@apium/worker/Worker"
import { it } from "@effect/vitest"
import { Effect, Layer, Option, Random, type Scope, Stream } from "effect"

const Broker = Connection.layer.pipe(Layer.provideMerge(MemoryTransport.layer))

export const World = Client.layer.pipe(
  Layer.provideMerge(
    Layer.mergeAll(
      Broker,
      Layer.suspend(() => MemoryBackend.layer),
      Tasks.layer
    )
  )
)

export type World = Layer.Success<typeof World>

/** What the test starts ends before the world does. Chance (the pauses before a new link) is the same every time. */
export const test = <A, E>(name: string, effect: Effect.Effect<A, E, World | Scope.Scope>) =>
  it.effect(name, () => Random.withSeed(Effect.provide(Effect.scoped(effect), World), name))

/** Lets every fiber run that can. */
export const settle = Effect.repeat(Effect.yieldNow, { times: 50 })

/** The queue as a client's publisher declares it. */
export const celery = Publisher.queueNamed("celery")

/** A worker and its handlers, for as long as the scope of the caller is open. */
export const start = (options: Partial<Worker.Options>, ...handlers: ReadonlyArray<Layer.Layer<never, never, Tasks>>) =>
  Effect.gen(function* () {
    yield* Effect.forEach(handlers, (handler) => Layer.build(handler))
    yield* Layer.build(Worker.layer({ queues: [celery], concurrency: 1, ...options }))
    yield* settle
  })

/** How many wait in a queue; -1 if there is none. */
export const waiting = (queue: string): Effect.Effect<number, never, Connection> =>
  Effect.flatMap(Connection, (connection) =>
    connection.use((channel) =>
      Effect.map(channel.queueDeclare(Queue.make(queue), { passive: true }), ({ messageCount }) => messageCount)
    )
  ).pipe(Effect.orElseSucceed(() => -1))

/** How many consume a queue. */
export const consumers = (queue: string): Effect.Effect<number, HubError, Connection> =>
  Effect.flatMap(Connection, (connection) =>
    connection.use((channel) =>
      Effect.map(channel.queueDeclare(Queue.make(queue), { passive: true }), ({ consumerCount }) => consumerCount)
    )
  )

/** Takes everything that is in a queue, for good. */
export const takeAll = (queue: string): Effect.Effect<ReadonlyArray<Delivery>, HubError, Connection> =>
  Effect.flatMap(Connection, (connection) =>
    connection.use((channel) =>
      Effect.gen(function* () {
        const taken: Array<Delivery> = []
        for (;;) {
          const next = yield* channel.get(queue)
          if (Option.isNone(next)) return taken
          yield* next.value.ack
          taken.push(next.value)
        }
      })
    )
  )

/** Waits for the next message of a queue, however long it is on its way, and takes it for good. */
export const next = (queue: string): Effect.Effect<Delivery, HubError, Connection> =>
  Consumer.stream([Queue.make(queue)]).pipe(
    Stream.mapEffect((delivery) => Effect.as(delivery.ack, delivery)),
    Stream.runHead,
    Effect.flatMap((delivery) => (Option.isSome(delivery) ? Effect.succeed(delivery.value) : Effect.never))
  )

export const idsOf = (deliveries: ReadonlyArray<Delivery>): ReadonlyArray<unknown> =>
  deliveries.map(({ message }) => message.headers.id)

/** Puts anything into a queue: what a client never sends. */
export const inject = (
  message: Message.Message,
  route: Partial<Message.Route> = {}
): Effect.Effect<void, HubError, Connection> =>
  Effect.flatMap(Connection, (connection) =>
    Effect.andThen(
      connection.declare({ queues: [celery] }),
      connection.publish(message, { exchange: "", routingKey: "celery", ...route })
    )
  )

/** A message with a JSON body. */
export const json = (body: string, headers: Readonly<Record<string, unknown>> = {}): Message.Message =>
  Message.make(new TextEncoder().encode(body), { contentType: "application/json", contentEncoding: "utf-8" }, headers)

/** Headers of protocol 2 as a peer writes them. */
export const headers = (task: string, id: string, more: Readonly<Record<string, unknown>> = {}) => ({
  ...TaskMessage.encodeHeaders(TaskMessage.makeHeaders({ task, id })),
  ...more
})

export const bodyOf = (delivery: Delivery) => Serializer.decode(delivery.message)

/** What the backend holds now. */
export const stored = (id: string) =>
  Effect.flatMap(ResultBackend, (backend) => Effect.map(backend.get(id), Option.getOrUndefined))

/** Waits for a final state. */
export const ended = (id: string) => Effect.flatMap(ResultBackend, (backend) => backend.wait(id))

/** Cuts every link, and is sure of it. */
export const cut = Effect.gen(function* () {
  const connection = yield* Connection
  const lost = yield* Effect.forkChild(
    Stream.runDrain(Stream.takeUntil(connection.status, (status) => status === "connecting"))
  )
  yield* settle
  yield* (yield* MemoryTransport.MemoryBroker).disconnect
  yield* settle
  lost.interruptUnsafe()
})
