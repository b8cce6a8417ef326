import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { until } from "../../../test/support/Figures.ts"
import { RabbitMq } from "../../../test/support/RabbitMq.ts"
import { byEvents, inThree, refused, sideBySide } from "./brokers.ts"

layer(RabbitMq.shared, { excludeTestServices: true })("pnpm demo over RabbitMQ", (it) => {
  it.effect("does all of it in one process, beside others that do the same, and touches nobody else's queue", () =>
    Effect.gen(function* () {
      const rabbit = yield* RabbitMq
      yield* sideBySide(rabbit.url(), rabbit.url().replace(":guest@", ":**@"))
      // A queue counts what was acknowledged a moment after its connection was closed.
      yield* until(Effect.map(rabbit.queues, (all) => all.every(({ ready, unacked }) => ready + unacked === 0)))
      for (const { name } of yield* rabbit.queues) assert.match(name, /^(demo\.|celery_delayed)/)
    })
  )

  it.effect("works as worker, producer and monitor in three processes, and ends on Ctrl-C", () =>
    Effect.gen(function* () {
      const { url } = yield* RabbitMq
      const { again, stopped, told } = yield* inThree(url(), /the queue demo of amqp:\/\/guest:\*\*@/)
      byEvents(told)
      for (const { stderr, stdout } of [told, stopped, again]) assert.notInclude(stdout + stderr, "guest:guest")
    })
  )

  it.effect("says why there is no broker, with 69, and never a password", () =>
    Effect.gen(function* () {
      const { node } = yield* RabbitMq
      const web = yield* Effect.acquireRelease(
        Effect.promise(
          () =>
            new Promise<ReturnType<typeof createServer>>((resolve) => {
              const server = createServer()
              server.listen(0, "127.0.0.1", () => resolve(server))
            })
        ),
        (server) => Effect.sync(() => void server.close())
      )
      const { port } = web.address() as AddressInfo
      yield* refused([
        ["amqp://u:hunter2@127.0.0.1:1//", "monitor", /unreachable.*ECONNREFUSED/, 69],
        [`amqp://guest:hunter2@127.0.0.1:${node.port}//`, "worker", /Access refused/, 69],
        [`amqp://guest:guest@127.0.0.1:${node.port}/hunter2`, "producer", /No such virtual host: hunter2/, 69],
        [`amqp://u:hunter2@127.0.0.1:${port}//`, "monitor", /offered HTTP/, 69],
        ["https://u:hunter2@h", "worker", /there is no transport named https/, 64],
        ["amqp://u:hunter2@h:port//", "producer", /a number from 1 to 65535/, 64]
      ])
    })
  )
})
