/** Links that come and go, and addresses that lead nowhere (RELIABILITY B4, B16, B17, H3). */
import { Connection } from "@apium/hub/Connection"
import * as Consumer from "@apium/hub/Consumer"
import * as Message from "@apium/hub/Message"
import * as HubQueue from "@apium/hub/Queue"
import { Transport } from "@apium/hub/Transport"
import * as AmqpTransport from "@apium/transport-amqp/AmqpTransport"
import * as Amqp from "@apium/transport-amqp/node"
import { assert, layer } from "@effect/vitest"
import { Effect, Fiber, Stream } from "effect"
import { after } from "../../../../test/support/FaultPipe.ts"
import * as FaultProxy from "../../../../test/support/FaultProxy.ts"
import * as Ledger from "../../../../test/support/Ledger.ts"
import { RabbitMq } from "../../../../test/support/RabbitMq.ts"
import * as soak from "../../../../test/support/soak.ts"
import * as Figures from "../../../../test/support/Figures.ts"
import * as Raw from "../support/Raw.ts"

const message = (text: string) => Message.make(new TextEncoder().encode(text), { deliveryMode: "persistent" })

layer(RabbitMq.shared, { excludeTestServices: true })("links", (it) => {
  it.effect(
    "that an administrator closes again and again lose nothing, and consume the same queues after",
    () =>
      Effect.gen(function* () {
        const rabbit = yield* RabbitMq
        const closings = Figures.times(15, 20, 100)
        const queues = ["one", "two", "three"].map((name) => HubQueue.make(name))
        const ledger = Ledger.make()
        let [n, failed, stop] = [0, 0, false]
        const sockets = Figures.sockets()
        const report = yield* Effect.gen(function* () {
          const connection = yield* Connection
          const consuming = yield* Effect.forkChild(
            Stream.runForEach(Consumer.stream(queues, { prefetch: 50 }), (delivery) =>
              Effect.andThen(
                Effect.sync(() => ledger.finished(new TextDecoder().decode(delivery.message.body))),
                delivery.ack
              )
            )
          )
          const producing = yield* Effect.forkChild(
            Effect.whileLoop({
              while: () => !stop,
              body: () => {
                const task = String(n++)
                const queue = queues[n % queues.length]!
                const route = { exchange: "", routingKey: queue.name, mandatory: true }
                return connection.publish(message(task), route, { queues: [queue] }).pipe(
                  Effect.tap(() => Effect.sync(() => ledger.accepted(task))),
                  Effect.catchTag("HubError", () => Effect.sync(() => void failed++))
                )
              },
              step: () => {}
            })
          )
          const took: Array<number> = []
          let heap = 0
          for (let closing = 0; closing < closings; closing++) {
            const before = ledger.report().n
            yield* Figures.until(Effect.sync(() => ledger.report().n > before))
            // The first ones warm up.
            if (closing === 3) heap = yield* Figures.heap
            assert.isAtLeast(yield* rabbit.closeConnections(), 1)
            const after = ledger.report().n
            took.push(yield* Figures.timed(Figures.until(Effect.sync(() => ledger.report().n > after + 1))))
          }
          stop = true
          yield* Fiber.join(producing)
          yield* Figures.until(Effect.sync(() => ledger.report().lost.length === 0))
          yield* Figures.until(
            Effect.map(
              rabbit.consumers,
              (all) =>
                all
                  .map(({ queue }) => queue)
                  .toSorted()
                  .join() === "one,three,two"
            )
          )
          const growth = (yield* Figures.heap) - heap
          yield* Fiber.interrupt(consuming)
          return { growth, took }
        }).pipe(Effect.provide(Amqp.layer(rabbit.url())))
        yield* Figures.until(Effect.sync(() => Figures.sockets() <= sockets))
        const { dup, lost, n: accepted } = ledger.report()
        yield* Figures.print(
          `B4 closings=${closings} lost=${lost.length} dup=${dup} n=${accepted} failed=${failed} queues consumed=3 of 3, heap +${Figures.mebibytes(report.growth)} MiB, sockets +0, recover p50/p95/max ms=${Figures.spread(report.took)}`
        )
        assert.deepStrictEqual(lost, [])
        assert.isBelow(report.growth, 5 * 1_048_576)
      }),
    600_000
  )

  it.effect("that were lost a hundred times have left nothing behind", () =>
    Effect.flatMap(RabbitMq, (rabbit) =>
      soak.reconnects(rabbit.node, (port, backoff) => Amqp.layer(rabbit.url(port), { backoff }))
    )
  )

  it.effect("that are cut anywhere in their handshake say at which step, and leave no socket", () =>
    Effect.gen(function* () {
      const rabbit = yield* RabbitMq
      const proxy = yield* FaultProxy.make(rabbit.node)
      const before = Figures.sockets()
      const attempt = Effect.scoped(Raw.connect(rabbit.url(proxy.port)))
      yield* attempt
      const { down, up } = proxy.counts()
      const steps = new Set<string>()
      for (const [direction, octets] of [
        ["down", down],
        ["up", up]
      ] as const) {
        // The last 12 octets of each are the farewell.
        for (let share = 0; share < 10; share++) {
          const at = 1 + Math.floor(((octets - 40) * share) / 10)
          const happened = yield* proxy.cut({ direction, when: after(at), how: share % 2 === 0 ? "reset" : "close" })
          const { reason } = yield* Effect.flip(attempt)
          yield* happened
          assert.strictEqual(reason._tag, "ConnectionLost")
          steps.add(/while [^ ]+ was due/.exec(reason.message)?.[0] ?? reason.message)
        }
      }
      yield* proxy.until(({ live }) => live === 0)
      yield* Figures.until(Effect.sync(() => Figures.sockets() <= before))
      yield* Figures.print(`B11 cut at 20 places of the handshake: ${[...steps].join(", ")}; sockets +0`)
      assert.includeMembers(
        [...steps],
        ["connection.start", "connection.tune", "connection.open-ok"].map((tag) => `while ${tag} was due`)
      )
    })
  )

  it.effect("of three addresses, two of which are dead, lead to the third, each tried once", () =>
    Effect.gen(function* () {
      const rabbit = yield* RabbitMq
      const dead = [yield* FaultProxy.make(rabbit.node), yield* FaultProxy.make(rabbit.node)]
      for (const proxy of dead) yield* proxy.refuse
      const ports = [dead[0]!.port, dead[1]!.port, rabbit.node.port]
      const dialled: Array<number> = []
      const dial: AmqpTransport.Dial = (uri) => {
        dialled.push(ports.indexOf(uri.port))
        return Amqp.dial(uri)
      }
      const transport = AmqpTransport.layer(ports.map((port) => rabbit.url(port)).join(";"), (uri) =>
        Effect.suspend(() => dial(uri))
      )
      const took = yield* Effect.gen(function* () {
        const { connect } = yield* Transport
        const cycle = Figures.timed(Effect.scoped(connect))
        return [yield* cycle, yield* cycle, yield* cycle]
      }).pipe(Effect.provide(transport))
      yield* Figures.print(`B16 dialled=${dialled.join()} connected after ms=${took.map(Math.round).join()}`)
      // The next cycle begins behind the one that worked.
      assert.deepStrictEqual(dialled, [0, 1, 2, 0, 1, 2, 0, 1, 2])
      Figures.keepTo(1000, took)
    })
  )

  it.effect("to a name that has no address for a while, or whose first address is dead, are made in time", () =>
    Effect.gen(function* () {
      const rabbit = yield* RabbitMq
      // Whoever answers for names may take its time.
      const nowhere = "amqp://guest:guest@no-such-host.invalid//?connect_timeout=120"
      const unknown = yield* Effect.flip(Effect.scoped(Raw.connect(nowhere)))
      assert.strictEqual(unknown.reason._tag, "ConnectionLost")
      assert.match(unknown.message, /unreachable.*(ENOTFOUND|EAI_AGAIN|EAI_NODATA)/)
      let [asked, known] = [0, 0]
      const transport = AmqpTransport.layer(rabbit.url(), (uri) =>
        Effect.suspend(() => {
          if (++asked <= 2) return Amqp.dial({ ...uri, host: "no-such-host.invalid" })
          known = performance.now()
          return Amqp.dial(uri)
        })
      )
      yield* Effect.scoped(
        Effect.flatMap(Transport, ({ connect }) =>
          Effect.retry(connect, { times: 5, while: (error) => error.recoverable })
        ).pipe(Effect.provide(transport))
      )
      const took = performance.now() - known
      // RabbitMQ listens on 127.0.0.1 alone; `localhost` is ::1 first.
      const both = yield* Figures.timed(Effect.scoped(Raw.connect(rabbit.url().replace("127.0.0.1", "localhost"))))
      yield* Figures.print(
        `B17 after 2 failures of DNS connected in ms=${Math.round(took)}; localhost with ::1 dead ms=${Math.round(both)}`
      )
      assert.isBelow(Math.max(took, both), 2000 + Figures.slack)
    })
  )
})
