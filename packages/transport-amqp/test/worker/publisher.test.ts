import { Connection } from "@apium/hub/Connection"
import * as Queue from "@apium/hub/Queue"
import * as Amqp from "@apium/transport-amqp/node"
import { assert, layer } from "@effect/vitest"
import { Context, Effect, Layer, Stream } from "effect"
import { random } from "../../../protocol/test/support/Random.ts"
import * as Program from "../../../../test/support/Program.ts"
import { RabbitMq } from "../../../../test/support/RabbitMq.ts"
import { print, times } from "../../../../test/support/Figures.ts"

class Publisher extends Context.Service<Publisher, string>()("test/Publisher") {
  static readonly layer = Layer.effect(Publisher, Program.bundle("packages/transport-amqp/test/worker/publisher.ts"))
}

const World = Layer.merge(
  Layer.unwrap(Effect.map(RabbitMq, (rabbit) => Amqp.layer(rabbit.url()))),
  Publisher.layer
).pipe(Layer.provideMerge(RabbitMq.shared))

const kills = times(2, 4, 10)
const share = times(3000, 4000, 10_000)
/** Those that are killed have more to publish than they ever can, however late the test hears of what they did. */
const endless = 1_000_000

layer(World, { excludeTestServices: true })("a publisher that is killed", (it) => {
  it.effect("with 256 publishes on their way: what has returned is in the queue", () =>
    Effect.gen(function* () {
      const rabbit = yield* RabbitMq
      const connection = yield* Connection
      const file = yield* Publisher
      const r = random(1)
      const queue = Queue.make("published")
      const returned = new Set<number>()
      for (let part = 0; part <= kills; part++) {
        const from = part * endless
        const to = from + (part === kills ? share : endless)
        const publisher = yield* Program.start(file, { args: [rabbit.url(), queue.name, String(from), String(to)] })
        if (part === kills) {
          yield* publisher.line("done")
        } else {
          yield* publisher.line(`returned ${from + 1 + r.below(share - 1)}`)
        }
        yield* publisher.signal("SIGKILL")
        const { last, lines } = yield* publisher.ended
        assert.strictEqual(last === "done", part === kills)
        for (const line of lines) if (line.startsWith("returned ")) returned.add(Number(line.slice("returned ".length)))
      }
      const there = new Set<number>()
      let twice = 0
      const { messageCount } = yield* connection.use((channel) => channel.queueDeclare(queue, { passive: true }))
      const channel = yield* connection.channel
      yield* channel.consume(queue.name, { noAck: true }).pipe(
        Stream.take(messageCount),
        Stream.runForEach(({ message }) =>
          Effect.sync(() => {
            const index = Number(new TextDecoder().decode(message.body))
            if (there.has(index)) twice++
            there.add(index)
          })
        )
      )
      const lost = [...returned].filter((index) => !there.has(index))
      yield* print(`A12 lost=${lost.length} dup=${twice} n=${returned.size} in the queue=${there.size} kills=${kills}`)
      assert.deepStrictEqual([lost, twice], [[], 0])
      assert.isAbove(returned.size, share)
    })
  )
})
