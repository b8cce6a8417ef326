import type { Channel } from "@apium/hub/Channel"
import type { HubError } from "@apium/hub/HubError"
import * as Message from "@apium/hub/Message"
import * as HubQueue from "@apium/hub/Queue"
import { Transport } from "@apium/hub/Transport"
import * as Amqp from "@apium/transport-amqp/node"
import * as FakeBroker from "@apium/transport-amqp/testing/FakeBroker"
import { assert, describe, it, layer } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Layer, Scope, Stream } from "effect"
import { RabbitMq } from "../../../test/support/RabbitMq.ts"
import { print, times } from "../../../test/support/Figures.ts"
import { random } from "./support/Walk.ts"

const World = Layer.unwrap(Effect.map(RabbitMq, (rabbit) => Amqp.layerTransport(rabbit.url()))).pipe(
  Layer.provideMerge(RabbitMq.shared)
)

const link = Effect.flatMap(Transport, ({ connect }) => connect)

const body = (text: string) => Message.make(new TextEncoder().encode(text))

const to = (routingKey: string) => ({ exchange: "", routingKey })

const numbers = (count: number) => Array.from({ length: count }, (_, index) => index + 1)

layer(World, { excludeTestServices: true })("channels on RabbitMQ", (it) => {
  it.effect("one of ten that the broker closes fails with its words, and the nine beside it lose nothing", () =>
    Effect.gen(function* () {
      const connection = yield* link
      const { name: locked } = yield* Effect.flatMap((yield* link).channel, (channel) =>
        channel.queueDeclare(HubQueue.make("locked", { exclusive: true, durable: false }))
      )
      yield* Effect.flatMap(connection.channel, (channel) => channel.queueDeclare(HubQueue.make("durable")))
      const wrongs: ReadonlyArray<
        readonly [number, readonly [number, number], (channel: Channel) => Effect.Effect<unknown, HubError>]
      > = [
        [404, [50, 10], (channel) => channel.queueDeclare(HubQueue.make("nowhere"), { passive: true })],
        [404, [60, 20], (channel) => Stream.runDrain(channel.consume("nowhere"))],
        [404, [60, 40], (channel) => channel.publish(body("x"), { exchange: "nowhere", routingKey: "" })],
        [405, [50, 10], (channel) => channel.queueDeclare(HubQueue.make(locked), { passive: true })],
        [403, [50, 10], (channel) => channel.queueDeclare(HubQueue.make("amq.mine"))],
        [406, [50, 10], (channel) => channel.queueDeclare(HubQueue.make("durable", { durable: false }))]
      ]
      const stop = yield* Deferred.make<void>()
      /** Sends to itself, and counts what comes back. */
      const busy = (index: number) =>
        Effect.gen(function* () {
          const channel = yield* connection.channel
          const { name } = yield* channel.queueDeclare(HubQueue.make(`busy-${index}`))
          let sent = 0
          let got = 0
          const consumer = yield* channel.consume(name, { prefetch: 50 }).pipe(
            Stream.runForEach(({ ack }) =>
              Effect.andThen(
                ack,
                Effect.sync(() => void got++)
              )
            ),
            Effect.forkScoped
          )
          const publishing = Effect.forever(
            Effect.andThen(
              channel.publish(body("m"), to(name)),
              Effect.sync(() => void sent++)
            )
          )
          yield* Effect.raceAllFirst([publishing, Fiber.join(consumer), Deferred.await(stop), channel.closed])
          yield* Effect.repeat(channel.queueDeclare(HubQueue.make(name), { passive: true }), {
            until: () => got >= sent
          })
          assert.isAtMost(got - sent, 1)
          return got
        }).pipe(Effect.scoped)
      const nine = yield* Effect.forkChild(Effect.forEach(numbers(9), busy, { concurrency: "unbounded" }))
      for (const [replyCode, [classId, methodId], wrong] of wrongs) {
        yield* Effect.scoped(
          Effect.gen(function* () {
            const channel = yield* connection.channel
            const { name } = yield* channel.queueDeclare(HubQueue.temporary())
            const consumer = yield* Effect.forkChild(Effect.flip(Stream.runDrain(channel.consume(name))))
            const { reason } = yield* Effect.flip(wrong(channel))
            assert.strictEqual(reason._tag, "ChannelClosed")
            if (reason._tag !== "ChannelClosed") return
            assert.deepStrictEqual([reason.replyCode, reason.classId, reason.methodId], [replyCode, classId, methodId])
            assert.match(reason.replyText, /^[A-Z_]+ - ./)
            for (const other of [
              yield* Fiber.join(consumer),
              yield* Effect.flip(channel.closed),
              yield* Effect.flip(channel.publish(body("x"), to(name)))
            ])
              assert.strictEqual(other.reason, reason)
          })
        )
      }
      yield* Deferred.succeed(stop, undefined)
      const counts = yield* Fiber.join(nine)
      yield* print(
        `${wrongs.length} channels closed by the broker; beside them ${counts.reduce((a, b) => a + b)} messages, 0 lost`
      )
    })
  )

  it.effect(
    "channels and consumers that come and go leave none behind, and take the numbers of those before them",
    () =>
      Effect.gen(function* () {
        const rabbit = yield* RabbitMq
        const connection = yield* link
        const channels = times(1000, 2000, 10_000)
        const consumers = times(2000, 5000, 100_000)
        yield* Effect.forEach(numbers(channels), () => Effect.scoped(connection.channel), {
          concurrency: 20,
          discard: true
        })
        const channel = yield* connection.channel
        const { name } = yield* channel.queueDeclare(HubQueue.make("revolving"))
        yield* Effect.forEach(
          numbers(consumers),
          (number) =>
            Effect.gen(function* () {
              const consumer = yield* Effect.forkChild(
                Stream.runDrain(channel.consume(name, { prefetch: 1 + (number % 3) })),
                {
                  startImmediately: true
                }
              )
              // Half of them before the broker has answered.
              if (number % 2 === 0) yield* channel.queueDeclare(HubQueue.make(name), { passive: true })
              yield* Fiber.interrupt(consumer)
            }),
          { concurrency: 10, discard: true }
        )
        assert.strictEqual((yield* channel.queueDeclare(HubQueue.make(name), { passive: true })).consumerCount, 0)
        const open = yield* rabbit.evaluate(
          "lists:sort([proplists:get_value(number, C) || C <- rabbit_channel:info_all([number, vhost])," +
            ` proplists:get_value(vhost, C) =:= <<"${rabbit.vhost}">>])`
        )
        assert.deepStrictEqual(open, [1])
        yield* print(
          `${channels} channels and ${consumers} consumers came and went; left: channel ${String(open)}, 0 consumers`
        )
      }),
    600_000
  )
})

describe("both sides closing", () => {
  it.live(
    "whoever closes first, and whatever is under way, nobody waits for ever and the link stands",
    () =>
      Effect.gen(function* () {
        const seeds = times(150, 1000, 10_000)
        let closed = 0
        const cases = (seed: number) =>
          Effect.gen(function* () {
            const fake = yield* FakeBroker.FakeBroker
            const below = random(seed)
            const connection = yield* link
            const here = () => fake.connections().at(-1)!
            const pause = Effect.suspend(() => Effect.replicateEffect(Effect.yieldNow, below(12), { discard: true }))
            const work = (channel: Channel): Effect.Effect<unknown, HubError> => {
              const queue = HubQueue.make(`q${below(3)}`)
              switch (below(5)) {
                case 0:
                  return channel.publish(body("m"), to(queue.name))
                case 1:
                  return channel.get("q0")
                case 2:
                  return Stream.runHead(channel.consume("q0", { prefetch: 1 + below(3) }))
                case 3:
                  return channel.qos(below(4))
                default:
                  return channel.queueDeclare(queue)
              }
            }
            yield* Effect.scoped(
              Effect.flatMap(connection.channel, (channel) => channel.queueDeclare(HubQueue.make("q0")))
            )
            yield* Effect.forEach(
              numbers(6),
              () =>
                Effect.gen(function* () {
                  const scope = yield* Scope.make()
                  const opening = yield* Effect.forkChild(Scope.provide(connection.channel, scope))
                  if (below(4) === 0) {
                    yield* pause
                    yield* Fiber.interrupt(opening)
                  }
                  const opened = yield* Fiber.await(opening)
                  const fibers: Array<Fiber.Fiber<unknown, unknown>> = []
                  if (Exit.isSuccess(opened)) {
                    for (const _ of numbers(3)) fibers.push(yield* Effect.forkChild(work(opened.value)))
                  }
                  yield* pause
                  const ids = here().channels
                  const id = ids[below(Math.max(1, ids.length))]
                  const theirs =
                    id === undefined ? Effect.void : here().closeChannel(id, 406, "PRECONDITION_FAILED - a test")
                  if (id !== undefined) closed++
                  const ours = Scope.close(scope, Exit.void)
                  yield* Effect.all(below(2) === 0 ? [theirs, ours] : [ours, theirs], { concurrency: "unbounded" })
                  // All of them end, for their channel has.
                  for (const fiber of fibers) yield* Fiber.await(fiber)
                }),
              { concurrency: 3, discard: true }
            )
            // The link is as good as new, and has all numbers again.
            yield* Effect.scoped(
              Effect.flatMap(connection.channel, (channel) => channel.queueDeclare(HubQueue.make("after")))
            )
            yield* Effect.repeat(
              Effect.andThen(
                Effect.yieldNow,
                Effect.sync(() => here().channels.length)
              ),
              { until: (count) => count === 0 }
            )
          }).pipe(
            Effect.scoped,
            Effect.provide(FakeBroker.layer()),
            Effect.timeoutOrElse({ duration: "1 minute", orElse: () => Effect.die(new Error(`seed ${seed} hangs`)) })
          )
        yield* Effect.forEach(numbers(seeds), cases, { discard: true })
        yield* print(`${seeds} seeds, ${closed} channels closed by both sides: 0 hang, 0 links lost`)
      }),
    600_000
  )
})
