/** Consumers that stop while they wait (RELIABILITY D3; kombu#1733 lost a message so, kombu#1785 hung after). */
import { Connection } from "@apium/hub/Connection"
import * as Consumer from "@apium/hub/Consumer"
import * as Message from "@apium/hub/Message"
import * as Queue from "@apium/hub/Queue"
import * as Redis from "@apium/transport-redis/node"
import { assert, layer } from "@effect/vitest"
import { Effect, Exit, Fiber, Layer, Option, Scope } from "effect"
import { random } from "../../../protocol/test/support/Random.ts"
import * as Figures from "../../../../test/support/Figures.ts"
import { Redis as Server } from "../../../../test/support/Redis.ts"
import * as stores from "../support/stores.ts"

const queue = Queue.make("stopping")

/** So many turns of the event loop: a timer's millisecond is too long. */
const turns = async (count: number): Promise<void> => {
  for (let turn = 0; turn < count; turn++) await new Promise((resolve) => setImmediate(resolve))
}

layer(stores.connected(Server.layer()), { excludeTestServices: true })("a consumer", (it) => {
  it.effect("that stops while it waits, and a message comes, neither loses it nor hangs", () =>
    Effect.gen(function* () {
      const server = yield* Server
      const connection = yield* Connection
      const stops = Figures.times(60, 200, 500)
      const r = random(5)
      const effects: Array<string> = []
      const took: Array<number> = []
      let left = 0
      const handle = ({ message }: { readonly message: Message.Message }) =>
        Effect.sync(() => void effects.push(new TextDecoder().decode(message.body)))
      yield* connection.declare({ queues: [queue] })
      for (let stop = 0; stop < stops; stop++) {
        const scope = yield* Scope.make()
        const live = yield* Layer.buildWithScope(Layer.fresh(Redis.layer(server.url())), scope)
        const consuming = yield* Effect.forkChild(
          Effect.provide(Consumer.run([queue], { concurrency: 5, handle }), live)
        )
        // It waits, or is about to.
        yield* Effect.sleep(r.below(20))
        const message = Message.make(new TextEncoder().encode(String(stop)))
        const publishing = yield* Effect.forkChild(
          connection.publish(message, { exchange: "", routingKey: queue.name }),
          { startImmediately: true }
        )
        // Somewhere between the push, the wake-up, the claim and the acknowledgement.
        yield* Effect.promise(() => turns(r.below(16)))
        took.push(yield* Figures.timed(Effect.andThen(Fiber.interrupt(consuming), Scope.close(scope, Exit.void))))
        yield* Fiber.join(publishing)
        if (!effects.includes(String(stop))) left++
      }
      yield* connection.use((channel) =>
        Effect.gen(function* () {
          for (;;) {
            const delivery = yield* channel.get(queue.name)
            if (Option.isNone(delivery)) return
            yield* handle(delivery.value)
            yield* delivery.value.ack
          }
        })
      )
      const lost = stops - new Set(effects).size
      yield* Figures.print(
        `D3 stops=${stops} lost=${lost} dup=${effects.length - new Set(effects).size} left for the next=${left} stopped in p50/p95/max=${Figures.spread(took)} ms`
      )
      assert.sameMembers(
        effects,
        Array.from({ length: stops }, (_, stop) => String(stop))
      )
      assert.isAbove(left, 0)
      Figures.keepTo(2000, took)
      // Nobody waits for a settle, and the last of them may be on its way.
      for (const [command, key] of [
        ["HLEN", "unacked"],
        ["ZCARD", "unacked_index"]
      ] as const) {
        yield* stores.until(Effect.map(server.command(command, key), (count) => count === 0))
      }
    })
  )
})
