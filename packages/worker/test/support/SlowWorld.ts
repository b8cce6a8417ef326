/**
 * The world of a worker over a broker that is slow, that refuses, or that cannot be reached: the embedded one, with what a
 * test puts in front of its verbs. Nothing is in the way until it does.
 */
import type { Channel } from "@apium/hub/Channel"
import { Connection } from "@apium/hub/Connection"
import type { Delivery } from "@apium/hub/Delivery"
import { HubError, type Reason } from "@apium/hub/HubError"
import * as MemoryStore from "@apium/hub/memory/MemoryStore"
import * as MemoryTransport from "@apium/hub/memory/MemoryTransport"
import type { Message, Route } from "@apium/hub/Message"
import { Transport } from "@apium/hub/Transport"
import type { VirtualStore } from "@apium/hub/virtual/VirtualStore"
import * as VirtualTransport from "@apium/hub/virtual/VirtualTransport"
import type { ResultMessage } from "@apium/protocol/celery/ResultMessage"
import * as MemoryBackend from "@apium/worker/client/backends/MemoryBackend"
import { Client } from "@apium/worker/client/Client"
import { ResultBackend } from "@apium/worker/client/ResultBackend"
import { Tasks } from "@apium/worker/task/Tasks"
import * as Worker from "@apium/worker/Worker"
import { it } from "@effect/vitest"
import { Context, Effect, Exit, Layer, Random, Scope, Stream } from "effect"
import { TestClock } from "effect/testing"
import { celery, settle, type World } from "./World.ts"

/** What is in the way, at the moment; `Effect.void` lets through. */
export class Faults extends Context.Service<
  Faults,
  {
    /** Before every verb of the store and of a channel, and again before it answers. */
    verb: Effect.Effect<void>
    /** Before a new link. */
    connect: Effect.Effect<void, HubError>
    /** Before a message leaves. */
    publish: (message: Message, route: Route) => Effect.Effect<void, HubError>
    /** Before a consumer gets its first message. */
    consume: (queue: string) => Effect.Effect<void, HubError>
    /** When the store has marked messages as taken, and has not said so. */
    taken: Effect.Effect<void>
    /** Before a delivery is given back that nobody has looked at. */
    release: Effect.Effect<void, HubError>
    /** Before a result is stored. */
    store: (message: ResultMessage) => Effect.Effect<void, HubError>
  }
>()("test/Faults") {}

type Fault = Faults["Service"]

const none = (): Fault => ({
  verb: Effect.void,
  connect: Effect.void,
  publish: () => Effect.void,
  consume: () => Effect.void,
  taken: Effect.void,
  release: Effect.void,
  store: () => Effect.void
})

/** A reason to fail, for as long as a test leaves it there. */
export const refused = (reason: Reason): Effect.Effect<never, HubError> => Effect.fail(new HubError({ reason }))

/** What is asked for arrives a moment later, and so does the answer. */
const both = (faults: Fault) => {
  const pause = Effect.suspend(() => faults.verb)
  const asked = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.tap(Effect.andThen(pause, effect), () => pause)
  const verb =
    <Args extends ReadonlyArray<unknown>, A, E>(ask: (...args: Args) => Effect.Effect<A, E>) =>
    (...args: Args): Effect.Effect<A, E> =>
      asked(Effect.suspend(() => ask(...args)))
  return { asked, verb }
}

const slowStore = (store: VirtualStore, faults: Fault): VirtualStore => {
  const { verb } = both(faults)
  return {
    declare: verb(store.declare),
    remove: verb(store.remove),
    put: verb(store.put),
    ready: verb(store.ready),
    wake: verb(store.wake),
    take: verb((queues: Parameters<VirtualStore["take"]>[0], max: number) =>
      Effect.tap(store.take(queues, max), () => faults.taken)
    ),
    settle: verb(store.settle),
    restore: verb(store.restore),
    size: verb(store.size),
    purge: verb(store.purge),
    bindings: {
      add: verb(store.bindings.add),
      remove: verb(store.bindings.remove),
      list: verb(store.bindings.list)
    }
  }
}

const slowDelivery = (delivery: Delivery, faults: Fault): Delivery => {
  const { asked, verb } = both(faults)
  const { message, route, queue, consumerTag, redelivered, deliveryCount } = delivery
  return {
    message,
    route,
    queue,
    consumerTag,
    redelivered,
    deliveryCount,
    ack: asked(delivery.ack),
    reject: verb(delivery.reject),
    release: asked(
      Effect.andThen(
        Effect.suspend(() => faults.release),
        delivery.release
      )
    )
  }
}

const slowChannel = (channel: Channel, faults: Fault): Channel => {
  const { verb } = both(faults)
  return {
    ...channel,
    exchangeDeclare: verb(channel.exchangeDeclare),
    exchangeDelete: verb(channel.exchangeDelete),
    exchangeBind: verb(channel.exchangeBind),
    exchangeUnbind: verb(channel.exchangeUnbind),
    queueDeclare: verb(channel.queueDeclare),
    queueBind: verb(channel.queueBind),
    queueUnbind: verb(channel.queueUnbind),
    queuePurge: verb(channel.queuePurge),
    queueDelete: verb(channel.queueDelete),
    publish: verb((message: Message, route: Route) =>
      Effect.andThen(faults.publish(message, route), channel.publish(message, route))
    ),
    publishAll: verb((batch: Parameters<Channel["publishAll"]>[0]) =>
      Effect.andThen(
        Effect.forEach(batch, ([message, route]) => faults.publish(message, route), { discard: true }),
        channel.publishAll(batch)
      )
    ),
    qos: verb(channel.qos),
    get: verb(channel.get),
    consume: (queue, options) =>
      Stream.unwrap(
        Effect.map(
          Effect.suspend(() => Effect.andThen(faults.verb, faults.consume(queue))),
          () => Stream.map(channel.consume(queue, options), (delivery) => slowDelivery(delivery, faults))
        )
      )
  }
}

const Broker = Layer.effectContext(
  Effect.gen(function* () {
    const faults = yield* Faults
    const { transport, disconnect } = VirtualTransport.make("memory", slowStore(yield* MemoryStore.make, faults))
    const connect = Effect.map(transport.connect, (link) => ({
      ...link,
      channel: Effect.map(link.channel, (channel) => slowChannel(channel, faults))
    }))
    return Context.make(Transport, {
      ...transport,
      connect: Effect.andThen(
        Effect.suspend(() => faults.connect),
        connect
      )
    }).pipe(Context.add(MemoryTransport.MemoryBroker, { disconnect: disconnect("cut") }))
  })
)

const Backend = Layer.effect(
  ResultBackend,
  Effect.gen(function* () {
    const faults = yield* Faults
    const backend = yield* ResultBackend
    return { ...backend, store: (message) => Effect.andThen(faults.store(message), backend.store(message)) }
  })
).pipe(Layer.provide(Layer.suspend(() => MemoryBackend.layer)))

const SlowWorld = Client.layer.pipe(
  Layer.provideMerge(Layer.mergeAll(Connection.layer.pipe(Layer.provideMerge(Broker)), Backend, Tasks.layer)),
  Layer.provideMerge(Layer.sync(Faults, none))
)

export const test = <A, E>(name: string, effect: Effect.Effect<A, E, World | Faults | Scope.Scope>) =>
  it.effect(name, () => Random.withSeed(Effect.provide(Effect.scoped(effect), SlowWorld), name))

/** From now on no verb is through at once. */
export const asynchronous = Effect.map(Faults, (faults) => {
  faults.verb = Effect.yieldNow
})

/** Nothing is in the way any more. */
export const mended = Effect.map(Faults, (faults) => void Object.assign(faults, none()))

/** A worker that the test stops; if it does not, what runs is interrupted in the end. */
export const open = (options: Partial<Worker.Options> = {}) =>
  Effect.gen(function* () {
    const scope = yield* Scope.fork(yield* Effect.scope)
    const context = yield* Scope.provide(
      Layer.build(Worker.layer({ queues: [celery], concurrency: 1, ...options })),
      scope
    )
    yield* settle
    const worker = Context.get(context, Worker.Worker)
    yield* Effect.addFinalizer(() => worker.shutdown.request("cold"))
    return { ...worker, close: Scope.close(scope, Exit.void) }
  })

/** The time passes, and whatever comes of it. */
export const pass = (seconds: number) =>
  Effect.repeat(Effect.andThen(TestClock.adjust("1 second"), settle), { times: seconds - 1 })
