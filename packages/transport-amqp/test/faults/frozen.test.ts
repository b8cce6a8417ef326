/** We ourselves stand still: a task that computes without a pause, a process that is stopped (RELIABILITY B7). */
import * as HubQueue from "@apium/hub/Queue"
import { assert, layer } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import * as Program from "../../../../test/support/Program.ts"
import { RabbitMq } from "../../../../test/support/RabbitMq.ts"
import * as Figures from "../../../../test/support/Figures.ts"
import * as Raw from "../support/Raw.ts"
import { fileURLToPath } from "node:url"

const compute = (milliseconds: number) =>
  Effect.sync(() => {
    const until = performance.now() + milliseconds
    while (performance.now() < until);
  })

layer(RabbitMq.shared, { excludeTestServices: true })("a client that stands still", (it) => {
  it.effect("for a heartbeat is not lost, and for three it is lost with a reason, or not at all", () =>
    Effect.gen(function* () {
      const rabbit = yield* RabbitMq
      /** In seconds: so many heartbeats, and how long one is. */
      const attempt = Effect.fnUntraced(function* (heartbeats: number, heartbeat: number) {
        const began = performance.now()
        const connection = yield* Raw.connect(`${rabbit.url()}?heartbeat=${heartbeat}`)
        const channel = yield* connection.channel
        const lost = yield* Effect.forkChild(Effect.flip(connection.closed))
        // As long as it takes for the broker to send a heartbeat into the pause.
        yield* Effect.sleep(heartbeat * 500)
        yield* compute(heartbeats * heartbeat * 1000)
        yield* Effect.sleep("100 millis")
        const ended = lost.pollUnsafe()
        // One whose end nobody has heard of yet may end here.
        const reason =
          ended === undefined
            ? yield* Effect.match(channel.queueDeclare(HubQueue.temporary()), {
                onFailure: (error) => error,
                onSuccess: () => undefined
              })
            : yield* ended
        const longer = performance.now() - began - 100 - (heartbeats + 0.5) * heartbeat * 1000
        yield* Fiber.interrupt(lost)
        // The broker gives up after two: what the machine takes on top of one has to be less than half of another.
        return { judged: longer < heartbeat * 300, reason }
      }, Effect.scoped)
      /** Where the machine took more, it says nothing, and is asked again. */
      const survives = (heartbeats: number, heartbeat: number) =>
        Effect.map(
          Effect.repeat(attempt(heartbeats, heartbeat), { until: ({ judged }) => judged, times: 4 }),
          ({ reason }) => reason
        )
      const half = yield* survives(0.5, 3)
      const whole = yield* survives(1, 3)
      const { reason: three } = yield* attempt(3, 1)
      yield* Figures.print(
        `B7 blocked 0.5 h: ${half?.message ?? "stays"}, 1 h: ${whole?.message ?? "stays"}, 3 h: ${three?.message ?? "stays"}`
      )
      assert.isUndefined(half)
      assert.isUndefined(whole)
      if (three !== undefined) assert.strictEqual(three.reason._tag, "ConnectionLost")
    })
  )

  it.effect("because its process is stopped for three heartbeats comes back", () =>
    Effect.gen(function* () {
      const rabbit = yield* RabbitMq
      const channel = yield* (yield* Raw.connect(rabbit.url())).channel
      yield* channel.queueDeclare(HubQueue.make("frozen"))
      const file = yield* Program.bundle(fileURLToPath(new URL("../support/client.ts", import.meta.url)))
      const client = yield* Program.start(file, { args: [`${rabbit.url()}?heartbeat=1`, "frozen"] })
      yield* client.line("published 10 ")
      const cycles = Figures.times(1, 2, 5)
      const took: Array<number> = []
      for (let cycle = 1; cycle <= cycles; cycle++) {
        yield* client.signal("SIGSTOP")
        yield* Effect.sleep("3 seconds")
        const count = yield* Effect.map(
          channel.queueDeclare(HubQueue.make("frozen"), { passive: true }),
          ({ messageCount }) => messageCount
        )
        yield* client.signal("SIGCONT")
        // What was under way when it stopped may count once more.
        took.push(yield* Figures.timed(client.line(`published ${count + 5} `)))
      }
      yield* client.signal("SIGKILL")
      const { lines } = yield* client.ended
      yield* Figures.print(
        `B7 SIGSTOP of 3 h, ${cycles} times: statuses=${lines
          .filter((line) => line.startsWith("status"))
          .map((line) => line.slice(7))
          .join()}, publishing again p50/p95/max ms=${Figures.spread(took)}`
      )
      assert.deepStrictEqual(
        lines.filter((line) => line.startsWith("unhandled")),
        []
      )
      assert.isBelow(Math.max(...took), 3000 + Figures.slack)
    })
  )
})
