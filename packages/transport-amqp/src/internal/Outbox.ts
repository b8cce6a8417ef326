/**
 * What goes out: everything that is written in one turn leaves in one `writeAll`. A turn is what runs until the microtasks do: a read, and all who go on by
 * what it brought; or a fiber, until it waits or yields. One outbox belongs to one connection and dies with it, so nothing that was meant for an old link
 * reaches a new one.
 *
 * Writing never waits. Who may write much (publishers) asks `full` before, and is called by `onFlushed` when there is room again.
 */
import type { HubError } from "@apium/hub/HubError"
import { FrameWriter } from "@apium/protocol/amqp/FrameWriter"
import { isReadonlyArrayNonEmpty, type NonEmptyReadonlyArray } from "effect/Array"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Latch from "effect/Latch"
import type { SocketError, Writer } from "effect/socket/Socket"

/** Octets that may wait for the socket before publishers do. */
const highWater = 1024 * 1024

/** Octets of one write: how far a slow peer has come shows only between writes. */
const writeSize = 256 * 1024

const settled = Promise.resolve()

export class Outbox {
  readonly frames = new FrameWriter()
  /** When the write that is under way began, on the monotonic clock; `undefined` while none is. */
  writingSince: number | undefined
  /** When something was sent last. */
  lastSent: number
  /** Writes what it has put off: acknowledgements that are merged. */
  readonly beforeFlush: Array<() => void> = []
  onFlushed: () => void = () => {}
  readonly #now: () => number
  /** There is something to write. */
  #wanted = false
  /** Writes what there is; there while nothing is written. */
  #turn: ((_: void) => void) | undefined
  readonly #empty = Latch.makeUnsafe(true)

  constructor(now: () => number) {
    this.#now = now
    this.lastSent = now()
  }

  get full(): boolean {
    return this.frames.size > highWater
  }

  /** Something was written, or will be by `beforeFlush`. */
  wake(): void {
    if (this.#wanted) return
    this.#wanted = true
    this.#empty.closeUnsafe()
    this.#schedule()
  }

  /** FAST: a microtask, and no turn of the scheduler, which is a `setImmediate`: a request would leave 10 us later. */
  #schedule(): void {
    const turn = this.#turn
    if (turn === undefined) return
    this.#turn = undefined
    void settled.then(turn)
  }

  /** All that was written so far is with the socket. */
  get flushed(): Effect.Effect<void> {
    return this.#empty.await
  }

  /**
   * Runs as long as the connection does. FAST: each write is a fiber of its own, which as a rule ends at once; one that waited for the next would
   * cost a request 5 us more.
   */
  run(writer: Writer, failed: (error: SocketError) => HubError): Effect.Effect<never, HubError> {
    return Effect.contextWith((context: Context.Context<never>) =>
      Effect.callback((resume) => {
        const fork = Effect.runForkWith(context)
        let writing: Fiber.Fiber<void, SocketError> | undefined
        let over = false
        // Nobody hears what a microtask throws, and the link has to.
        const guarded =
          <A>(work: (given: A) => void) =>
          (given: A): void => {
            try {
              work(given)
            } catch (defect) {
              resume(Effect.die(defect))
            }
          }
        const turn = guarded((): void => {
          if (over) return
          this.#wanted = false
          for (const prepare of this.beforeFlush.splice(0)) prepare()
          const chunks = this.frames.take()
          if (!isReadonlyArrayNonEmpty(chunks)) return idle()
          writing = fork(this.#write(writer, chunks))
          const exit = writing.pollUnsafe()
          if (exit === undefined) writing.addObserver(written)
          else written(exit)
        })
        const written = guarded((exit: Exit.Exit<void, SocketError>): void => {
          writing = undefined
          if (Exit.isFailure(exit)) return resume(Effect.mapError(Effect.failCause(exit.cause), failed))
          this.writingSince = undefined
          this.onFlushed()
          idle()
        })
        const idle = (): void => {
          this.#turn = turn
          if (this.#wanted) this.#schedule()
          else this.#empty.openUnsafe()
        }
        idle()
        return Effect.suspend(() => {
          over = true
          this.#turn = undefined
          return writing === undefined ? Effect.void : Fiber.interrupt(writing)
        })
      })
    )
  }

  #write(writer: Writer, chunks: NonEmptyReadonlyArray<Uint8Array>): Effect.Effect<void, SocketError> {
    this.lastSent = this.writingSince = this.#now()
    let size = chunks[0].length
    let end = 1
    while (end < chunks.length && size + chunks[end]!.length <= writeSize) size += chunks[end++]!.length
    if (end === chunks.length) return writer.writeAll(chunks)
    const [now, later] = [chunks.slice(0, end), chunks.slice(end)]
    return Effect.flatMap(writer.writeAll(now as [Uint8Array]), () => this.#write(writer, later as [Uint8Array]))
  }
}
