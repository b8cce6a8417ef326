/** A TCP client that notes what it reads, and how it ends. */
import { Effect, type Scope } from "effect"
import { readFileSync } from "node:fs"
import * as net from "node:net"
import * as tls from "node:tls"

export interface Wire {
  readonly socket: net.Socket
  readonly send: (bytes: string | Uint8Array) => Effect.Effect<void>
  /** What came so far. */
  readonly text: () => string
  readonly bytes: () => Buffer
  /** How many bytes came at once. */
  readonly reads: ReadonlyArray<number>
  /** Waits until so many bytes have come, or the wire ended. */
  readonly until: (bytes: number) => Effect.Effect<string>
  /** `end` for a FIN, or the code of the error. */
  readonly ended: Effect.Effect<string>
}

export const on = (socket: net.Socket): Wire => {
  const chunks: Array<Buffer> = []
  const reads: Array<number> = []
  const waiting = new Set<() => void>()
  let total = 0
  let end: string | undefined
  const changed = () => {
    for (const look of waiting) look()
  }
  const over = (how: string) => {
    end ??= how
    changed()
  }
  socket.on("data", (chunk: Buffer) => {
    chunks.push(chunk)
    reads.push(chunk.length)
    total += chunk.length
    changed()
  })
  socket.on("end", () => over("end"))
  socket.on("error", (error: NodeJS.ErrnoException) => over(error.code ?? error.message))
  socket.on("close", () => over("end"))
  const bytes = () => Buffer.concat(chunks)
  const when = <A>(ready: () => A | undefined): Effect.Effect<A> =>
    Effect.callback((resume) => {
      const look = () => {
        const value = ready()
        if (value === undefined) return
        waiting.delete(look)
        resume(Effect.succeed(value))
      }
      waiting.add(look)
      look()
      return Effect.sync(() => waiting.delete(look))
    })
  return {
    socket,
    send: (bytes) => Effect.sync(() => void socket.write(bytes)),
    text: () => bytes().toString(),
    bytes,
    reads,
    until: (many) => when(() => (end !== undefined || total >= many ? bytes().toString() : undefined)),
    ended: when(() => end)
  }
}

/** Connects, or finds out why not: that is how it ended. */
export const dial = (port: number): Effect.Effect<Wire, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.callback<Wire>((resume) => {
      const socket = net.connect({ host: "127.0.0.1", port, noDelay: true })
      const wire = on(socket)
      socket.once("connect", () => resume(Effect.succeed(wire)))
      socket.once("error", () => resume(Effect.succeed(wire)))
    }),
    ({ socket }) => Effect.sync(() => socket.destroy())
  )

/** TLS; files of PEM, and the system's authorities if there is none. */
export const secure = (
  port: number,
  { ca, certificate, key }: { readonly ca?: string; readonly certificate?: string; readonly key?: string }
): Effect.Effect<Wire, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.callback<Wire>((resume) => {
      const socket = tls.connect({
        host: "127.0.0.1",
        port,
        servername: "localhost",
        ...(ca === undefined ? {} : { ca: readFileSync(ca) }),
        ...(certificate === undefined ? {} : { cert: readFileSync(certificate) }),
        ...(key === undefined ? {} : { key: readFileSync(key) })
      })
      const wire = on(socket)
      socket.once("secureConnect", () => resume(Effect.succeed(wire)))
      socket.once("error", () => resume(Effect.succeed(wire)))
    }),
    ({ socket }) => Effect.sync(() => socket.destroy())
  )
