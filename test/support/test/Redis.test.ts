import { assert, describe, it, layer } from "@effect/vitest"
import { Effect, type Scope } from "effect"
import * as FaultPipe from "../FaultPipe.ts"
import * as FaultProxy from "../FaultProxy.ts"
import { Redis, RedisServer } from "../Redis.ts"
import * as Wire from "./Wire.ts"

const PONG = "+PONG\r\n"

const ping = (port: number): Effect.Effect<string, never, Scope.Scope> =>
  Effect.gen(function* () {
    const wire = yield* Wire.dial(port)
    yield* wire.send("PING\r\n")
    yield* wire.until(PONG.length)
    return wire.text() === "" ? yield* wire.ended : wire.text()
  })

layer(Redis.layer({ appendfsync: "always" }))("Redis", (it) => {
  it.effect("keeps what it acknowledged through a stop and a SIGKILL, at the same port", () =>
    Effect.gen(function* () {
      const [redis, server] = [yield* Redis, yield* RedisServer]
      for (const end of ["stop", "kill"] as const) {
        yield* redis.command("SET", end, `before ${end}`)
        const wire = yield* Wire.dial(redis.node.port)
        yield* server[end]
        yield* wire.ended
        assert.strictEqual(yield* ping(redis.node.port), "ECONNREFUSED")
        assert.match(
          (yield* Effect.flip(redis.command("GET", end))).message,
          /^GET: redis-cli ended with 1:\nCould not connect/
        )
        yield* server.start
        assert.strictEqual(yield* redis.command("GET", end), `before ${end}`)
      }
    })
  )

  it.effect("accepts connections while it is frozen, and answers when it is thawed", () =>
    Effect.gen(function* () {
      const [redis, server] = [yield* Redis, yield* RedisServer]
      yield* server.freeze
      const wire = yield* Wire.dial(redis.node.port)
      yield* wire.send("PING\r\n")
      yield* server.thaw
      assert.strictEqual(yield* wire.until(PONG.length), PONG)
    })
  )

  it.effect("pauses clients, and says what is wrong with a command", () =>
    Effect.gen(function* () {
      const redis = yield* Redis
      const started = performance.now()
      yield* redis.command("CLIENT", "PAUSE", 150, "WRITE")
      yield* redis.command("SET", "late", 1)
      assert.isAtLeast(performance.now() - started, 140)
      assert.deepStrictEqual(yield* redis.command("LRANGE", "none", 0, -1), [])
      assert.match((yield* Effect.flip(redis.command("LPOP", "late"))).message, /^LPOP: .*WRONGTYPE/s)
    })
  )

  for (const [name, shape] of Object.entries({
    latency: { latency: 20 },
    bandwidth: { bandwidth: 1_000 },
    "slices of one byte": { slice: 1 },
    "random slices": { slice: FaultPipe.between(3, 1, 4) }
  })) {
    it.effect(`answers through a proxy with ${name}`, () =>
      Effect.gen(function* () {
        const proxy = yield* FaultProxy.make((yield* Redis).node)
        yield* proxy.shape("both", shape)
        assert.strictEqual(yield* ping(proxy.port), PONG)
      })
    )
  }

  it.effect("is lost behind a proxy that cuts, refuses, or hides it, and found again behind the healed one", () =>
    Effect.gen(function* () {
      const proxy = yield* FaultProxy.make((yield* Redis).node)
      const happened = yield* proxy.cut({ direction: "down", when: FaultPipe.after(3) })
      const cut = yield* Wire.dial(proxy.port)
      yield* cut.send("PING\r\n")
      assert.strictEqual(yield* cut.ended, "ECONNRESET")
      assert.strictEqual(cut.text(), "+PO")
      yield* happened
      yield* proxy.refuse
      assert.strictEqual(yield* ping(proxy.port), "ECONNREFUSED")
      yield* proxy.heal
      for (const fault of [proxy.blackHole, proxy.shape("down", { drop: true })]) {
        const live = yield* Wire.dial(proxy.port)
        yield* live.send("PING\r\n")
        yield* live.until(PONG.length)
        yield* fault
        const { dropped } = proxy.counts()
        yield* live.send("PING\r\n")
        if (fault !== proxy.blackHole) yield* proxy.until((counts) => counts.dropped === dropped + PONG.length)
        assert.strictEqual(live.text(), PONG)
        yield* proxy.heal
        yield* live.send("PING\r\n")
        yield* live.until(2 * PONG.length)
        assert.include(live.text(), PONG + PONG)
      }
      assert.strictEqual(yield* ping(proxy.port), PONG)
    })
  )
})

layer(Redis.layer({ tls: true, password: "pass word" }))("Redis with TLS and a password", (it) => {
  it.effect("lets nobody in without the password, nor with a certificate it cannot check", () =>
    Effect.gen(function* () {
      const { node, command, url } = yield* Redis
      assert.strictEqual(yield* command("PING"), "PONG")
      assert.strictEqual(url(), `redis://:pass%20word@127.0.0.1:${node.port}/0`)
      const bare = yield* Wire.dial(node.port)
      yield* bare.send("PING\r\n")
      assert.match(yield* bare.until(8), /^-NOAUTH/)
      const trusting = yield* Wire.secure(node.tls!.port, { ca: node.tls!.authority })
      yield* trusting.send("PING\r\n")
      assert.match(yield* trusting.until(8), /^-NOAUTH/)
      const wary = yield* Wire.secure(node.tls!.port, {})
      assert.include(["SELF_SIGNED_CERT_IN_CHAIN", "UNABLE_TO_VERIFY_LEAF_SIGNATURE"], yield* wary.ended)
    })
  )
})

describe("Redis.shared", () => {
  it.effect("gives every layer a database of its own", () =>
    Effect.gen(function* () {
      const use = (key: string) =>
        Effect.gen(function* () {
          const redis = yield* Redis
          yield* redis.command("SET", key, 1)
          return [redis.node.port, redis.database, yield* redis.command("KEYS", "*")] as const
        }).pipe(Effect.provide(Redis.shared))
      const [[port, one, ones], [otherPort, other, others]] = yield* Effect.all([use("one"), use("other")])
      assert.strictEqual(port, otherPort)
      assert.notStrictEqual(one, other)
      assert.deepStrictEqual([ones, others], [["one"], ["other"]])
    })
  )
})
