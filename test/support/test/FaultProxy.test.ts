import { assert, describe, it } from "@effect/vitest"
import { Effect, Queue, type Scope } from "effect"
import { readdirSync, readlinkSync } from "node:fs"
import * as net from "node:net"
import * as FaultPipe from "../FaultPipe.ts"
import * as FaultProxy from "../FaultProxy.ts"
import * as Wire from "./Wire.ts"

/** A server that the test plays itself, behind a proxy. */
const scene = Effect.gen(function* () {
  const accepted = yield* Queue.unbounded<Wire.Wire>()
  const server = yield* Effect.acquireRelease(
    Effect.callback<net.Server>((resume) => {
      const server = net.createServer({ noDelay: true }, (socket) => Queue.offerUnsafe(accepted, Wire.on(socket)))
      server.listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
    }),
    (server) => Effect.sync(() => server.close())
  )
  const { port } = server.address() as net.AddressInfo
  const proxy = yield* FaultProxy.make({ port })
  const connect = Effect.gen(function* () {
    const client = yield* Wire.dial(proxy.port)
    const peer = yield* Queue.take(accepted)
    yield* Effect.addFinalizer(() => Effect.sync(() => peer.socket.destroy()))
    return { client, peer }
  })
  return { proxy, connect, port }
})

const test = (name: string, effect: Effect.Effect<void, unknown, Scope.Scope>) =>
  it.effect(name, () => Effect.scoped(effect))

const megabytes = Buffer.alloc(5_000_000, "0123456789")

describe("FaultProxy", () => {
  test(
    "passes bytes and ends of both directions, and counts them",
    Effect.gen(function* () {
      const { proxy, connect } = yield* scene
      const { client, peer } = yield* connect
      yield* client.send(megabytes)
      yield* peer.until(megabytes.length)
      assert.isTrue(peer.bytes().equals(megabytes))
      client.socket.end()
      assert.strictEqual(yield* peer.ended, "end")
      assert.strictEqual(yield* client.ended, "end")
      yield* proxy.until(({ live }) => live === 0)
      assert.deepStrictEqual(proxy.counts(), {
        accepted: 1,
        live: 0,
        cut: 0,
        up: megabytes.length,
        down: 0,
        dropped: 0
      })
    })
  )

  test(
    "keeps bytes back for the latency, and their order",
    Effect.gen(function* () {
      const { proxy, connect } = yield* scene
      const { client, peer } = yield* connect
      yield* proxy.shape("up", { latency: FaultPipe.between(1, 40, 60) })
      const started = performance.now()
      for (let i = 0; i < 10; i++) yield* client.send(`${i}`)
      assert.strictEqual(yield* peer.until(10), "0123456789")
      assert.isAtLeast(performance.now() - started, 39)
    })
  )

  test(
    "passes no more bytes in a second than the bandwidth",
    Effect.gen(function* () {
      const { proxy, connect } = yield* scene
      const { client, peer } = yield* connect
      yield* proxy.shape("down", { bandwidth: 200_000 })
      const started = performance.now()
      yield* peer.send(megabytes.subarray(0, 60_000))
      yield* client.until(60_000)
      // 300 ms, less the first piece, which finds the line free.
      assert.isAtLeast(performance.now() - started, 275)
    })
  )

  test(
    "cuts what it passes into slices, of one byte or as a seed has it",
    Effect.gen(function* () {
      const { proxy, connect } = yield* scene
      const { client, peer } = yield* connect
      yield* proxy.shape("up", { slice: 1 })
      yield* client.send(megabytes.subarray(0, 2_000))
      yield* peer.until(2_000)
      assert.isTrue(peer.bytes().equals(megabytes.subarray(0, 2_000)))
      // Deno reads in a thread of its own, which finds some of them together, as a busy kernel's does.
      assert.isAtLeast(peer.reads.length, "Deno" in globalThis ? 10 : 1_000)
      yield* proxy.shape("down", { slice: FaultPipe.between(7, 1, 9) })
      yield* peer.send(megabytes.subarray(0, 2_000))
      yield* client.until(2_000)
      assert.isTrue(client.bytes().equals(megabytes.subarray(0, 2_000)))
      assert.isAbove(new Set(client.reads).size, 5)
      const [one, other] = [FaultPipe.between(7, 1, 9), FaultPipe.between(7, 1, 9)]
      for (let i = 0; i < 100; i++) assert.strictEqual(one(), other())
    })
  )

  test(
    "resets what lives, or closes it",
    Effect.gen(function* () {
      const { proxy, connect } = yield* scene
      const [one, two] = [yield* connect, yield* connect]
      assert.strictEqual(yield* proxy.end("reset"), 2)
      for (const { client, peer } of [one, two]) {
        assert.strictEqual(yield* client.ended, "ECONNRESET")
        assert.strictEqual(yield* peer.ended, "ECONNRESET")
      }
      const [three, four] = [yield* connect, yield* connect]
      yield* proxy.links()[0]!.end("close")
      assert.strictEqual(yield* three.client.ended, "end")
      assert.strictEqual(yield* three.peer.ended, "end")
      yield* four.client.send("on")
      assert.strictEqual(yield* four.peer.until(2), "on")
    })
  )

  test(
    "reads one direction no more while the other goes on, and everything comes late",
    Effect.gen(function* () {
      const { proxy, connect } = yield* scene
      const { client, peer } = yield* connect
      yield* proxy.shape("up", { stall: true })
      yield* client.send(megabytes)
      yield* client.send(megabytes)
      yield* peer.send("beat")
      assert.strictEqual(yield* client.until(4), "beat")
      // The window is full: the client waits with the rest.
      assert.isAbove(client.socket.writableLength, 0)
      assert.strictEqual(proxy.counts().up, 0)
      yield* proxy.heal
      yield* peer.until(2 * megabytes.length)
      assert.strictEqual(proxy.counts().up, 2 * megabytes.length)
    })
  )

  test(
    "throws away what one direction brings",
    Effect.gen(function* () {
      const { proxy, connect } = yield* scene
      const { client, peer } = yield* connect
      yield* proxy.shape("up", { drop: true })
      yield* client.send("lost")
      yield* proxy.until(({ dropped }) => dropped === 4)
      yield* peer.send("beat")
      assert.strictEqual(yield* client.until(4), "beat")
      yield* proxy.heal
      yield* client.send("found")
      assert.strictEqual(yield* peer.until(5), "found")
    })
  )

  test(
    "is a black hole: no byte and no end comes through, and a new connection gets no answer",
    Effect.gen(function* () {
      const { proxy, connect, port } = yield* scene
      const { client, peer } = yield* connect
      yield* proxy.blackHole
      yield* peer.send("bye")
      peer.socket.end()
      const late = yield* Wire.dial(proxy.port)
      yield* late.send("anyone?")
      yield* proxy.until(({ accepted }) => accepted === 2)
      // Whatever could come through has had the time of a round trip past the proxy.
      yield* Wire.dial(port)
      assert.deepStrictEqual([client.text(), late.text()], ["", ""])
      assert.deepInclude(proxy.counts(), { live: 2, up: 0, down: 0 })
      yield* proxy.heal
      assert.strictEqual(yield* client.until(3), "bye")
      assert.strictEqual(yield* client.ended, "end")
      yield* proxy.until(({ up }) => up === 7)
    })
  )

  test(
    "refuses new connections while those there are go on",
    Effect.gen(function* () {
      const { proxy, connect } = yield* scene
      const { client, peer } = yield* connect
      yield* proxy.refuse
      assert.strictEqual(yield* (yield* Wire.dial(proxy.port)).ended, "ECONNREFUSED")
      yield* client.send("on")
      assert.strictEqual(yield* peer.until(2), "on")
      yield* proxy.heal
      yield* connect
      assert.strictEqual(proxy.counts().accepted, 2)
    })
  )

  test(
    "cuts a connection after a byte, and the next one not",
    Effect.gen(function* () {
      const { proxy, connect } = yield* scene
      const happened = yield* proxy.cut({ direction: "up", when: FaultPipe.after(5) })
      const { client, peer } = yield* connect
      yield* client.send("1234")
      yield* peer.until(4)
      yield* client.send("56789")
      yield* happened
      assert.strictEqual(yield* client.ended, "ECONNRESET")
      assert.strictEqual(yield* peer.ended, "ECONNRESET")
      assert.strictEqual(peer.text(), "12345")
      const next = yield* connect
      yield* next.client.send("123456789")
      assert.strictEqual(yield* next.peer.until(9), "123456789")
    })
  )

  test(
    "cuts a live connection, and others, behind the bytes that it is told to look for",
    Effect.gen(function* () {
      const { proxy, connect } = yield* scene
      const first = yield* connect
      yield* first.peer.send("before the cut was made: stop")
      yield* first.client.until(29)
      const happened = yield* proxy.cut({
        direction: "down",
        when: FaultPipe.seen(Buffer.from("stop")),
        how: "close",
        times: 2
      })
      yield* first.peer.send(" go st")
      yield* first.client.until(35)
      yield* first.peer.send("op and on")
      assert.strictEqual(yield* first.client.ended, "end")
      assert.strictEqual(first.client.text(), "before the cut was made: stop go stop")
      const second = yield* connect
      yield* second.peer.send("stop")
      yield* happened
      assert.strictEqual(proxy.counts().cut, 2)
    })
  )

  it("finds bytes however they are cut into chunks", () => {
    const [text, pattern] = [Buffer.from("aabaabaaab"), Buffer.from("aaab")]
    for (let one = 0; one <= text.length; one++) {
      for (let two = one; two <= text.length; two++) {
        const look = FaultPipe.seen(pattern)()
        let passed = 0
        for (const chunk of [text.subarray(0, one), text.subarray(one, two), text.subarray(two)]) {
          const at = look(chunk)
          passed += at ?? chunk.length
          if (at !== undefined) break
        }
        assert.strictEqual(passed, 10)
      }
    }
    const through = FaultPipe.seen(Buffer.from("b"))()
    assert.deepStrictEqual([through(Buffer.from("aa")), through(Buffer.from("aba"))], [undefined, 2])
  })

  test(
    "resets the connection when the server is not there, and when it goes",
    Effect.gen(function* () {
      const closed = yield* FaultProxy.make({ port: 1 })
      assert.strictEqual(yield* (yield* Wire.dial(closed.port)).ended, "ECONNRESET")
      const { connect } = yield* scene
      const { client, peer } = yield* connect
      peer.socket.resetAndDestroy()
      assert.strictEqual(yield* client.ended, "ECONNRESET")
    })
  )

  it.effect("leaves no socket behind, whatever was going on", () =>
    Effect.gen(function* () {
      const before = sockets()
      yield* Effect.scoped(
        Effect.gen(function* () {
          const { proxy, connect } = yield* scene
          for (const shape of [{ stall: true }, { latency: 60_000 }, { bandwidth: 1 }, { drop: true }, { slice: 1 }]) {
            const { client, peer } = yield* connect
            yield* client.send("x")
            yield* peer.until(1)
            yield* proxy.shape("up", shape)
            yield* client.send(megabytes)
            yield* peer.send(megabytes)
            yield* connect
            yield* proxy.heal
          }
          yield* connect
          yield* proxy.blackHole
          yield* Wire.dial(proxy.port)
          yield* proxy.until(({ accepted }) => accepted === 12)
          assert.isAbove(sockets(), before)
        })
      )
      // The clients and the server of the test are closed by now, or within a few turns of the event loop.
      while (sockets() > before) yield* Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))
    })
  )
})

const sockets = (): number =>
  readdirSync("/proc/self/fd").filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`).startsWith("socket:")
    } catch {
      return false
    }
  }).length
