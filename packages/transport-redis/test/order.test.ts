/** Which of several queues is taken from, as kombu has it (`queue_order_strategy`), and nobody starves (RELIABILITY D18). */
import * as Message from "@apium/hub/Message"
import * as Queue from "@apium/hub/Queue"
import { Transport } from "@apium/hub/Transport"
import * as Redis from "@apium/transport-redis/node"
import { assert, layer } from "@effect/vitest"
import { Deferred, Effect, Stream } from "effect"
import { print } from "../../../test/support/Figures.ts"
import * as Python from "../../../test/support/Python.ts"
import { Redis as Server } from "../../../test/support/Redis.ts"
import * as stores from "./support/stores.ts"

const queues = ["c", "a", "b"] as const

/** Text, queue, priority. */
const sent = [
  ["c1", "c", 0],
  ["c2", "c", 0],
  ["c3", "c", 0],
  ["a1", "a", 0],
  ["a2", "a", 0],
  ["b1", "b", 0],
  ["c4", "c", 3],
  ["b2", "b", 3],
  ["b3", "b", 3],
  ["a3", "a", 9]
] as const

layer(Server.shared, { excludeTestServices: true })("of several queues", (it) => {
  it.effect.each(["round_robin", "sorted", "priority"] as const)(
    "kombu and we take in the same order: %s",
    (strategy) =>
      Effect.gen(function* () {
        const server = yield* Server
        const fill = Effect.gen(function* () {
          const { store } = yield* stores.open(server.url())
          for (const [text, queue, priority] of sent) yield* store.put(queue, [stores.put(text, queue, priority)])
        })
        const take = (queues: readonly [string, ...Array<string>], max: number) =>
          Effect.gen(function* () {
            yield* fill
            const { store } = yield* stores.open(server.url(), { queueOrderStrategy: strategy })
            const all: Array<string> = []
            while (all.length < sent.length) {
              const taken = yield* store.take(queues, max)
              assert.isAbove(taken.length, 0)
              all.push(...taken.map(stores.text))
              yield* store.settle(taken.map(({ tag }) => tag))
            }
            return all.join(" ")
          }).pipe(Effect.scoped)
        yield* fill
        const kombu = yield* Python.run(
          `
import sys
from kombu import Connection, Consumer, Queue
url, strategy, count, *names = sys.argv[1:]
connection = Connection(url, transport_options={"queue_order_strategy": strategy})
got = []
def receive(message):
    got.append(message.body if isinstance(message.body, str) else bytes(message.body).decode())
    message.ack()
with Consumer(connection.channel(), [Queue(name) for name in names], on_message=receive):
    while len(got) < int(count):
        connection.drain_events(timeout=60)
print(" ".join(got))
`,
          { args: [server.url(), strategy, String(sent.length), ...queues] }
        )
        // Kombu 5.2 keeps the names in a set, and begins in an order of its own.
        const began = [...new Set(kombu.match(/[abc]/g))] as unknown as readonly [string]
        assert.sameMembers([...began], [...queues])
        assert.strictEqual(yield* take(began, 1), kombu.trim())
        // A batch takes what so many takes of one would: of the same messages, and of each queue in its order.
        const batch = (yield* take(began, 4)).split(" ")
        const levels = (texts: ReadonlyArray<string>) =>
          texts.map((text) => sent.find(([one]) => one === text)![2]).join(" ")
        assert.strictEqual(levels(batch), levels(kombu.trim().split(" ")))
        for (const queue of queues) {
          const own = (texts: ReadonlyArray<string>) => texts.filter((text) => text.startsWith(queue)).join(" ")
          assert.strictEqual(own(batch), own(kombu.trim().split(" ")))
        }
      })
  )

  it.effect("that are full, 50 of them, each is taken from as often, in batches as one by one", () =>
    Effect.gen(function* () {
      const server = yield* Server
      const { store } = yield* stores.open(server.url())
      const names = Array.from({ length: 50 }, (_, index) => `full-${index}`) as unknown as readonly [string]
      for (const name of names) {
        yield* store.put(
          name,
          Array.from({ length: 40 }, () => stores.put("x", name))
        )
      }
      for (const max of [1, 7, 100]) {
        const counts = new Map<string, number>()
        for (let taken = 0; taken < 500;) {
          const some = yield* store.take(names, Math.min(max, 500 - taken))
          taken += some.length
          for (const { queue } of some) counts.set(queue, (counts.get(queue) ?? 0) + 1)
          yield* store.settle(some.map(({ tag }) => tag))
        }
        const all = [...counts.values()].toSorted((one, other) => one - other)
        yield* print(`D18 queues=50 batch=${max} of each min/max=${all[0]}/${all.at(-1)}`)
        assert.deepStrictEqual([counts.size, all[0], all.at(-1)], [50, 10, 10])
      }
    })
  )

  it.effect("two consumers of one queue get as much, when each message comes as the last one is done", () =>
    Effect.gen(function* () {
      const server = yield* Server
      const connection = yield* Effect.flatMap(Transport, ({ connect }) => connect).pipe(
        Effect.provide(Redis.layerTransport(server.url()))
      )
      const channel = yield* connection.channel
      const count = 100
      const fewest: Array<number> = []
      for (let round = 0; round < 20; round++) {
        yield* Effect.gen(function* () {
          const name = `shared-${round}`
          yield* channel.queueDeclare(Queue.make(name))
          const done = yield* Deferred.make<void>()
          const got = [0, 0]
          for (const index of got.keys()) {
            const own = yield* connection.channel
            yield* own.consume(name, { prefetch: 1 }).pipe(
              Stream.runForEach((delivery) =>
                Effect.gen(function* () {
                  got[index]!++
                  yield* Effect.yieldNow
                  yield* delivery.ack
                  if (count === got[0]! + got[1]!) yield* Deferred.succeed(done, undefined)
                })
              ),
              Effect.forkScoped
            )
          }
          yield* stores.until(Effect.map(channel.queueDeclare(Queue.make(name)), (info) => info.consumerCount === 2))
          for (let sent = 0; sent < count; sent++) {
            yield* channel.publish(Message.make(new Uint8Array()), { exchange: "", routingKey: name })
          }
          yield* Deferred.await(done)
          fewest.push(Math.min(...got))
        }).pipe(Effect.scoped)
      }
      yield* print(`two consumers, 100 messages one by one, fewer of the two: ${fewest.join(" ")}`)
      assert.isAtLeast(Math.min(...fewest), 40)
    })
  )
})
