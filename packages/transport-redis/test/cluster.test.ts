/** A Redis Cluster, in which one node has all keys of a prefix (RELIABILITY D8). */
import { createServer } from "node:net"
import { Transport } from "@apium/hub/Transport"
import * as Redis from "@apium/transport-redis/node"
import * as RedisUri from "@apium/transport-redis/RedisUri"
import { assert, describe, it, layer } from "@effect/vitest"
import { Effect } from "effect"
import * as Figures from "../../../test/support/Figures.ts"
import * as Ports from "../../../test/support/Ports.ts"
import { RedisCluster } from "../../../test/support/RedisCluster.ts"
import * as traffic from "./support/traffic.ts"

const globalKeyprefix = "{apium}"

const connect = (url: string, prefix = globalKeyprefix) =>
  Effect.scoped(Effect.flatMap(Transport, ({ connect }) => connect)).pipe(
    Effect.provide(Redis.layerTransport(url, { globalKeyprefix: prefix }))
  )

layer(RedisCluster.layerWith({ appendfsync: "always" }), { excludeTestServices: true })("a cluster", (it) => {
  it.effect("is entered by any node that answers, whatever the slot of the prefix", () =>
    Effect.gen(function* () {
      const { nodes, url } = yield* RedisCluster
      const nobody = yield* Ports.free
      const [first, second, third] = nodes.map(({ node }) => `${node.host}:${node.port}`)
      const owners = new Set<unknown>()
      for (const prefix of ["{apium}", "{a}", "x{y}:{z}", "{größe}"]) {
        for (const seeds of [url, `redis+cluster://127.0.0.1:${nobody};${third}`, `redis+cluster://${second}`]) {
          const { database, redis } = yield* Redis.open(RedisUri.parseUnsafe(seeds, { globalKeyprefix: prefix }))
          // Another node would refuse it.
          yield* redis.send("SET", `${prefix}key`, "value")
          yield* redis.send("DEL", `${prefix}key`)
          owners.add(yield* redis.send("CLUSTER", "MYID"))
          assert.strictEqual(database, 0)
        }
      }
      assert.isAbove(owners.size, 1, first)
    })
  )

  it.effect(
    "is not entered without a hash tag in the prefix, and says what to do; nor when nobody answers, and says who",
    () =>
      Effect.gen(function* () {
        const { nodes, url } = yield* RedisCluster
        const error = yield* Effect.flip(connect(url, "apium:"))
        assert.strictEqual(error._tag, "InvalidUri")
        assert.include(error.message, '"{apium}"')
        const ports = [yield* Ports.free, yield* Ports.free]
        const nobody = yield* Effect.flip(connect(`redis+cluster://127.0.0.1:${ports[0]};127.0.0.1:${ports[1]}`))
        for (const port of ports) assert.include(nobody.message, `127.0.0.1:${port}: connect ECONNREFUSED`)
        assert.isTrue(nobody._tag === "HubError" && nobody.recoverable)
        const alone = yield* Effect.flip(connect(`redis://127.0.0.1:${nodes[0]!.node.port}`))
        assert.include(alone.message, "redis+cluster://")
      })
  )

  it.effect(
    "goes on within five seconds when the slot moves to another node, and when a node is killed and comes back",
    () =>
      Effect.gen(function* () {
        const { move, nodes, owner, url } = yield* RedisCluster
        const slot = Number(yield* nodes[0]!.command("CLUSTER", "KEYSLOT", globalKeyprefix))
        yield* Effect.gen(function* () {
          const { end, more, refused } = yield* traffic.begin("moving")
          yield* more
          const moved: Array<number> = []
          for (let turn = 0; turn < Figures.times(2, 5, 10); turn++) {
            const from = yield* owner(slot)
            yield* move(
              slot,
              nodes.find((node) => node !== from)!
            )
            moved.push(yield* Figures.timed(more))
          }
          const restarted: Array<number> = []
          for (let turn = 0; turn < Figures.times(1, 3, 5); turn++) {
            const { server } = yield* owner(slot)
            yield* server.kill
            yield* server.start
            restarted.push(yield* Figures.timed(more))
          }
          const { dup, lost, n } = yield* end
          const stats = yield* Effect.forEach(nodes, (node) => node.command("INFO", "errorstats"))
          const codes = new Set(
            stats.flatMap((text) => [...String(text).matchAll(/errorstat_(\w+):/g)].map(([, code]) => code!))
          )
          yield* Figures.print(
            `D8 nodes=3 lost=${lost.length} dup=${dup} n=${n} failed=${refused.length} consuming again p50/p95/max=${Figures.spread(moved)} ms after the slot had moved ${moved.length} times, ${Figures.spread(restarted)} ms after ${restarted.length} restarts; nodes said ${[...codes].join(", ")}`
          )
          assert.deepStrictEqual([lost, refused, codes.has("CROSSSLOT")], [[], [], false])
          assert.isBelow(Math.max(...moved, ...restarted), 5000 + Figures.slack)
        }).pipe(Effect.provide(Redis.layer(url, { globalKeyprefix })))
      })
  )
})

/** It is the owner of every slot, and says this to everything else. */
const hostile = (port: number, saying: string) =>
  Effect.acquireRelease(
    Effect.callback<{ readonly close: Effect.Effect<void> }>((resume) => {
      const server = createServer((socket) => {
        let text = ""
        socket
          .on("error", () => {})
          .on("data", (chunk) => {
            text += chunk.toString("latin1")
            // A command is an array of strings, none of which holds a line's end here.
            for (;;) {
              const lines = text.split("\r\n")
              const count = Number(lines[0]?.slice(1)) * 2 + 1
              if (lines.length <= count) return
              text = lines.slice(count).join("\r\n")
              const name = lines[2]
              const slots = `*1\r\n*3\r\n:0\r\n:16383\r\n*3\r\n+127.0.0.1\r\n:${port}\r\n+me\r\n`
              if (name === "HELLO") socket.write("%2\r\n+mode\r\n+cluster\r\n+role\r\n+master\r\n")
              else if (name === "CLIENT") socket.write("+OK\r\n")
              else socket.write(name === "CLUSTER" ? slots : `-${saying}\r\n`)
            }
          })
      })
      server.listen({ host: "127.0.0.1", port }, () =>
        resume(Effect.succeed({ close: Effect.sync(() => void server.close()) }))
      )
    }),
    ({ close }) => close
  )

describe("a node that lies", () => {
  it.live("about where a slot has gone is left, and pollutes nothing", () =>
    Effect.gen(function* () {
      const names = () => [Object.prototype, Array.prototype].map((one) => Reflect.ownKeys(one).length)
      const before = names()
      for (const saying of ["MOVED __proto__ __proto__:1", "ASK 0 constructor:prototype", "MOVED 1 :", "MOVED"]) {
        const port = yield* Ports.free
        yield* hostile(port, saying)
        const error = yield* Effect.flip(connect(`redis+cluster://127.0.0.1:${port}`))
        assert.strictEqual(error._tag === "HubError" && error.reason._tag, "ConnectionLost")
        assert.include(error.message, saying)
      }
      assert.deepStrictEqual(names(), before)
    }).pipe(Effect.scoped)
  )
})
