/**
 * Two sockets that are each other's peer, in the memory of this process: what one writes the other reads, in the same pieces. A
 * side that closes its reader is gone; the other reads what was on its way, and then that.
 */
import { isReadonlyArrayNonEmpty, type NonEmptyReadonlyArray } from "effect/Array"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as Socket from "effect/socket/Socket"

/** Octets on their way before a writer waits, as for a socket's buffers. */
const highWater = 1024 * 1024

const closed = () => new Socket.SocketError({ reason: new Socket.SocketCloseError({ code: 1000 }) })
const octets = new TextEncoder()

/** One direction. */
class Half {
  #chunks: Array<Uint8Array> = []
  #size = 0
  #ended = false
  readonly #readable = Latch.makeUnsafe(false)
  readonly #writable = Latch.makeUnsafe(true)

  end(): void {
    this.#ended = true
    this.#readable.openUnsafe()
    this.#writable.openUnsafe()
  }

  readonly pull: Effect.Effect<NonEmptyReadonlyArray<Uint8Array>, Socket.SocketError> = Effect.suspend(() => {
    const taken = this.#chunks
    if (isReadonlyArrayNonEmpty(taken)) {
      this.#chunks = []
      this.#size = 0
      this.#writable.openUnsafe()
      if (!this.#ended) this.#readable.closeUnsafe()
      return Effect.succeed(taken)
    }
    return this.#ended ? Effect.fail(closed()) : Effect.andThen(this.#readable.await, this.pull)
  })

  write(chunks: ReadonlyArray<Uint8Array | string>): Effect.Effect<void, Socket.SocketError> {
    return Effect.andThen(
      this.#writable.await,
      Effect.suspend(() => {
        if (this.#ended) {
          const cause = new Error("the peer has closed the connection")
          return Effect.fail(new Socket.SocketError({ reason: new Socket.SocketWriteError({ cause }) }))
        }
        for (const chunk of chunks) {
          const bytes = typeof chunk === "string" ? octets.encode(chunk) : chunk
          if (bytes.length === 0) continue
          this.#chunks.push(bytes)
          this.#size += bytes.length
        }
        if (this.#chunks.length > 0) this.#readable.openUnsafe()
        if (this.#size >= highWater) this.#writable.closeUnsafe()
        return Effect.void
      })
    )
  }
}

const side = (incoming: Half, outgoing: Half): Socket.Socket =>
  Socket.make({
    reader: Effect.acquireRelease(
      Effect.succeed({
        pull: incoming.pull,
        upgrade: Socket.SocketUpgradeError.unsupported
      }),
      () =>
        Effect.sync(() => {
          incoming.end()
          outgoing.end()
        })
    ),
    writer: Effect.acquireRelease(
      Effect.succeed<Socket.Writer>({
        write: (chunk) => (Socket.isCloseEvent(chunk) ? Effect.sync(() => outgoing.end()) : outgoing.write([chunk])),
        writeAll: (chunks) => outgoing.write(chunks)
      }),
      () => Effect.sync(() => outgoing.end())
    )
  })

export const pair = (): readonly [Socket.Socket, Socket.Socket] => {
  const there = new Half()
  const back = new Half()
  return [side(back, there), side(there, back)]
}
