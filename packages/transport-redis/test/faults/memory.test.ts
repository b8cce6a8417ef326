/** A Redis whose memory is full and that evicts nothing (RELIABILITY D9). */
import { Connection } from "@apium/hub/Connection"
import * as Consumer from "@apium/hub/Consumer"
import * as Message from "@apium/hub/Message"
import * as Queue from "@apium/hub/Queue"
import { assert, layer } from "@effect/vitest"
import * as Redis from "@apium/transport-redis/node"
import { RedisBackend, Task, Tasks } from "@apium/worker"
import { Effect, Fiber, Layer, References, Schema, Stream } from "effect"
import * as Figures from "../../../../test/support/Figures.ts"
import * as Ledger from "../../../../test/support/Ledger.ts"
import { Redis as Server } from "../../../../test/support/Redis.ts"
import * as worker from "../../../../test/support/worker.ts"
import * as stores from "../support/stores.ts"

const Full = Server.layer({ config: ["--maxmemory-policy", "noeviction"] })

const World = stores.connected(Full)

const bodyOf = (index: number) => new TextEncoder().encode(`${index} ${"x".repeat(4096)}`)
const indexOf = (message: Message.Message) => new TextDecoder().decode(message.body).split(" ")[0]!

/** Nothing more fits for as long as this runs. */
const full = <A, E, R>(work: Effect.Effect<A, E, R>) =>
  Effect.flatMap(Server, (server) =>
    Effect.acquireUseRelease(
      server.command("CONFIG", "SET", "maxmemory", 1),
      () => work,
      () => Effect.orDie(server.command("CONFIG", "SET", "maxmemory", 0))
    )
  )

/** Waits until it is so: who settles does not wait for Redis. */
const nothingHeld = Effect.flatMap(Server, (server) =>
  Figures.until(
    Effect.map(
      Effect.all([server.command("HLEN", "unacked"), server.command("ZCARD", "unacked_index")]),
      ([held, index]) => held === 0 && index === 0
    )
  )
)

layer(World, { excludeTestServices: true })("a Redis that is full", (it) => {
  it.effect("refuses a publish with a typed failure, and is drained by its consumers to the last message", () =>
    Effect.gen(function* () {
      const server = yield* Server
      const connection = yield* Connection
      const queue = Queue.make("full")
      const ledger = Ledger.make()
      const publish = (index: number) =>
        connection
          .publish(Message.make(bodyOf(index)), { exchange: "", routingKey: queue.name }, { queues: [queue] })
          .pipe(Effect.tap(() => Effect.sync(() => ledger.accepted(String(index)))))
      const memory = yield* server.command("EVAL", "return redis.call('INFO', 'memory')", 0)
      const used = Number(/used_memory:(\d+)/.exec(String(memory))?.[1])
      yield* publish(0)
      yield* server.command("CONFIG", "SET", "maxmemory", used + 4 * 1_048_576)
      let refused = 0
      const reasons = new Set<string>()
      yield* Effect.forEach(
        Array.from({ length: 2000 }, (_, index) => index + 1),
        (index) =>
          Effect.catchTag(publish(index), "HubError", ({ reason }) =>
            Effect.sync(() => {
              refused++
              reasons.add(reason._tag)
            })
          ),
        { concurrency: 50 }
      )
      const accepted = ledger.report().n
      // Less than is there already.
      const began = performance.now()
      yield* full(
        Effect.gen(function* () {
          const consuming = yield* Effect.forkChild(
            Stream.runForEach(Consumer.stream([queue], { prefetch: 100 }), (delivery) =>
              Effect.andThen(
                Effect.sync(() => ledger.finished(indexOf(delivery.message))),
                delivery.ack
              )
            )
          )
          yield* Figures.until(Effect.sync(() => ledger.report().lost.length === 0)).pipe(
            Effect.timeoutOption("1 minute")
          )
          const again = yield* Effect.flip(publish(-1))
          assert.strictEqual(again.reason._tag, "OutOfMemory")
          yield* nothingHeld
          yield* Fiber.interrupt(consuming)
        })
      )
      const took = Math.round(performance.now() - began)
      const report = ledger.report()
      yield* Figures.print(
        `D9 accepted=${accepted} refused=${refused} (${[...reasons].join()}) lost=${report.lost.length} dup=${report.dup} drained in ${took} ms`
      )
      assert.deepStrictEqual([[...reasons], report.lost, report.dup], [["OutOfMemory"], [], 0])
      assert.isAbove(accepted, 100)
      assert.isAbove(refused, 100)
      // There is room again: nothing has to be made anew.
      yield* publish(-2)
    })
  )

  it.effect("lets what is there be held on to, given back and restored from the dead, in its place", () =>
    Effect.gen(function* () {
      const queue = "held"
      const count = 300
      const numbered = Array.from({ length: count }, (_, index) => String(index))
      const { store, sweep } = yield* stores.open((yield* Server).url(), { visibilityTimeout: "3 seconds" })
      yield* store.put(
        queue,
        numbered.map((text) => stores.put(text, queue))
      )
      yield* full(
        Effect.gen(function* () {
          const own = yield* store.take([queue], 100)
          yield* Effect.scoped(
            Effect.gen(function* () {
              const dying = yield* stores.open((yield* Server).url())
              const held = yield* dying.store.take([queue], 100)
              assert.lengthOf(held, 100)
              yield* dying.link.cut
              yield* stores.forgotten(held[0]!.tag)
            })
          )
          // The dead one's come back, and this one's do not, though they are held for longer than the visibility timeout.
          let back = 0
          yield* Figures.until(
            Effect.gen(function* () {
              yield* sweep
              back = yield* store.size(queue)
              return back >= 200
            })
          )
          yield* Effect.sleep("3500 millis")
          yield* sweep
          assert.strictEqual(yield* store.size(queue), 200)
          yield* store.settle(own.slice(0, 50).map(({ tag }) => tag))
          yield* store.restore(
            own.slice(50).map(({ tag }) => tag),
            { side: "near" }
          )
          const all = yield* store.take([queue], count)
          assert.deepStrictEqual(all.slice(0, 50).map(stores.text), numbered.slice(50, 100))
          assert.sameMembers(all.slice(50, 150).map(stores.text), numbered.slice(100, 200))
          assert.deepStrictEqual(all.slice(150).map(stores.text), numbered.slice(200))
          assert.strictEqual(all.filter(({ redelivered }) => redelivered).length, 150)
          yield* store.settle(all.map(({ tag }) => tag))
          yield* Figures.print(`D9 held=${own.length} restored of a dead one=${back - 100} given back=50 lost=0 dup=0`)
        })
      )
      yield* nothingHeld
    })
  )
})

const runs = new Map<number, number>()
const count = Task.make("proj.count", { params: { n: Schema.Number }, result: Schema.Number })
const CountLive = Tasks.handle(count, ({ n }) =>
  Effect.andThen(
    Effect.sleep("20 millis"),
    Effect.sync(() => {
      runs.set(n, (runs.get(n) ?? 0) + 1)
      return n
    })
  )
)

const Workers = Layer.unwrap(
  Effect.map(Server, (server) =>
    worker.world(
      () => RedisBackend.layer.pipe(Layer.provideMerge(Layer.fresh(Redis.layerAll(server.url())))),
      CountLive
    )
  )
).pipe(
  Layer.provideMerge(Full),
  // Each result that is refused is a warning, and as expected.
  Layer.provide(Layer.succeed(References.MinimumLogLevel, "Fatal"))
)

layer(Workers, { excludeTestServices: true })("a worker on a Redis that is full", (it) => {
  it.effect("goes on with what is there, keeps its results until there is room for them, and runs nothing twice", () =>
    Effect.gen(function* () {
      const numbers = Array.from({ length: 200 }, (_, n) => n)
      const soon = yield* Effect.forEach(numbers, (n) => count.delay({ n }), { concurrency: 50 })
      const later = yield* Effect.forEach(
        numbers.map((n) => n + 200),
        (n) => count.applyAsync({ n }, { countdown: "1500 millis" }),
        { concurrency: 50 }
      )
      yield* full(
        Effect.gen(function* () {
          const refused = yield* Effect.flip(count.delay({ n: -1 }))
          assert.strictEqual(refused._tag === "HubError" && refused.reason._tag, "OutOfMemory")
          yield* Effect.sleep("2500 millis")
        })
      )
      const began = performance.now()
      const results = yield* Effect.forEach([...soon, ...later], ({ get }) => get, { concurrency: "unbounded" })
      const twice = [...runs.values()].filter((times) => times > 1).length
      yield* Figures.print(
        `D9 worker: n=${results.length} of which not due=${later.length} lost=${results.length - runs.size} dup=${twice}, all results there ${Math.round(performance.now() - began)} ms after there was room`
      )
      assert.deepStrictEqual([results, twice], [[...numbers, ...numbers.map((n) => n + 200)], 0])
    })
  )
})
