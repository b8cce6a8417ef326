/**
 * Ports for the servers of a test. They are below 32768, where Linux takes the ports of outgoing connections from: none of those
 * can take one between the check and the start, or while a server is down.
 *
 * Test files run in many processes at once, so a port is also reserved: its owner listens on another one, as far above it as there are
 * ports to give away. The kernel lets go of that when the process dies, however it dies.
 */
import { Data, Effect, type Scope } from "effect"
import { createServer, type Server } from "node:net"

const lowest = 20_000
const many = 6_000
const attempts = 200

export class NoPort extends Data.TaggedError("NoPort")<{ readonly message: string }> {}

/** Free now, and nobody else's until the scope closes. */
export const free: Effect.Effect<number, NoPort, Scope.Scope> = Effect.map(
  Effect.acquireRelease(
    Effect.filterOrFail(
      Effect.promise(() => reserve(attempts)),
      (reserved) => reserved !== undefined,
      () => new NoPort({ message })
    ),
    ({ held }) => Effect.promise(() => close(held))
  ),
  ({ port }) => port
)

const message = `No free port from ${lowest} to ${lowest + many - 1} in ${attempts} attempts: who holds them?`

const reserve = async (left: number): Promise<{ readonly port: number; readonly held: Server } | undefined> => {
  if (left === 0) return undefined
  const port = lowest + Math.floor(Math.random() * many)
  const held = await listen("127.0.0.1", port + many)
  if (held !== undefined) {
    // Everywhere: RabbitMQ looks there before it listens on one address.
    const probe = await listen("0.0.0.0", port)
    if (probe !== undefined) {
      await close(probe)
      return { port, held: held.unref() }
    }
    await close(held)
  }
  return reserve(left - 1)
}

/** Nothing when somebody else does. */
const listen = (host: string, port: number): Promise<Server | undefined> =>
  new Promise((resolve) => {
    const server = createServer((socket) => socket.destroy())
    server.once("error", () => resolve(undefined))
    server.listen({ host, port }, () => resolve(server))
  })

const close = (server: Server): Promise<void> => new Promise((resolve) => server.close(() => resolve()))
