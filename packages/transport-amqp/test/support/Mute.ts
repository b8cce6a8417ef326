/** A wire that can fall silent: both sides stay connected, and neither hears the other any more. */
import { Effect, type Scope } from "effect"
import { type AddressInfo, connect, createServer, type Socket } from "node:net"

export interface Wire {
  readonly port: number
  readonly mute: () => void
}

/** A TCP server that does with each connection as told, for as long as the scope is open; its port. */
export const server = (
  behave: (socket: Socket) => void
): Effect.Effect<{ readonly port: number; readonly close: () => void }, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.callback<{ readonly port: number; readonly close: () => void }>((resume) => {
      const sockets = new Set<Socket>()
      const listening = createServer((socket) => {
        sockets.add(socket)
        socket.on("error", () => {})
        behave(socket)
      })
      listening.listen(0, "127.0.0.1", () => {
        const close = () => {
          for (const socket of sockets) socket.destroy()
          listening.close()
        }
        resume(Effect.succeed({ port: (listening.address() as AddressInfo).port, close }))
      })
    }),
    ({ close }) => Effect.sync(close)
  )

export const proxy = (node: {
  readonly host: string
  readonly port: number
}): Effect.Effect<Wire, never, Scope.Scope> => {
  let muted = false
  return Effect.map(
    server((socket) => {
      const broker = connect(node.port, node.host)
      broker.on("error", () => {})
      // A broker gives up who is silent, too, and nobody hears of that.
      broker.on("close", () => muted || socket.destroy())
      socket.on("close", () => broker.destroy())
      socket.on("data", (bytes) => muted || broker.write(bytes))
      broker.on("data", (bytes) => muted || socket.write(bytes))
    }),
    ({ port }) => ({ port, mute: () => void (muted = true) })
  )
}
