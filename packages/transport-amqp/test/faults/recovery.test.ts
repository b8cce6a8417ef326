/**
 * What is there again after a link was lost (RELIABILITY C10). Recovery is running the same lines again, so the cases of the
 * Java client's ConnectionRecovery test, which tries a record of what was declared, fall into these:
 *
 * | its cases | here |
 * | --- | --- |
 * | connection, named connection, channels, confirm and return listeners | "keeps its name, ..." |
 * | exchange; client-named, transient auto-delete and server-named queues, with bindings; exchange to exchange | "runs the lines ..." |
 * | deleted queue, exchange, queue binding, exchange binding, excluded queue, cancelled consumer do not reappear | "does not bring back ..." |
 * | many queues, many consumers, several threads, subsequent recoveries | "brings back many consumers, ..." |
 * | server restart, acknowledgement after recovery | restart.test.ts |
 * | arrays and lists of addresses | links.test.ts, hub's Failover.test.ts |
 * | blocked listener | alarm.test.ts, on the first link and any other |
 * | credentials are asked for again | refusals.test.ts |
 * | exponential back-off | hub's Connection.test.ts |
 * | shutdown hooks on connection and channel, before recovery starts; channel recovery callback | declined because there are no listeners: `status`, and `closed` of a channel |
 * | disabled topology recovery | declined because nothing is declared again but by the lines that need it |
 * | declaration without waiting, of exchange and queue | declined because every declaration waits for its answer |
 * | many auto-delete queues and exchanges leave no record, consumers are removed with their channel | declined because there is no record; leaks: links.test.ts |
 */
import { Connection } from "@apium/hub/Connection"
import * as Consumer from "@apium/hub/Consumer"
import type { Delivery } from "@apium/hub/Delivery"
import * as Exchange from "@apium/hub/Exchange"
import * as Message from "@apium/hub/Message"
import * as HubQueue from "@apium/hub/Queue"
import * as Topology from "@apium/hub/Topology"
import * as Amqp from "@apium/transport-amqp/node"
import { assert, layer } from "@effect/vitest"
import { Effect, Fiber, Layer, Queue, Stream } from "effect"
import { RabbitMq } from "../../../../test/support/RabbitMq.ts"
import * as Figures from "../../../../test/support/Figures.ts"

const message = (text = "m") => Message.make(new TextEncoder().encode(text))
const textOf = (delivery: Delivery) => new TextDecoder().decode(delivery.message.body)

const World = Layer.unwrap(Effect.map(RabbitMq, (rabbit) => Amqp.layer(rabbit.url(), { name: "recovering" }))).pipe(
  Layer.provideMerge(RabbitMq.shared)
)

const loseLink = Effect.flatMap(RabbitMq, (rabbit) => rabbit.closeConnections())

layer(World, { excludeTestServices: true })("a connection whose link was lost", (it) => {
  it.effect("keeps its name, and its channels confirm and return as before", () =>
    Effect.gen(function* () {
      const connection = yield* Connection
      const rabbit = yield* RabbitMq
      const route = { exchange: "", routingKey: "confirmed", mandatory: true }
      yield* connection.publish(message(), route, { queues: [HubQueue.make("confirmed")] })
      yield* loseLink
      yield* connection.publish(message(), route)
      const nowhere = yield* Effect.flip(connection.publish(message(), { ...route, routingKey: "nowhere" }))
      assert.strictEqual(nowhere.reason._tag, "Returned")
      const name = yield* rabbit.evaluate(
        `[begin {_, _, Name} = lists:keyfind(<<"connection_name">>, 1, Properties), Name end
            || [{client_properties, Properties}, {vhost, <<"${rabbit.vhost}">>}]
                 <- rabbit_networking:connection_info_all([client_properties, vhost])]`
      )
      assert.deepStrictEqual(name, ["recovering"])
    })
  )

  it.effect("runs the lines again that declare exchanges, bindings and queues of all kinds, and consume them", () =>
    Effect.gen(function* () {
      const connection = yield* Connection
      const rabbit = yield* RabbitMq
      const source = Exchange.fanout("source", { durable: false, autoDelete: true })
      const target = Exchange.topic("target", { durable: false, autoDelete: true })
      const bound = HubQueue.bindTo(target, "#")
      const queues = [
        bound(HubQueue.make("durable")),
        bound(HubQueue.make("passing", { durable: false, autoDelete: true })),
        bound(HubQueue.make("own", { durable: false, exclusive: true })),
        bound(HubQueue.temporary())
      ]
      const names: Array<ReadonlyArray<string>> = []
      const received = yield* Queue.unbounded<Delivery>()
      const lines = Effect.gen(function* () {
        const channel = yield* connection.channel
        yield* channel.exchangeDeclare(source)
        names.push(yield* Topology.declare(channel, { queues }))
        yield* channel.exchangeBind(target.name, { exchange: source, routingKey: "", arguments: {} })
        yield* Stream.mergeAll(
          names.at(-1)!.map((name) => channel.consume(name)),
          { concurrency: "unbounded" }
        ).pipe(Stream.runForEach((delivery) => Effect.andThen(delivery.ack, Queue.offer(received, delivery))))
      }).pipe(Effect.scoped, connection.recover)
      const running = yield* Effect.forkChild(lines)
      const consumed = Effect.map(rabbit.consumers, (all) =>
        all
          .map(({ queue }) => queue)
          .toSorted()
          .join()
      )
      const round = Effect.gen(function* () {
        yield* Figures.until(Effect.map(consumed, (all) => all === names.at(-1)?.toSorted().join()))
        yield* connection.publish(message(), { exchange: source.name, routingKey: "any" })
        const taken = yield* Effect.forEach(queues, () => Queue.take(received))
        assert.deepStrictEqual(taken.map(({ queue }) => queue).toSorted(), names.at(-1)!.toSorted())
        // An acknowledgement that the link takes along brings its message back.
        yield* Figures.until(Effect.map(rabbit.queues, (all) => all.every(({ unacked }) => unacked === 0)))
      })
      yield* round
      yield* loseLink
      yield* Figures.until(Effect.sync(() => names.length >= 2))
      yield* round
      const [before, after] = [names[0]!, names.at(-1)!]
      assert.deepStrictEqual(before.slice(0, 3), after.slice(0, 3))
      assert.notStrictEqual(before[3], after[3])
      yield* Fiber.interrupt(running)
      // RabbitMQ deletes those that nobody consumes a moment after their consumer's goodbye.
      yield* Figures.until(
        Effect.map(
          rabbit.queues,
          (all) =>
            all
              .map(({ name }) => name)
              .filter((name) => names.flat().includes(name))
              .toSorted()
              .join() === "durable,own"
        )
      )
    })
  )

  it.effect("does not bring back what was deleted, unbound or cancelled", () =>
    Effect.gen(function* () {
      const connection = yield* Connection
      const rabbit = yield* RabbitMq
      const [gone, kept] = [Exchange.fanout("gone"), Exchange.fanout("kept")]
      const [deleted, unbound] = [HubQueue.make("deleted"), HubQueue.bindTo(kept)(HubQueue.make("unbound"))]
      yield* connection.declare({ exchanges: [gone, kept], queues: [deleted, unbound] })
      const consuming = yield* Effect.forkChild(Stream.runDrain(Consumer.stream([unbound])))
      const consumers = Effect.map(rabbit.consumers, (all) => all.filter(({ queue }) => queue === "unbound").length)
      yield* Figures.until(Effect.map(consumers, (count) => count === 1))
      yield* Fiber.interrupt(consuming)
      yield* connection.use((channel) =>
        Effect.gen(function* () {
          yield* channel.queueDelete(deleted.name)
          yield* channel.queueUnbind(unbound.name, unbound.bindings[0]!)
          yield* channel.exchangeDelete(gone.name)
        })
      )
      yield* loseLink
      const route = { exchange: kept.name, routingKey: "", mandatory: true }
      const returned = yield* Effect.flip(connection.publish(message(), route))
      assert.strictEqual(returned.reason._tag, "Returned")
      for (const absent of [
        connection.use((channel) => Effect.asVoid(channel.queueDeclare(deleted, { passive: true }))),
        connection.use((channel) => channel.exchangeDeclare(gone, { passive: true }))
      ]) {
        const { reason } = yield* Effect.flip(absent)
        assert.strictEqual(reason._tag === "ChannelClosed" && reason.replyCode, 404)
      }
      assert.strictEqual(yield* consumers, 0)
    })
  )

  it.effect("brings back many consumers, each once, as often as it is lost", () =>
    Effect.gen(function* () {
      const connection = yield* Connection
      const rabbit = yield* RabbitMq
      const n = Figures.times(100, 300, 1000)
      const queues = Array.from({ length: n }, (_, index) =>
        HubQueue.make(`many-${index}`, { durable: false, autoDelete: true })
      )
      const received: Array<string> = []
      const running = yield* Effect.forkChild(
        Effect.forEach(
          queues,
          (queue) =>
            Stream.runForEach(Consumer.stream([queue], { prefetch: 1 }), (delivery) =>
              Effect.andThen(
                delivery.ack,
                Effect.sync(() => void received.push(textOf(delivery)))
              )
            ),
          { concurrency: "unbounded", discard: true }
        )
      )
      const all = Effect.map(
        rabbit.consumers,
        (consumers) => consumers.filter(({ queue }) => queue.startsWith("many-")).length === n
      )
      const took: Array<number> = []
      for (let round = 0; round < 3; round++) {
        yield* Figures.until(all)
        yield* loseLink
        took.push(yield* Figures.timed(Figures.until(all)))
      }
      yield* connection.publishAll(
        queues.map(({ name }) => [message(name), { exchange: "", routingKey: name, mandatory: true }])
      )
      yield* Figures.until(Effect.sync(() => received.length >= n))
      assert.deepStrictEqual(received.toSorted(), queues.map(({ name }) => name).toSorted())
      yield* Fiber.interrupt(running)
      yield* Figures.print(`C10 consumers=${n} of ${n} three times, back after p50/p95/max ms=${Figures.spread(took)}`)
    })
  )
})
