/** What a network does to a link, with a real broker at the other end of a `FaultProxy` (RELIABILITY B5, B6, B8, B10). */
import type { HubError } from "@apium/hub/HubError"
import * as Message from "@apium/hub/Message"
import * as HubQueue from "@apium/hub/Queue"
import type * as AmqpConnection from "@apium/transport-amqp/AmqpConnection"
import { assert, layer } from "@effect/vitest"
import { Effect, Exit, Fiber, Option, Scope, Stream } from "effect"
import { between } from "../../../../test/support/FaultPipe.ts"
import * as FaultProxy from "../../../../test/support/FaultProxy.ts"
import { RabbitMq } from "../../../../test/support/RabbitMq.ts"
import * as Figures from "../../../../test/support/Figures.ts"
import * as Raw from "../support/Raw.ts"

const body = (octets: number) => Message.make(new Uint8Array(octets).fill(7))

const lostBy = (cause: string) => (error: HubError) => {
  assert.strictEqual(error.reason._tag, "ConnectionLost")
  if (error.reason._tag === "ConnectionLost") assert.strictEqual(error.reason.cause, cause)
}

layer(RabbitMq.shared, { excludeTestServices: true })("a network", (it) => {
  it.effect("that takes everything and gives nothing is found within two heartbeats, and no socket is left", () =>
    Effect.gen(function* () {
      // With 1 s, the broker gives up who stands still for a second and a half.
      const heartbeat = 2
      const rabbit = yield* RabbitMq
      const proxy = yield* FaultProxy.make(rabbit.node)
      const before = Figures.sockets()
      const links = yield* Scope.make()
      const open = Effect.provideService(
        Raw.connect(`${rabbit.url(proxy.port)}?heartbeat=${heartbeat}`),
        Scope.Scope,
        links
      )
      const channelOf = (connection: AmqpConnection.AmqpConnection) =>
        Effect.provideService(connection.channel, Scope.Scope, links)
      const [idle, publishing, consuming] = [yield* open, yield* open, yield* open]
      const publisher = yield* channelOf(publishing)
      const consumer = yield* channelOf(consuming)
      const { name } = yield* consumer.queueDeclare(HubQueue.temporary())
      yield* publisher.publish(body(1), { exchange: "", routingKey: name })
      const taken = yield* Effect.forkChild(Effect.flip(Stream.runDrain(consumer.consume(name, { prefetch: 1 }))))
      yield* Figures.until(Effect.map(rabbit.consumers, (all) => all.some(({ queue }) => queue === name)))
      yield* proxy.blackHole
      const found = <A>(work: Effect.Effect<A, HubError>) =>
        Effect.forkChild(
          Figures.timed(Effect.flatMap(Effect.flip(work), (error) => Effect.sync(() => lostBy("heartbeat")(error))))
        )
      const spinning = Effect.forever(publisher.publish(body(65_536), { exchange: "", routingKey: name }))
      const waiting = [
        yield* found(idle.closed),
        yield* found(Effect.flatMap(channelOf(idle), () => Effect.never)),
        yield* found(publishing.closed),
        yield* found(
          Effect.all(
            Array.from({ length: 64 }, () => spinning),
            { concurrency: "unbounded" }
          )
        ),
        yield* found(consuming.closed),
        yield* found(consumer.queueDeclare(HubQueue.make(name), { passive: true }))
      ]
      const [took, stalled] = yield* Figures.withStalls(Fiber.joinAll(waiting))
      lostBy("heartbeat")(yield* Fiber.join(taken))
      yield* Scope.close(links, Exit.void)
      // Each link has two sockets in the proxy, which learns of no end while nothing passes.
      yield* Figures.until(Effect.sync(() => Figures.sockets() <= before + 6))
      yield* proxy.heal
      yield* proxy.until(({ live }) => live === 0)
      yield* Figures.print(
        `B5 heartbeat=${heartbeat * 1000} ms, idle, publishing, consuming: found after p50/p95/max ms=${Figures.spread(took)}, sockets left=0`
      )
      assert.isAtMost(Math.max(...took) - stalled, 2200 * heartbeat)
    })
  )

  it.effect("whose other end takes no octet, but sends, is found within the write timeout, and no socket is left", () =>
    Effect.gen(function* () {
      const rabbit = yield* RabbitMq
      const proxy = yield* FaultProxy.make(rabbit.node)
      const before = Figures.sockets()
      const links = yield* Scope.make()
      const connection = yield* Effect.provideService(
        Raw.connect(`${rabbit.url(proxy.port)}?heartbeat=10`, { writeTimeout: "1 second" }),
        Scope.Scope,
        links
      )
      const channel = yield* Effect.provideService(connection.channel, Scope.Scope, links)
      const { name } = yield* channel.queueDeclare(HubQueue.make("half-open", { durable: false, autoDelete: true }))
      let delivered = 0
      yield* Effect.forkChild(
        Effect.ignore(
          Stream.runForEach(channel.consume(name, { noAck: true }), () => Effect.sync(() => void delivered++))
        )
      )
      const other = yield* (yield* Raw.connect(rabbit.url())).channel
      yield* Effect.forkChild(
        Effect.ignore(
          Effect.forever(
            Effect.andThen(other.publish(body(1), { exchange: "", routingKey: name }), Effect.sleep("20 millis"))
          )
        )
      )
      yield* Figures.until(Effect.sync(() => delivered > 0))
      yield* proxy.shape("up", { stall: true })
      // It sends, whatever is taken of it.
      const stalledAt = delivered
      yield* Figures.until(Effect.sync(() => delivered > stalledAt + 5))
      const from = delivered
      const publish = channel.publish(body(131_072), { exchange: "", routingKey: "nowhere" })
      const [took, stalled] = yield* Figures.withStalls(
        Figures.timed(
          Effect.all([Effect.flip(connection.closed), ...Array.from({ length: 200 }, () => Effect.flip(publish))], {
            concurrency: "unbounded"
          }).pipe(Effect.map((errors) => errors.forEach(lostBy("writeTimeout"))))
        )
      )
      const during = delivered - from
      yield* Scope.close(links, Exit.void)
      yield* Figures.until(Effect.sync(() => Figures.sockets() <= before + 3))
      yield* Figures.print(
        `B6 write timeout=1000 ms, deliveries meanwhile=${during}: found after ms=${Math.round(took)}, sockets left=0`
      )
      assert.isAtMost(took - stalled, 1500)
    })
  )

  it.effect("that cuts octets anywhere changes nothing that is heard", () =>
    Effect.gen(function* () {
      const rabbit = yield* RabbitMq
      const proxy = yield* FaultProxy.make(rabbit.node)
      const session = Effect.gen(function* () {
        const connection = yield* Raw.connect(`${rabbit.url(proxy.port)}?connect_timeout=60`)
        const channel = yield* connection.channel
        const queue = HubQueue.make("sliced")
        yield* channel.queueDeclare(queue)
        const sizes = [0, 1, 255, 4096, 4097, 1000, 0, 9000]
        yield* channel.publishAll(
          sizes.map((size, index) => [
            Message.make(
              new Uint8Array(size).map((_, at) => at ^ index),
              { messageId: String(index), timestamp: new Date(1_700_000_000_000) },
              {
                deep: { list: [1, "two", { three: true }], big: 9_007_199_254_740_993n },
                text: "ä".repeat(size % 300)
              }
            ),
            { exchange: "", routingKey: queue.name, mandatory: true }
          ])
        )
        const returned = yield* Effect.flip(
          channel.publish(body(3), { exchange: "", routingKey: "none", mandatory: true })
        )
        const messages = yield* channel.consume(queue.name, { prefetch: 3, consumerTag: "tag" }).pipe(
          Stream.tap((delivery) => delivery.ack),
          Stream.take(sizes.length),
          Stream.runCollect
        )
        const empty = yield* channel.get(queue.name)
        yield* channel.queueDelete(queue.name)
        const refused = yield* Effect.flip(channel.queueDeclare(HubQueue.make("none"), { passive: true }))
        return {
          messages: messages.map(({ consumerTag, message: { body, headers, properties }, redelivered, route }) => {
            return { consumerTag, body, headers, properties, redelivered, route }
          }),
          empty: Option.isNone(empty),
          returned: returned.reason,
          refused: refused.reason
        }
      }).pipe(Effect.scoped)
      const whole = yield* session
      assert.strictEqual(whole.messages.length, 8)
      const slices = [1, 2, between(7, 1, 9), between(8, 1, 300)]
      const took: Array<number> = []
      for (const slice of slices) {
        yield* proxy.shape("both", { slice })
        took.push(yield* Figures.timed(Effect.map(session, (sliced) => assert.deepStrictEqual(sliced, whole))))
      }
      yield* Figures.print(
        `B8 slices of 1, 2, 1..9, 1..300 octets: same ${whole.messages.length} messages, return and refusal; ms=${took.map(Math.round).join()}`
      )
    })
  )

  it.effect("that is slow slows publishers down: nobody is cut off, and nothing piles up", () =>
    Effect.gen(function* () {
      const rabbit = yield* RabbitMq
      const proxy = yield* FaultProxy.make(rabbit.node)
      const size = 16_384
      let written = 0
      const url = rabbit.url(proxy.port)
      const connection = yield* Raw.connect(url, {
        writeTimeout: "3 seconds",
        socket: Raw.counted(url, (octets) => void (written += octets))
      })
      const channel = yield* connection.channel
      yield* proxy.shape("up", { bandwidth: 65_536 })
      const heap = yield* Figures.heap
      const rss = process.memoryUsage().rss
      const message = body(size)
      let [attempts, confirmed] = [0, 0]
      const publish = Effect.suspend(() => {
        attempts++
        return channel.publish(message, { exchange: "", routingKey: "nowhere" })
      }).pipe(Effect.tap(() => Effect.sync(() => void confirmed++)))
      const publishers = yield* Effect.forkChild(
        Effect.all(
          Array.from({ length: 5000 }, () => Effect.forever(publish)),
          { concurrency: "unbounded" }
        )
      )
      const lost = yield* Effect.forkChild(Effect.flip(connection.closed))
      yield* Effect.sleep(Figures.times(4000, 10_000, 30_000))
      // A machine that was held up has not had that long.
      yield* Figures.until(Effect.sync(() => confirmed > 0 || lost.pollUnsafe() !== undefined))
      assert.isUndefined(lost.pollUnsafe())
      const inFlight = Math.ceil(written / size) - confirmed
      const heapGrowth = (yield* Figures.heap) - heap
      const rssGrowth = process.memoryUsage().rss - rss
      yield* proxy.heal
      yield* Fiber.interrupt(publishers)
      yield* Figures.print(
        `B10 64 kB/s, 5000 publishers of 16 kB: attempts=${attempts} confirmed=${confirmed} in flight=${inFlight} of 1000, heap +${Figures.mebibytes(heapGrowth)} MiB, RSS +${Figures.mebibytes(rssGrowth)} MiB`
      )
      assert.isAbove(confirmed, 0)
      assert.isAtMost(inFlight, 1000)
      assert.isBelow(heapGrowth, 64 * 1_048_576)
    })
  )
})
