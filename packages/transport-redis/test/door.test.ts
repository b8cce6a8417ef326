/** What the door says when it does not open. */
import * as net from "node:net"
import { inspect } from "node:util"
import type { HubError } from "@apium/hub/HubError"
import { Transport } from "@apium/hub/Transport"
import * as Redis from "@apium/transport-redis/node"
import * as RedisUri from "@apium/transport-redis/RedisUri"
import { assert, describe, it, layer } from "@effect/vitest"
import { Effect } from "effect"
import * as Ports from "../../../test/support/Ports.ts"
import * as Start from "../../../test/support/Redis.ts"
import { Redis as Server, RedisServer } from "../../../test/support/Redis.ts"
import * as Folder from "../../../test/support/Server.ts"
import * as stores from "./support/stores.ts"

const password = "c4nary/7Q+ü"

const failure = (url: string) =>
  Effect.gen(function* () {
    const { connect } = yield* Transport
    const error = yield* Effect.flip(Effect.scoped(connect))
    assert.notInclude(inspect(error, { depth: 20, showHidden: true }), password)
    assert.notInclude(inspect(error, { depth: 20, showHidden: true }), encodeURIComponent(password))
    return error
  }).pipe(Effect.provide(Redis.layerTransport(url)))

layer(Server.layer({ password, tls: true }), { excludeTestServices: true })("the door", (it) => {
  it.effect("opens with the password, and with TLS that is verified by its authority", () =>
    Effect.gen(function* () {
      const { node, url } = yield* Server
      const { authority, port } = node.tls!
      const secured = url(port).replace("redis:", "rediss:")
      for (const one of [url(), `${secured}?ssl_ca_certs=${authority}`, `${secured}?ssl_cert_reqs=none`]) {
        yield* Effect.scoped(Effect.flatMap(Transport, ({ connect }) => connect)).pipe(
          Effect.provide(Redis.layerTransport(one))
        )
      }
    })
  )

  it.effect("opens through a Unix socket, and with a certificate of its own", () =>
    Effect.gen(function* () {
      const { node } = yield* Server
      const { authority, client, port } = node.tls!
      const login = `:${encodeURIComponent(password)}@`
      const own = `ssl_ca_certs=${authority}&ssl_certfile=${client.certificate}&ssl_keyfile=${client.key}`
      const folder = yield* Folder.folder
      const socket = yield* Start.start({ password, config: ["--unixsocket", `${folder}/redis.sock`] })
      for (const url of [
        `rediss://${login}127.0.0.1:${port}/3?${own}`,
        `rediss://${login}localhost:${port}/3?${own}`,
        `redis+socket://${login}${folder}/redis.sock?virtual_host=3`
      ]) {
        const { database, redis } = yield* Redis.open(RedisUri.parseUnsafe(url))
        assert.strictEqual(database, 3)
        yield* redis.send("SET", "key", url)
      }
      assert.include(yield* Start.access(socket.node, 3).command("GET", "key"), "redis+socket")
      const empty = yield* failure(
        `rediss://${login}127.0.0.1:${port}?ssl_ca_certs=${authority}&ssl_certfile=${client.key}`
      )
      assert.strictEqual(empty.reason._tag, "TlsFailed")
      assert.include(empty.message, "holds no certificate")
    })
  )

  it.effect("opens the next of a list when one cannot be reached, and not when one refuses the password", () =>
    Effect.gen(function* () {
      const { url } = yield* Server
      const nobody = yield* Ports.free
      const list = Redis.open(RedisUri.parseUnsafe(`redis://127.0.0.1:${nobody};${url()}`))
      // The second time it begins with the one that was there.
      for (const _ of [1, 2]) {
        const { lost, redis } = yield* list
        // Whoever was tried before it is forgotten.
        const ended = yield* Effect.forkChild(Effect.exit(lost))
        assert.strictEqual(yield* redis.send("PING"), "PONG")
        assert.isUndefined(ended.pollUnsafe())
      }
      const refused = yield* failure(`${url().replace("@", "x@")};${url()}`)
      assert.strictEqual(refused.reason._tag, "AccessRefused")
      const none = yield* failure(`redis://127.0.0.1:${nobody};redis://127.0.0.1:${nobody}/1`)
      assert.deepStrictEqual([none.reason._tag, none.recoverable], ["ConnectionLost", true])
    })
  )

  it.effect(
    "says what is wrong with a certificate, a password, a database and an address, and that no retry helps",
    () =>
      Effect.gen(function* () {
        const { node, url } = yield* Server
        const secured = url(node.tls!.port).replace("redis:", "rediss:")
        const untrusted = yield* failure(secured)
        assert.strictEqual(untrusted.reason._tag, "TlsFailed")
        assert.strictEqual((yield* failure(`${secured}?ssl_ca_certs=/nowhere.pem`)).reason._tag, "TlsFailed")
        const wrong = yield* failure(url().replace("@", "x@"))
        assert.strictEqual(wrong.reason._tag, "AccessRefused")
        const without = yield* failure(`redis://127.0.0.1:${node.port}/0`)
        assert.strictEqual(without.reason._tag, "AccessRefused")
        const beyond = yield* failure(`${url().slice(0, -1)}99999`)
        assert.strictEqual(beyond.reason._tag, "VhostNotFound")
        for (const error of [untrusted, wrong, without, beyond]) assert.isFalse(error.recoverable)
      })
  )

  it.effect("says where nobody listens, and who does not answer", () =>
    Effect.gen(function* () {
      const server = yield* RedisServer
      const { url } = yield* Server
      const port = yield* Ports.free
      const { message, reason, recoverable } = yield* failure(url(port))
      assert.deepStrictEqual([reason._tag, recoverable], ["ConnectionLost", true])
      assert.include(message, `127.0.0.1:${port}`)
      yield* server.freeze
      const silent = yield* failure(url()).pipe(Effect.ensuring(server.thaw))
      assert.deepStrictEqual([silent.reason._tag, silent.recoverable], ["ConnectionLost", true])
      assert.include(silent.message, "no answer within 5000 ms")
    })
  )

  it.effect("does not take it for a server's silence when its own process stood still", () =>
    Effect.gen(function* () {
      const { url } = yield* Server
      // Behind the first packet, and before anything can be read.
      setTimeout(() => {
        const until = performance.now() + 5500
        while (performance.now() < until);
      })
      yield* Effect.scoped(Effect.flatMap(Transport, ({ connect }) => connect)).pipe(
        Effect.provide(Redis.layerTransport(url()))
      )
    })
  )
})

/** Logs everybody in, and says nothing to the first command behind that. */
const silent = Effect.acquireRelease(
  Effect.promise(async () => {
    const sockets = new Set<net.Socket>()
    const server = net.createServer((socket) => {
      sockets.add(socket)
      socket.on("error", () => {})
      socket.on("data", (data) => {
        for (const command of data.toString().split(/(?=\*\d+\r\n)/)) {
          if (!command.includes("OFF")) socket.write(command.includes("HELLO") ? "%0\r\n" : "+OK\r\n")
        }
      })
    })
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
    return { server, sockets }
  }),
  ({ server, sockets }) =>
    Effect.sync(() => {
      for (const socket of sockets) socket.destroy()
      server.close()
    })
)

describe("a server that falls silent behind the login", () => {
  it.live("is waited for no longer than one that says nothing at all", () =>
    Effect.gen(function* () {
      const { server } = yield* silent
      const { port } = server.address() as net.AddressInfo
      const { message, recoverable } = yield* failure(`redis://127.0.0.1:${port}`)
      assert.include(message, "no answer within 5000 ms")
      assert.isTrue(recoverable)
    })
  )
})

layer(Server.shared, { excludeTestServices: true })("a key that is something else", (it) => {
  it.effect("refuses what is asked of its queue, and the link lives on", () =>
    Effect.gen(function* () {
      const server = yield* Server
      yield* server.command("SET", "text", "is no list")
      const { store } = yield* stores.open(server.url())
      const refused: ReadonlyArray<Effect.Effect<unknown, HubError>> = [
        store.put("text", [stores.put("m", "text")]),
        store.take(["text"], 1),
        store.size("text"),
        // Who waits is woken, and asks.
        Effect.andThen(store.ready(["text"]), store.take(["text"], 1))
      ]
      for (const request of refused) {
        const { reason } = yield* Effect.flip(request)
        assert.strictEqual(reason._tag, "ChannelClosed")
        assert.include(reason.message, "WRONGTYPE")
      }
      // What was taken before it is not lost with it.
      yield* store.put("list", [stores.put("before", "list")])
      const taken = yield* store.take(["list", "text"], 2)
      assert.deepStrictEqual(taken.map(stores.text), ["before"])
      yield* store.settle(taken.map(({ tag }) => tag))
      yield* store.put("list", [stores.put("m", "list")])
      yield* store.settle((yield* store.take(["list"], 1)).map(({ tag }) => tag))
    })
  )
})
