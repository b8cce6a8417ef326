/** A broker that is out of memory: it takes no publish, and reads nothing of who has published (RELIABILITY B9). */
import { Connection, type ConnectionStatus } from "@apium/hub/Connection"
import * as Consumer from "@apium/hub/Consumer"
import * as Message from "@apium/hub/Message"
import * as HubQueue from "@apium/hub/Queue"
import * as Amqp from "@apium/transport-amqp/node"
import { assert, layer } from "@effect/vitest"
import { Effect, Exit, Fiber, Layer, Scope, Stream } from "effect"
import { RabbitMq } from "../../../../test/support/RabbitMq.ts"
import * as Figures from "../../../../test/support/Figures.ts"
import * as Raw from "../support/Raw.ts"

const queue = HubQueue.make("alarmed")
const message = Message.make(new Uint8Array(1024))

// A node of its own: an alarm is one for all who are on it.
layer(RabbitMq.layer(), { excludeTestServices: true })("a broker out of memory", (it) => {
  it.effect("lets publishers wait, and go on when it is not any more", () =>
    Effect.gen(function* () {
      const rabbit = yield* RabbitMq
      const connection = yield* Raw.connect(rabbit.url())
      const channel = yield* connection.channel
      const blocked = HubQueue.make("blocked")
      yield* channel.queueDeclare(blocked)
      const publish = channel.publish(message, { exchange: "", routingKey: blocked.name })
      const until = (state: boolean) =>
        connection.blocked.pipe(
          Stream.filter((blocked) => blocked === state),
          Stream.runHead
        )
      yield* Effect.acquireRelease(rabbit.memoryAlarm(true), () => Effect.ignore(rabbit.memoryAlarm(false)))
      // Each connection is told within the broker, a moment later: what it takes before that it confirms, and says nothing.
      yield* Figures.until(Effect.map(rabbit.connections, (all) => all.every(({ state }) => state === "blocking")))
      // The broker says so to those who publish.
      const first = yield* Effect.forkChild(publish)
      yield* until(true)
      const later = yield* Effect.forkChild(publish)
      yield* rabbit.memoryAlarm(false)
      yield* until(false)
      yield* Fiber.join(first)
      yield* Fiber.join(later)
      assert.strictEqual((yield* channel.queueDeclare(blocked, { passive: true })).messageCount, 2)
    })
  )

  it.effect(
    "suspends publishers without a heap that grows, says so, resumes them at once, and lets who closes go",
    () =>
      Effect.gen(function* () {
        const rabbit = yield* RabbitMq
        const scope = yield* Scope.make()
        // Shorter than the alarm: who is not read is not dead.
        const options = { writeTimeout: "1500 millis" } as const
        const services = yield* Layer.buildWithScope(Amqp.layer(rabbit.url(), options), scope)
        const connection = yield* Effect.provide(Connection, services)
        const seen: Array<ConnectionStatus> = []
        let [opened, first] = [0, 0]
        yield* Effect.forkIn(
          Stream.runForEach(connection.status, (status) =>
            Effect.sync(() => {
              opened = performance.now()
              seen.push(status)
            })
          ),
          scope
        )
        yield* connection.declare({ queues: [queue] })
        let [confirmed, resuming] = [0, -1]
        const spin = Effect.forever(
          Effect.andThen(
            connection.publish(message, { exchange: "", routingKey: queue.name }),
            Effect.sync(() => {
              if (confirmed++ === resuming) first = performance.now()
            })
          )
        )
        const consumer = yield* Effect.forkIn(
          Effect.provide(
            Stream.runForEach(Consumer.stream([queue], { prefetch: 10 }), (delivery) => delivery.ack),
            services
          ),
          scope
        )
        const producers = yield* Effect.forkIn(
          Effect.all(
            Array.from({ length: 8 }, () => spin),
            { concurrency: "unbounded" }
          ),
          scope
        )
        yield* Figures.until(Effect.sync(() => confirmed > 100))
        yield* Effect.acquireRelease(rabbit.memoryAlarm(true), () => Effect.ignore(rabbit.memoryAlarm(false)))
        yield* Figures.until(Effect.sync(() => seen.at(-1) === "blocked"))
        const heap = yield* Figures.heap
        const from = confirmed
        const seconds = Figures.times(2, 10, 60)
        yield* Effect.sleep(seconds * 1000)
        const growth = (yield* Figures.heap) - heap
        const during = confirmed - from
        resuming = confirmed
        yield* rabbit.memoryAlarm(false)
        yield* Figures.until(Effect.sync(() => seen.at(-1) === "open" && first > 0))
        const resumed = Math.max(0, first - opened)
        assert.deepStrictEqual(seen, ["open", "blocked", "open"])
        yield* rabbit.memoryAlarm(true)
        yield* Figures.until(Effect.sync(() => seen.at(-1) === "blocked"))
        const [closed, stalled] = yield* Figures.withStalls(Figures.timed(Scope.close(scope, Exit.void)))
        yield* Fiber.await(producers)
        yield* Fiber.await(consumer)
        yield* Figures.print(
          `B9 8 producers, blocked ${seconds} s: confirmed meanwhile=${during} heap +${Figures.mebibytes(growth)} MiB, resumed after ms=${resumed.toFixed(1)}, closed while blocked ms=${Math.round(closed)}`
        )
        assert.isAtMost(during, 8)
        assert.isBelow(growth, 16 * 1_048_576)
        assert.isAtMost(resumed, 100 + Figures.slack)
        assert.isAtMost(closed - stalled, 1000)
      })
  )
})
