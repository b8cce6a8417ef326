/** A RabbitMQ for all AMQP benchmarks of one run, and what they have to do to it outside of the clock. */
import * as Message from "@apium/hub/Message"
import type { Channel } from "@apium/hub/Channel"
import * as Queue from "@apium/hub/Queue"
import * as AmqpUri from "@apium/protocol/amqp/AmqpUri"
import * as AmqpConnection from "@apium/transport-amqp/AmqpConnection"
import * as Amqp from "@apium/transport-amqp/node"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import { RabbitMq, RabbitMqServer } from "../../../test/support/RabbitMq.ts"
import * as Bench from "../Bench.ts"
import { queue as name } from "./work.ts"

export interface Broker {
  readonly url: string
  readonly purge: () => Promise<void>
  /** Messages of so many octets into the queue. */
  readonly fill: (count: number, octets: number) => Promise<void>
  /** The queue has so many messages of this kind, and no others: what was held goes back to it, and need not be sent again. */
  readonly holding: (count: number, octets: number, headers?: object) => Promise<void>
  /** Takes so many from the queue: the octets of their bodies, the number of their headers. */
  readonly read: (count: number) => Promise<{ readonly bodies: number; readonly headers: number }>
  readonly state: () => Promise<{ readonly ready: number; readonly unacked: number }>
  /** It stands still, and the kernel takes what comes as long as it has room. */
  readonly freeze: () => Promise<void>
  readonly thaw: () => Promise<void>
}

const queue = Queue.make(name, { durable: false })

const start = async (): Promise<Broker> => {
  const runtime = ManagedRuntime.make(RabbitMq.layer())
  Bench.atEnd(() => runtime.dispose())
  const services = await runtime.context()
  const rabbit = Context.get(services, RabbitMq)
  const server = Context.get(services, RabbitMqServer)
  const uri = Result.getOrThrow(AmqpUri.parse(rabbit.url()))
  /** A connection for each time: it holds none while the broker stands still. */
  const withChannel = <A, E>(work: (channel: Channel) => Effect.Effect<A, E>): Promise<A> =>
    AmqpConnection.make({ uri, socket: Amqp.dial(uri) }).pipe(
      Effect.flatMap(({ channel }) => channel),
      Effect.flatMap(work),
      Effect.scoped,
      Effect.runPromise
    )
  await withChannel((channel) => channel.queueDeclare(queue))
  const purge = () => withChannel((channel) => Effect.asVoid(channel.queuePurge(name)))
  const fill = (count: number, octets: number, headers: object = {}) =>
    withChannel((channel) => {
      const message = Message.make(new Uint8Array(octets).fill(120), {}, headers as Message.Message["headers"])
      const route = { exchange: "", routingKey: name }
      return channel.publishAll(Array.from({ length: count }, () => [message, route] as const))
    })
  const state = () =>
    runtime.runPromise(
      Effect.map(rabbit.queues, (queues) => {
        const { ready, unacked } = queues.find((queue) => queue.name === name)!
        return { ready, unacked }
      })
    )
  let holds = ""
  return {
    url: rabbit.url(),
    purge: () => {
      holds = ""
      return purge()
    },
    fill,
    state,
    holding: async (count, octets, headers) => {
      const wanted = JSON.stringify([count, octets, headers])
      if (holds !== wanted) {
        await purge()
        await fill(count, octets, headers)
        holds = wanted
      }
      while ((await state()).unacked > 0) await new Promise((resolve) => setTimeout(resolve, 100))
    },
    read: (count) =>
      withChannel((channel) =>
        Effect.gen(function* () {
          let bodies = 0
          let headers = 0
          for (let index = 0; index < count; index++) {
            const delivery = Option.getOrThrow(yield* channel.get(name))
            bodies += delivery.message.body.length
            headers += Object.keys(delivery.message.headers).length
            yield* delivery.ack
          }
          return { bodies, headers }
        })
      ),
    freeze: () => runtime.runPromise(server.freeze),
    thaw: () => runtime.runPromise(server.thaw)
  }
}

let started: Promise<Broker> | undefined

export const broker = (): Promise<Broker> => (started ??= start())
