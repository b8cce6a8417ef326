/** What is held, and what is left, of many messages and many links (RELIABILITY H1 to H3). */
import { Connection } from "@apium/hub/Connection"
import * as Message from "@apium/hub/Message"
import * as HubQueue from "@apium/hub/Queue"
import * as Redis from "@apium/transport-redis/node"
import { assert, layer } from "@effect/vitest"
import { Effect, Fiber, Layer, Stream } from "effect"
import * as Figures from "../../../../test/support/Figures.ts"
import { Redis as Server } from "../../../../test/support/Redis.ts"
import * as soak from "../../../../test/support/soak.ts"

const World = Layer.unwrap(
  Effect.map(Server, (server) => Layer.merge(Redis.layerTransport(server.url()), Redis.layer(server.url())))
).pipe(Layer.provideMerge(Server.layer()))

const backlog = Figures.times(50_000, 200_000, 1_000_000)
const size = 1024

/** One message is published; the server makes the others of it. */
const fill = (queue: string) =>
  Effect.gen(function* () {
    const server = yield* Server
    const connection = yield* Connection
    yield* connection.publish(
      Message.make(new Uint8Array(size).fill(120)),
      { exchange: "", routingKey: queue },
      { queues: [HubQueue.make(queue)] }
    )
    yield* server.command(
      "EVAL",
      `local raw = redis.call('LINDEX', KEYS[1], 0)
local many = {}
for i = 1, 1000 do many[i] = raw end
for _ = 1, tonumber(ARGV[1]) / 1000 do redis.call('LPUSH', KEYS[1], unpack(many)) end
redis.call('RPOP', KEYS[1])`,
      1,
      queue,
      backlog
    )
  })

layer(World, { excludeTestServices: true })("a link", (it) => {
  it.effect(
    `that carried ${soak.messages} messages each way, 100 unacknowledged at the most, has the heap it began with`,
    () => soak.carries,
    600_000
  )

  it.effect(`to a queue of ${backlog} holds no more of them for a slow consumer than he may have unacknowledged`, () =>
    Effect.gen(function* () {
      const server = yield* Server
      const connection = yield* Connection
      const prefetch = 100
      yield* fill("slow")
      const heap = yield* Figures.heap
      let taken = 0
      const channel = yield* connection.channel
      const consuming = yield* Effect.forkChild(
        Stream.runForEach(channel.consume("slow", { prefetch }), (delivery) => {
          taken++
          return Effect.andThen(Effect.sleep("10 millis"), delivery.ack)
        })
      )
      yield* Figures.until(Effect.sync(() => taken > 5))
      let most = 0
      for (let look = 0; look < Figures.times(50, 200, 1000); look++) {
        most = Math.max(most, Number(yield* server.command("ZCARD", "unacked_index")))
      }
      const heavier = (yield* Figures.heap) - heap
      yield* Fiber.interrupt(consuming)
      yield* Figures.print(
        `H2 backlog=${backlog} of ${size} octets, handled=${taken}, most unacknowledged=${most} of ${prefetch}, heap +${Figures.mebibytes(heavier)} MiB`
      )
      assert.isAtMost(most, prefetch)
      // A message is a few objects around its octets.
      if (Figures.growth !== Number.POSITIVE_INFINITY) assert.isBelow(heavier, 2 * prefetch * size + 2 * 1_048_576)
      assert.isAtLeast(most, prefetch / 2)
    })
  )

  it.effect(`to a queue of ${backlog} takes no more of them than are looked at, where none is acknowledged`, () =>
    Effect.gen(function* () {
      const server = yield* Server
      const connection = yield* Connection
      yield* fill("firehose")
      const rss = process.memoryUsage().rss
      let taken = 0
      const channel = yield* connection.channel
      const consuming = yield* Effect.forkChild(
        Stream.runForEach(channel.consume("firehose", { noAck: true }), () => {
          taken++
          return taken % 100 === 0 ? Effect.sleep("1 millis") : Effect.void
        })
      )
      let [most, ahead] = [0, 0]
      yield* Figures.until(
        Effect.map(server.command("LLEN", "firehose"), (left) => {
          ahead = Math.max(ahead, backlog - Number(left) - taken)
          most = Math.max(most, process.memoryUsage().rss - rss)
          return taken > backlog / 5
        })
      )
      yield* Fiber.interrupt(consuming)
      yield* Figures.print(
        `H2 noAck backlog=${backlog} handled=${taken}, most taken and not looked at=${ahead}, resident +${Figures.mebibytes(most)} MiB at the most`
      )
      assert.isBelow(most, 64 * 1_048_576)
      assert.isBelow(ahead, 4000)
    })
  )

  it.effect("that was lost a hundred times has left nothing behind", () =>
    Effect.flatMap(Server, (server) =>
      soak.reconnects({ port: server.node.port }, (port, backoff) => Redis.layer(server.url(port), { backoff }))
    )
  )
})
