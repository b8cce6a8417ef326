/** Ours: on a channel, as the transport has it; and through the hub, as programs use it. */
import { Connection } from "@apium/hub/Connection"
import * as Consumer from "@apium/hub/Consumer"
import type { Channel } from "@apium/hub/Channel"
import type { Delivery } from "@apium/hub/Delivery"
import * as Message from "@apium/hub/Message"
import * as Producer from "@apium/hub/Producer"
import * as Queue from "@apium/hub/Queue"
import * as AmqpUri from "@apium/protocol/amqp/AmqpUri"
import * as AmqpConnection from "@apium/transport-amqp/AmqpConnection"
import * as Amqp from "@apium/transport-amqp/node"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import {
  body,
  each,
  largeBody,
  many,
  nowhere,
  prefetch,
  queue as name,
  text,
  window,
  type Client,
  type Filling
} from "./work.ts"

const open = async (url: string): Promise<{ readonly channel: Channel; readonly close: () => Promise<void> }> => {
  const uri = Result.getOrThrow(AmqpUri.parse(url))
  const scope = Scope.makeUnsafe()
  const channel = await AmqpConnection.make({ uri, socket: Amqp.dial(uri) }).pipe(
    Effect.flatMap(({ channel }) => channel),
    Scope.provide(scope),
    Effect.runPromise
  )
  return { channel, close: () => Effect.runPromise(Scope.close(scope, Exit.void)) }
}

const queue = Queue.make(name, { durable: false })
const passive = (channel: Channel) => channel.queueDeclare(queue, { passive: true })

const times = <A, E, R>(count: number, one: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    for (let index = 0; index < count; index++) yield* one
  })

/** How long each of them takes, in milliseconds, for who lives in a fiber. */
const taken = <A, E, R>(count: number, one: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const each: Array<number> = []
    for (let index = 0; index < count; index++) {
      const started = performance.now()
      yield* one
      each.push(performance.now() - started)
    }
    return each
  })

/** So many fibers, each of which begins its next when it has done one. */
const lanes = <A, E, R>(count: number, one: Effect.Effect<A, E, R>) =>
  Effect.suspend(() => {
    let left = count
    const lane = Effect.gen(function* () {
      while (left-- > 0) yield* one
    })
    return Effect.forEach(Array.from({ length: window }), () => lane, { concurrency: window, discard: true })
  })

const taking = <E, R>(count: number, deliveries: Stream.Stream<Delivery, E, R>) =>
  Effect.gen(function* () {
    let octets = 0
    yield* deliveries.pipe(
      Stream.take(count),
      Stream.runForEach((delivery) => {
        octets += delivery.message.body.length
        return delivery.ack
      })
    )
    if (octets !== count * body.length) throw new Error(`${octets} octets`)
  })

const unconfirmed =
  (publish: (channel: Channel, messages: ReadonlyArray<Message.Message>) => Effect.Effect<unknown, unknown>) =>
  async (url: string): Promise<Filling> => {
    const { channel } = await open(url)
    let all: Promise<unknown> = Promise.resolve()
    return {
      turn: async (count) => {
        all = Effect.runPromise(
          Effect.suspend(() =>
            publish(
              channel,
              Array.from({ length: count }, () => Message.make(largeBody()))
            )
          )
        )
      },
      end: async () => void (await all)
    }
  }
const toNowhere = { exchange: "", routingKey: nowhere }

export const client: Client = {
  publish: async (url, headers) => {
    const { channel } = await open(url)
    const message = Message.make(body, {}, headers as Message.Message["headers"] | undefined)
    return {
      turn: (count, routingKey = nowhere) =>
        times(
          count,
          Effect.suspend(() => channel.publish(message, { exchange: "", routingKey, confirm: false }))
        ).pipe(Effect.andThen(passive(channel)), Effect.asVoid, Effect.runPromise)
    }
  },
  confirm: async (url) => {
    const { channel } = await open(url)
    const message = Message.make(body)
    return {
      turn: (count) =>
        Effect.runPromise(
          lanes(
            count,
            Effect.suspend(() => channel.publish(message, { exchange: "", routingKey: name }))
          )
        )
    }
  },
  consume: async (url) => {
    const { channel } = await open(url)
    return {
      turn: (count) =>
        taking(count, channel.consume(name, { prefetch })).pipe(
          Effect.andThen(passive(channel)),
          Effect.asVoid,
          Effect.runPromise
        )
    }
  },
  rpc: async (url) => {
    const { channel } = await open(url)
    return { turn: (count) => Effect.runPromise(taken(count, passive(channel))) }
  },
  connect: async (url) => ({
    turn: async (count) => {
      const opened: Array<Awaited<ReturnType<typeof open>>> = []
      const took = await each(count, async () => opened.push(await open(url)))
      for (const { close } of opened) await close()
      return took
    }
  }),
  unconfirmed: unconfirmed((channel, messages) =>
    Effect.forEach(messages, (message) => channel.publish(message, toNowhere), {
      concurrency: "unbounded",
      discard: true
    })
  ),
  held: async (url) => {
    const { channel, close } = await open(url)
    const held: Array<Delivery> = []
    return {
      turn: (count) =>
        new Promise((resolve) => {
          Effect.runFork(
            Stream.runForEach(channel.consume(name, { prefetch: many }), (delivery) =>
              Effect.sync(() => {
                if (held.push(delivery) === count) resolve()
              })
            )
          )
        }),
      end: close
    }
  }
}

/** A batch of them, and one who waits. */
export const batch: Client = {
  unconfirmed: unconfirmed((channel, messages) =>
    channel.publishAll(messages.map((message) => [message, toNowhere] as const))
  )
}

/** Through a connection that comes back. */
export const hub: Client = {
  confirm: async (url) => {
    const runtime = ManagedRuntime.make(Amqp.layer(url))
    const producer = await runtime.runPromise(Producer.make(Schema.String, { routingKey: name }))
    return {
      turn: (count) =>
        Effect.runPromise(
          lanes(
            count,
            Effect.suspend(() => producer.publish(text))
          )
        )
    }
  },
  consume: async (url) => {
    const runtime = ManagedRuntime.make(Amqp.layer(url))
    await runtime.context()
    return {
      turn: (count) =>
        runtime.runPromise(
          taking(count, Consumer.stream([queue], { prefetch })).pipe(
            Effect.andThen(Effect.flatMap(Connection, ({ use }) => use(passive))),
            Effect.asVoid
          )
        )
    }
  }
}
