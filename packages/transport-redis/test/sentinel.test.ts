/** Redis behind Sentinel: the master of the moment is found, and found again (RELIABILITY D6, D7). */
import { writeFileSync } from "node:fs"
import { inspect } from "node:util"
import { Transport } from "@apium/hub/Transport"
import * as Redis from "@apium/transport-redis/node"
import * as RedisUri from "@apium/transport-redis/RedisUri"
import { assert, layer } from "@effect/vitest"
import { Effect, Fiber, Layer, Redacted } from "effect"
import * as Figures from "../../../test/support/Figures.ts"
import * as Ports from "../../../test/support/Ports.ts"
import * as Server from "../../../test/support/Redis.ts"
import { masterName, RedisSentinel } from "../../../test/support/RedisSentinel.ts"
import * as Process from "../../../test/support/Server.ts"
import * as stores from "./support/stores.ts"
import * as traffic from "./support/traffic.ts"

const acl = { worker: "c4nary/7Q+ü", guide: "gu1de c4nary" }
const login = `worker:${encodeURIComponent(acl.worker)}@`
const options = { masterName, sentinelKwargs: { username: "guide", password: Redacted.make(acl.guide) } }

const failure = (url: string, some: Redis.TransportOptions = options) =>
  Effect.gen(function* () {
    const { connect } = yield* Transport
    const error = yield* Effect.flip(Effect.scoped(connect))
    const shown = inspect(error, { depth: 20, showHidden: true })
    for (const secret of [...Object.values(acl), encodeURIComponent(acl.worker)]) assert.notInclude(shown, secret)
    return error
  }).pipe(Effect.provide(Redis.layerTransport(url, some)))

// A master that is only held up, as on a busy machine, is not to be down for them: what it acknowledges then is lost.
layer(RedisSentinel.layer({ acl, downAfter: 3000 }), { excludeTestServices: true })("sentinels", (it) => {
  it.effect(
    "are asked in turn, each with its own login, and one that is down, hangs, knows nothing or is none is passed over",
    () =>
      Effect.gen(function* () {
        const { sentinels, servers, url } = yield* RedisSentinel
        const [first, second] = sentinels
        const at = ({ node }: { readonly node: Server.Node }) => `sentinel://${login}127.0.0.1:${node.port}`
        const nobody = `sentinel://${login}127.0.0.1:${yield* Ports.free}`
        for (const one of [url(login), `${nobody};${at(second!)}`, `${at(servers[0]!)};${at(second!)}`]) {
          const { redis } = yield* Redis.open(RedisUri.parseUnsafe(one, options))
          assert.strictEqual(yield* redis.send("ACL", "WHOAMI"), "worker")
        }
        yield* first!.server.freeze
        const frozen = RedisUri.parseUnsafe(`${at(first!)};${at(second!)}`, options)
        const took = yield* Figures.timed(Effect.scoped(Redis.open(frozen))).pipe(Effect.ensuring(first!.server.thaw))
        assert.isBelow(took, 5000 + Figures.slack)
        yield* Figures.print(`D7 a sentinel that hangs is passed over in ${Math.round(took)} ms`)
      })
  )

  it.effect(
    "that do not help are quoted one by one: who is down, who does not know the name, who refuses the password",
    () =>
      Effect.gen(function* () {
        const { sentinels, servers, url } = yield* RedisSentinel
        const ports = sentinels.map(({ node }) => node.port)
        const nobody = yield* Ports.free
        const unknown = yield* failure(`${url(login)};sentinel://127.0.0.1:${nobody}`, {
          ...options,
          masterName: "other"
        })
        assert.deepStrictEqual([unknown.reason._tag, unknown.recoverable], ["ConnectionLost", true])
        for (const port of ports) assert.include(unknown.message, `127.0.0.1:${port}: it knows no master "other"`)
        assert.include(unknown.message, `127.0.0.1:${nobody}: connect ECONNREFUSED`)

        const wrong = { username: "guide", password: Redacted.make("wrong") }
        const guide = yield* failure(url(login), { masterName, sentinelKwargs: wrong })
        assert.deepStrictEqual([guide.reason._tag, guide.recoverable], ["AccessRefused", false])
        assert.include(guide.message, `127.0.0.1:${ports[0]}: WRONGPASS`)

        // The sentinels' password is not sent to the master, nor the master's to the sentinels (kombu#2426).
        const worker = yield* failure(url("worker:wrong@"))
        assert.deepStrictEqual([worker.reason._tag, worker.recoverable], ["AccessRefused", false])
        assert.strictEqual((yield* failure(url(login), { masterName })).reason._tag, "AccessRefused")

        const none = yield* failure(`sentinel://${login}127.0.0.1:${servers[0]!.node.port}`, {
          masterName,
          sentinelKwargs: { username: "worker", password: Redacted.make(acl.worker) }
        })
        assert.deepStrictEqual([none.reason._tag, none.recoverable], ["ProtocolMismatch", false])
      })
  )

  it.effect(
    "that make a replica the master are followed: publishing and consuming go on two seconds later at the latest",
    () =>
      Effect.gen(function* () {
        const { master, servers, url } = yield* RedisSentinel
        yield* Effect.gen(function* () {
          const { end, more, refused } = yield* traffic.begin("failover", 2, "10 seconds")
          const [failovers, again]: [Array<number>, Array<number>] = [[], []]
          for (let kill = 0; kill < Figures.times(1, 2, 3); kill++) {
            yield* more
            const { server } = yield* master
            yield* server.kill
            failovers.push(yield* Figures.timed(master))
            again.push(yield* Figures.timed(more))
            // It comes back as a replica, for the next time.
            yield* server.start
            for (const one of servers) yield* stores.until(linked(one))
          }
          const { dup, lost, n } = yield* end
          yield* Figures.print(
            `D7 kills=${failovers.length} lost=${lost.length} (acknowledged, and not replicated) dup=${dup} n=${n} failed=${refused.length} failover p50/p95/max=${Figures.spread(failovers)} ms, consuming again ${Figures.spread(again)} ms after it`
          )
          // Replication is not waited for: what a master says in its last moments may be its own secret (min-replicas-to-write bounds the time).
          assert.isAtMost(lost.length, 5 * failovers.length)
          assert.isBelow(Math.max(...again), 2000 + Figures.slack)
        }).pipe(Effect.provide(Redis.layer(url(login), options)))
      })
  )
})

/** Not yet, of a server that cuts who asks: a sentinel that makes it a replica kills its clients in the same transaction. */
const linked = (one: Server.Access, wanted?: "master" | "slave") =>
  Effect.map(
    Effect.orElseSucceed(one.command("ROLE"), () => []),
    (role) => connected(role) && (wanted === undefined || (role as ReadonlyArray<unknown>)[0] === wanted)
  )

/** A master that has its replica, or a replica that has its master. */
const connected = (role: unknown): boolean => {
  const [name, second, third, link] = role as ReadonlyArray<unknown>
  return name === "master" ? Array.isArray(third) && third.length > 0 : second !== undefined && link === "connected"
}

const pair = Effect.gen(function* () {
  const start = Server.start({ config: ["--repl-diskless-sync-delay", "0"] })
  const nodes = yield* Effect.all([start, start], { concurrency: 2 })
  const [first, second] = nodes.map(({ node }) => Server.access(node, 0)) as [Server.Access, Server.Access]
  yield* second.command("REPLICAOF", first.node.host, first.node.port)
  for (const one of [first, second]) yield* stores.until(linked(one))
  return [first, second] as const
})

layer(Layer.empty, { excludeTestServices: true })("a master that becomes a replica while somebody waits", (it) => {
  it.effect("is left for the new one, which the list of servers names, within five seconds", () =>
    Effect.gen(function* () {
      const [first, second] = yield* pair
      yield* Effect.gen(function* () {
        const { end, more, refused } = yield* traffic.begin("demoted", 1)
        const took: Array<number> = []
        let [master, replica] = [first, second]
        for (let turn = 0; turn < Figures.times(2, 4, 10); turn++) {
          yield* more
          // Writes wait until the replica has them all.
          yield* master.command("FAILOVER")
          took.push(yield* Figures.timed(more))
          // More may have come before it was done.
          yield* stores.until(linked(replica, "master"))
          yield* stores.until(linked(master, "slave"))
          ;[master, replica] = [replica, master]
        }
        const { dup, lost, n } = yield* end
        yield* Figures.print(
          `D6 demotions=${took.length} lost=${lost.length} dup=${dup} n=${n} failed=${refused.length} consuming again p50/p95/max=${Figures.spread(took)} ms`
        )
        assert.deepStrictEqual([lost, refused], [[], []])
        assert.isBelow(Math.max(...took), 5000 + Figures.slack)
      }).pipe(Effect.provide(Redis.layer(`${first.url()};${second.url()}`)))
    }).pipe(Effect.scoped)
  )

  it.effect("is left by who only waits, as soon as there is something for him", () =>
    Effect.gen(function* () {
      const [first, second] = yield* pair
      const { closed, store } = yield* stores.open(`${first.url()};${second.url()}`)
      const consuming = Effect.forever(Effect.andThen(store.ready(["wanted"]), store.take(["wanted"], 1)))
      const told = yield* Effect.forkChild(Effect.flip(Effect.raceFirst(closed, consuming)))
      yield* second.command("REPLICAOF", "NO", "ONE")
      yield* first.command("REPLICAOF", second.node.host, second.node.port)
      yield* second.command("LPUSH", "wanted", "anything")
      const took = yield* Figures.timed(Fiber.join(told))
      yield* Figures.print(`D6 who waits on a master that was demoted is told in ${Math.round(took)} ms`)
      assert.isBelow(took, 5000 + Figures.slack)
    }).pipe(Effect.scoped)
  )
})

layer(Layer.empty, { excludeTestServices: true })("sentinels over TLS", (it) => {
  it.effect("are verified by their own authority, and the master that they name by its own", () =>
    Effect.gen(function* () {
      const { node } = yield* Server.start({ tls: true, password: acl.worker })
      const { authority, port: masterPort, server: certificate } = node.tls!
      const folder = yield* Process.folder
      const port = yield* Ports.free
      const config = [
        `port 0\ntls-port ${port}\nbind 127.0.0.1\ndir ${folder}\ntls-replication yes\ntls-auth-clients no`,
        `tls-ca-cert-file ${authority}\ntls-cert-file ${certificate.certificate}\ntls-key-file ${certificate.key}`,
        `sentinel monitor ${masterName} 127.0.0.1 ${masterPort} 1`,
        `sentinel auth-pass ${masterName} "${acl.worker}"\n`
      ]
      writeFileSync(`${folder}/sentinel.conf`, config.join("\n"))
      yield* Process.start({
        command: ["redis-server", `${folder}/sentinel.conf`, "--sentinel"],
        ready: "+monitor master"
      })
      const url = `sentinel://:${encodeURIComponent(acl.worker)}@127.0.0.1:${port}`
      const tls = { caCerts: authority }
      const secured = { masterName, sentinelKwargs: { tls } }
      const { redis } = yield* Redis.open(RedisUri.parseUnsafe(`${url}?ssl_ca_certs=${authority}`, secured))
      assert.strictEqual(yield* redis.send("PING"), "PONG")
      // Of the sentinel, then of the master; and a sentinel that is spoken to in plain.
      const untrusted = yield* failure(`${url}?ssl_ca_certs=${authority}`, {
        masterName,
        sentinelKwargs: { tls: {} }
      })
      assert.strictEqual(untrusted.reason._tag, "TlsFailed")
      assert.strictEqual((yield* failure(`${url}?ssl_cert_reqs=required`, secured)).reason._tag, "TlsFailed")
      const plain = yield* failure(`${url}?ssl_ca_certs=${authority}`, { masterName })
      assert.strictEqual(plain.reason._tag, "ConnectionLost")
    }).pipe(Effect.scoped)
  )
})
