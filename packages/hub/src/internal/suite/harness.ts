/**
 * What every test of the conformance suite starts from: a link and a channel of its own, names nobody else uses, and ways to
 * wait that end when what is waited for happens. A real broker is shared: whatever a test declares is deleted after it, over
 * another link, for its own may be broken by then.
 */
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as EffectQueue from "effect/Queue"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { Channel, ConsumeOptions, QueueInfo } from "../../Channel.ts"
import type { Delivery } from "../../Delivery.ts"
import * as Exchange from "../../Exchange.ts"
import type { ChannelClosed, HubError } from "../../HubError.ts"
import * as Message from "../../Message.ts"
import * as Queue from "../../Queue.ts"
import type { Capabilities, Transport, TransportConnection } from "../../Transport.ts"

export interface Place {
  readonly transport: Transport["Service"]
  readonly connection: TransportConnection
  readonly channel: Channel
  /** Declared, and deleted after the test. */
  readonly queue: (options?: Partial<Queue.Queue>) => Effect.Effect<Queue.Queue, HubError>
  readonly exchange: (
    type: Exchange.ExchangeType,
    options?: Exchange.Options
  ) => Effect.Effect<Exchange.Exchange, HubError>
  /** The name of a queue bound to it. */
  readonly boundTo: (
    exchange: Exchange.Exchange,
    routingKey?: string,
    args?: Exchange.Arguments
  ) => Effect.Effect<string, HubError>
  /** One message per text, to the queue of that name. */
  readonly send: (queue: string, texts: ReadonlyArray<string>) => Effect.Effect<void, HubError>
  /** As the broker sees it now, asked on a channel of its own. */
  readonly info: (queue: string) => Effect.Effect<QueueInfo, HubError>
}

export interface Case {
  readonly name: string
  readonly run: (place: Place) => Effect.Effect<void, unknown, Scope.Scope>
  /** Why a transport of such capabilities is not asked for it. */
  readonly unless: ((capabilities: Capabilities) => string | undefined) | undefined
}

export const test = (name: string, run: Case["run"], unless?: Case["unless"]): Case => ({ name, run, unless })

/** A name nobody else uses, whoever else is on the broker. */
export const fresh = (kind: string): string => `apium.test.${kind}.${crypto.randomUUID()}`

export const open = Effect.fnUntraced(function* (
  transport: Transport["Service"]
): Effect.fn.Return<Place, HubError, Scope.Scope> {
  const queues: Array<string> = []
  const exchanges: Array<string> = []
  const attempt = (work: Effect.Effect<unknown, HubError>) => Effect.exit(work)
  yield* Effect.addFinalizer(() =>
    Effect.gen(function* () {
      const connection = yield* transport.connect
      for (const name of queues) {
        yield* Effect.scoped(Effect.flatMap(connection.channel, (channel) => attempt(channel.queueDelete(name))))
      }
      for (const name of exchanges) {
        yield* Effect.scoped(Effect.flatMap(connection.channel, (channel) => attempt(channel.exchangeDelete(name))))
      }
    }).pipe(Effect.scoped, Effect.ignore)
  )
  const connection = yield* transport.connect
  const channel = yield* connection.channel
  const watcher = yield* connection.channel

  const queue: Place["queue"] = (options) =>
    Effect.suspend(() => {
      const made = Queue.make(fresh("queue"), options)
      queues.push(made.name)
      return Effect.as(channel.queueDeclare(made), made)
    })

  return {
    transport,
    connection,
    channel,
    queue,
    exchange: (type, options) =>
      Effect.suspend(() => {
        const made = Exchange.make(fresh(type), type, options)
        exchanges.push(made.name)
        return Effect.as(channel.exchangeDeclare(made), made)
      }),
    boundTo: (exchange, routingKey = "", args = {}) =>
      Effect.flatMap(queue(), ({ name }) =>
        Effect.as(channel.queueBind(name, { exchange, routingKey, arguments: args }), name)
      ),
    send: (name, texts) =>
      Effect.forEach(texts, (text) => channel.publish(message(text), { exchange: "", routingKey: name }), {
        discard: true
      }),
    info: (name) => watcher.queueDeclare(Queue.make(name), { passive: true })
  }
})

const encoder = new TextEncoder()
const decoder = new TextDecoder()

export const message = (text: string, properties?: Message.Properties, headers?: Exchange.Arguments): Message.Message =>
  Message.make(encoder.encode(text), properties, headers)

export const textOf = (delivery: Delivery): string => decoder.decode(delivery.message.body)

/** `1`, `2`, ... */
export const numbered = (count: number): ReadonlyArray<string> =>
  Array.from({ length: count }, (_, index) => String(index + 1))

export interface Inbox {
  /** Waits for the next delivery; fails when the consumer does. */
  readonly next: Effect.Effect<Delivery, HubError>
  readonly take: (count: number) => Effect.Effect<ReadonlyArray<Delivery>, HubError>
  /** Why the consumer ended. */
  readonly failure: Effect.Effect<HubError, void>
  readonly cancel: Effect.Effect<void>
}

/** A consumer that runs beside the test. */
export const inbox = Effect.fnUntraced(function* (
  channel: Channel,
  queue: string,
  options?: ConsumeOptions
): Effect.fn.Return<Inbox, never, Scope.Scope> {
  const deliveries = yield* EffectQueue.unbounded<Delivery>()
  const consumer = yield* channel.consume(queue, options).pipe(
    Stream.runForEach((delivery) => EffectQueue.offer(deliveries, delivery)),
    Effect.forkScoped
  )
  const next = Effect.raceFirst(EffectQueue.take(deliveries), Effect.andThen(Fiber.join(consumer), Effect.never))
  return {
    next,
    take: (count) => Effect.replicateEffect(next, count),
    failure: Effect.flip(Fiber.join(consumer)),
    cancel: Fiber.interrupt(consumer)
  }
})

/** Everything that waits in the queue, acknowledged. */
export const drain = Effect.fnUntraced(function* (
  channel: Channel,
  queue: string
): Effect.fn.Return<ReadonlyArray<Delivery>, HubError> {
  const taken: Array<Delivery> = []
  for (;;) {
    const delivery = yield* channel.get(queue)
    if (Option.isNone(delivery)) return taken
    yield* delivery.value.ack
    taken.push(delivery.value)
  }
})

export const texts = (deliveries: ReadonlyArray<Delivery>): ReadonlyArray<string> => deliveries.map(textOf)

/** The message that must be there. */
export const getOne = (channel: Channel, queue: string): Effect.Effect<Delivery, HubError> =>
  Effect.flatMap(channel.get(queue), (delivery) =>
    Option.isSome(delivery) ? Effect.succeed(delivery.value) : Effect.die(new Error(`nothing waits in ${queue}`))
  )

/** Asks until the answer is right: ends at once where a broker does things at once, and soon where it does them soon. */
export const eventually = <A, E, R>(
  ask: Effect.Effect<A, E, R>,
  right: (answer: NoInfer<A>) => boolean
): Effect.Effect<A, E, R> =>
  Effect.flatMap(ask, (answer) =>
    right(answer) ? Effect.succeed(answer) : Effect.andThen(Effect.yieldNow, eventually(ask, right))
  )

/** How often the broker is asked before "nothing happened" is believed. */
const patience = 20

/** Asserts that so many messages wait, now and for as long as anybody would look. */
export const stillWaiting = (place: Place, queue: string, count: number): Effect.Effect<void, HubError> =>
  Effect.repeat(
    Effect.map(place.info(queue), ({ messageCount }) => assert.strictEqual(messageCount, count)),
    { times: patience }
  )

/** The reply code of the refusal that this must end in. */
export const refusal = <A>(request: Effect.Effect<A, HubError>): Effect.Effect<ChannelClosed> =>
  Effect.matchEffect(request, {
    onSuccess: () => Effect.die(new Error("the request was not refused")),
    onFailure: ({ reason }) => (reason._tag === "ChannelClosed" ? Effect.succeed(reason) : Effect.die(reason))
  })

/** Asserts a refusal with this code, on a channel that is spent on it. */
export const refuses = (
  place: Place,
  replyCode: number,
  request: (channel: Channel) => Effect.Effect<unknown, HubError>
): Effect.Effect<void, HubError> =>
  Effect.scoped(
    Effect.gen(function* () {
      const channel = yield* place.connection.channel
      assert.strictEqual((yield* refusal(request(channel))).replyCode, replyCode)
    })
  )
