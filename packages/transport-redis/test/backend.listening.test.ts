/** One subscriber for everything that is awaited (DESIGN 7.9), and as few commands as there are turns. */
import * as Redis from "@apium/transport-redis/node"
import { RedisBackend, ResultBackend } from "@apium/worker"
import { assert, layer } from "@effect/vitest"
import { Context, Effect, Exit, Fiber, Layer, Queue } from "effect"
import { Redis as EffectRedis } from "effect/persistence"
import { message } from "../../../test/support/BackendSuite.ts"
import { growth, heap, mebibytes, print, slope, timed, times } from "../../../test/support/Figures.ts"
import { Redis as Server } from "../../../test/support/Redis.ts"
import { clients, ids, open, subscribed, waitAll } from "./support/backends.ts"
import * as monitor from "./support/monitor.ts"
import * as stores from "./support/stores.ts"

/** What the test itself asks, and signs of life. */
const noise = new Set(["EVAL", "HELLO", "PING", "PUBSUB"])

/** All its connections are there, and nothing is awaited. */
const connected = (backend: ResultBackend["Service"]) =>
  Effect.gen(function* () {
    const waiting = yield* Effect.forkChild(backend.wait("first"), { startImmediately: true })
    yield* subscribed(1)
    yield* Fiber.interrupt(waiting)
    yield* subscribed(0)
  })

layer(Server.layer(), { excludeTestServices: true })("one connection to listen with", (it) => {
  it.effect("is enough for 10,000 pending results, and is asked for nothing when none is awaited any more", () =>
    Effect.gen(function* () {
      const server = yield* Server
      const backend = yield* open(server.url())
      const worker = yield* open(server.url())
      const all = ids("pending", 10_000)
      const fill = Effect.gen(function* () {
        const began = performance.now()
        const waiting = yield* waitAll(backend, all)
        yield* subscribed(all.length)
        return { waiting, took: performance.now() - began }
      })
      /** What is in use while they wait, and behind it. */
      const round = Effect.gen(function* () {
        const { waiting } = yield* fill
        yield* stores.until(Effect.map(clients("pubsub"), (count) => count === 1))
        yield* stores.until(Effect.map(clients("normal"), (count) => count === 2))
        const full = yield* heap
        yield* Fiber.interruptAll(waiting)
        yield* subscribed(0)
        return full
      })
      const sizes: Array<{ readonly full: number; readonly left: number }> = []
      for (let turn = 0; turn < times(3, 6, 12); turn++) {
        const full = yield* round
        sizes.push({ full, left: yield* heap })
      }
      const [{ full, left }] = sizes.slice(-1) as [(typeof sizes)[number]]
      // The first rounds are the compiler's.
      const rest = sizes.slice(1).map(({ left }) => left)
      assert.isBelow(slope(rest, all.length), growth * 10)
      yield* print(
        `10,000 pending results: ${mebibytes(full - left)} MiB with their fibers; of each ${slope(rest, all.length).toFixed(1)} octets are left when nobody waits any more`
      )
      const { took, waiting } = yield* fill
      const store = yield* timed(
        Effect.forEach(all, (id) => worker.store(message(id)), { concurrency: 1000, discard: true })
      )
      const heard = yield* timed(Fiber.joinAll(waiting))
      yield* subscribed(0)
      yield* print(
        `10,000 pending results: 1 subscriber; awaited in ${Math.round(took)} ms, stored in ${Math.round(store)} ms (${Math.round(10_000_000 / store)}/s), heard ${Math.round(heard)} ms later`
      )
    })
  )

  it.effect("is kept while the server is busy with a script: it says so to whoever asks, and is there", () =>
    Effect.gen(function* () {
      const server = yield* Server
      const redis = Context.get(yield* Layer.build(Redis.layerRedis(server.url())), EffectRedis.Redis)
      const heard = yield* redis.subscribe("kept")
      yield* subscribed(1)
      const id = yield* redis.send<number>("CLIENT", "ID")
      yield* server.command("CONFIG", "SET", "busy-reply-threshold", 100)
      const script = yield* Effect.forkChild(Effect.exit(server.command("EVAL", "while true do end", 0)))
      yield* stores.until(Effect.map(Effect.exit(server.command("PING")), Exit.isFailure))
      // Longer than the second after which a link is asked whether it lives, and the two that it is given to answer.
      yield* Effect.sleep("4 seconds")
      const { cause } = yield* Effect.flip(redis.send("GET", "any"))
      assert.match(String(cause), /BUSY/)
      yield* server.command("SCRIPT", "KILL")
      yield* Fiber.join(script)
      yield* server.command("PUBLISH", "kept", "1")
      assert.deepStrictEqual(yield* Queue.take(heard), { channel: "kept", message: "1" })
      assert.strictEqual(yield* redis.send<number>("CLIENT", "ID"), id)
    })
  )

  it.effect("is shared by the transport's fanout, the results and whoever subscribes by `Redis`", () =>
    Effect.gen(function* () {
      const server = yield* Server
      const services = yield* Layer.build(RedisBackend.layer.pipe(Layer.provideMerge(Redis.layerAll(server.url()))))
      const { subscribe } = Context.get(services, EffectRedis.Redis)
      const backend = Context.get(services, ResultBackend)
      const one = yield* subscribe("one")
      const two = yield* subscribe("two")
      const waiting = yield* Effect.forkChild(backend.wait("shared"), { startImmediately: true })
      yield* subscribed(3)
      yield* stores.until(Effect.map(clients("pubsub"), (count) => count === 1))
      yield* server.command("PUBLISH", "one", "1")
      yield* server.command("PUBLISH", "two", "2")
      assert.deepStrictEqual(yield* Queue.take(one), { channel: "one", message: "1" })
      assert.deepStrictEqual(yield* Queue.take(two), { channel: "two", message: "2" })
      // Whoever takes hears of the gap, and subscribes again.
      yield* server.command("CLIENT", "KILL", "TYPE", "pubsub")
      const gap = yield* Effect.flip(Queue.take(one))
      assert.include(String(gap._tag === "RedisError" ? gap.cause : gap), "subscribe again")
      const again = yield* subscribe("one")
      yield* server.command("PUBLISH", "one", "3")
      assert.strictEqual((yield* Queue.take(again)).message, "3")
      yield* backend.store(message("shared"))
      yield* Fiber.join(waiting)
    })
  )

  it.effect("many waits that begin in one turn are one SUBSCRIBE and one MGET, and their ends one UNSUBSCRIBE", () =>
    Effect.gen(function* () {
      const server = yield* Server
      const backend = yield* open(server.url())
      yield* connected(backend)
      const all = ids("turn", 500)
      const keys = all.map((id) => `celery-task-meta-${id}`)
      const { asked } = yield* monitor.during(
        Effect.gen(function* () {
          const waiting = yield* waitAll(backend, all)
          yield* subscribed(all.length)
          yield* Fiber.interruptAll(waiting)
          yield* subscribed(0)
        })
      )
      const ours = asked.filter(({ command }) => !noise.has(command))
      assert.deepStrictEqual(
        ours.map(({ args, command }) => [command, args.toSorted()]),
        ["SUBSCRIBE", "MGET", "UNSUBSCRIBE"].map((command) => [command, keys.toSorted()])
      )
    })
  )

  it.effect(
    "a result that is there is read by one command, and one that is not is subscribed to before it is read again",
    () =>
      Effect.gen(function* () {
        const server = yield* Server
        const backend = yield* open(server.url())
        yield* connected(backend)
        yield* backend.store(message("there"))
        const { asked } = yield* monitor.during(
          Effect.gen(function* () {
            yield* backend.wait("there")
            const waiting = yield* Effect.forkChild(backend.wait("late"), { startImmediately: true })
            yield* subscribed(1)
            yield* Fiber.interrupt(waiting)
            yield* subscribed(0)
          })
        )
        assert.deepStrictEqual(
          asked
            .filter(({ command }) => !noise.has(command))
            .map(({ args, command }) => `${command} ${args.join(" ").replaceAll("celery-task-meta-", "")}`),
          ["MGET there", "MGET late", "SUBSCRIBE late", "MGET late", "UNSUBSCRIBE late"]
        )
      })
  )

  it.effect("results that come in one turn are one script", () =>
    Effect.gen(function* () {
      const server = yield* Server
      const backend = yield* open(server.url())
      yield* backend.store(message("first"))
      const { asked } = yield* monitor.during(
        Effect.forEach(ids("batch", 200), (id) => backend.store(message(id)), { concurrency: "unbounded" })
      )
      const commands = asked
        .filter(({ command, script }) => !script && !noise.has(command))
        .map(({ command }) => command)
      assert.deepStrictEqual(commands, ["EVALSHA"])
      assert.lengthOf(
        asked.filter(({ command }) => command === "SETEX"),
        200
      )
    })
  )
})
