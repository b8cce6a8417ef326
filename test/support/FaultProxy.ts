/**
 * A TCP proxy that does to connections what networks do: before a broker, and while connections live.
 *
 * ```text
 *   client ══▶ up ══▶ server        each direction has a shape: latency, bandwidth, slices, stall, drop
 *          ◀══ down ◀══             and cuts, which end a connection at a byte
 * ```
 *
 * It listens as long as its scope is open, and at its end no socket is left. Time is real, also under a `TestClock`. A client meets a
 * listening port even when the server is down; its connection is reset then. 1 MiB per direction is held at most, then the sender waits.
 */
import { Deferred, Effect, type Scope } from "effect"
import * as net from "node:net"
import * as Pipe from "./FaultPipe.ts"
import * as Ports from "./Ports.ts"

export type Direction = "up" | "down"

/** How a connection ends: with RST, which may overtake bytes on their way, or with FIN after the last of them. */
export type Ending = "reset" | "close"

export interface Cut {
  readonly direction: Direction
  readonly when: Pipe.Matcher
  readonly how?: Ending
  /** How many connections it ends: 1. */
  readonly times?: number
}

export interface Counts {
  /** Connections since the proxy began. */
  readonly accepted: number
  readonly live: number
  readonly cut: number
  /** Bytes passed on. */
  readonly up: number
  readonly down: number
  /** Bytes thrown away. */
  readonly dropped: number
}

export interface Link {
  readonly id: number
  /** Bytes passed on. */
  readonly up: number
  readonly down: number
  readonly end: (how: Ending) => Effect.Effect<void>
}

export interface FaultProxy {
  readonly host: string
  readonly port: number
  /** Changes what happens to bytes, of live connections and of those to come. */
  readonly shape: (direction: Direction | "both", shape: Partial<Pipe.Shape>) => Effect.Effect<void>
  /** No byte, no FIN and no RST comes through, and new connections get no answer; after `heal`, everything comes late. */
  readonly blackHole: Effect.Effect<void>
  /** New connections are refused. */
  readonly refuse: Effect.Effect<void>
  /** Everything passes again at once; waiting cuts are forgotten. */
  readonly heal: Effect.Effect<void>
  /** Ends a connection at a byte. The inner effect waits until it has ended so many. */
  readonly cut: (cut: Cut) => Effect.Effect<Effect.Effect<void>>
  /** Ends all live connections. How many there were. */
  readonly end: (how: Ending) => Effect.Effect<number>
  readonly links: () => ReadonlyArray<Link>
  readonly counts: () => Counts
  /** Waits until the counts are like this. */
  readonly until: (holds: (counts: Counts) => boolean) => Effect.Effect<void>
}

export interface Target {
  readonly host?: string
  readonly port: number
}

export const make = ({ host = "127.0.0.1", port }: Target): Effect.Effect<FaultProxy, Ports.NoPort, Scope.Scope> =>
  Effect.gen(function* () {
    const own = yield* Ports.free
    const proxy = yield* Effect.acquireRelease(
      Effect.sync(() => proxying({ host, port }, own)),
      ({ close }) => Effect.promise(close)
    )
    yield* proxy.listen
    return proxy.api
  })

interface Connection {
  readonly id: number
  readonly client: net.Socket
  readonly pipes: Record<Direction, Pipe.Pipe> | undefined
  readonly connect: () => void
  readonly end: (how: Ending) => void
}

const proxying = (target: Required<Target>, port: number) => {
  const shapes: Record<Direction, Pipe.Shape> = { up: Pipe.clear, down: Pipe.clear }
  const sockets = new Set<net.Socket>()
  const connections = new Set<Connection>()
  const waiting = new Set<{ readonly holds: (counts: Counts) => boolean; readonly held: Deferred.Deferred<void> }>()
  const cuts = new Map<Pipe.Watch, { readonly happened: Deferred.Deferred<void>; left: number; how: Ending }>()
  const total = { accepted: 0, cut: 0, up: 0, down: 0, dropped: 0 }
  let server: net.Server | undefined

  const counts = (): Counts => ({ ...total, live: connections.size })
  const changed = () => {
    for (const one of waiting) if (one.holds(counts())) Deferred.doneUnsafe(one.held, Effect.void)
  }
  const blackHole = () => shapes.up.stall && shapes.down.stall
  /** Ends that a black hole hides. */
  const hidden = new Set<() => void>()
  const hear = (end: () => void) => void (blackHole() ? hidden.add(end) : end())

  const follow = (socket: net.Socket) => {
    sockets.add(socket.setNoDelay(true))
    socket.once("close", () => sockets.delete(socket))
    return socket
  }

  const accept = (client: net.Socket) => {
    let upstream: net.Socket | undefined
    let pipes: Connection["pipes"]
    const over = () => {
      if (!connections.delete(connection)) return
      pipes?.up.stop()
      pipes?.down.stop()
      changed()
    }
    const end = (how: Ending) => {
      for (const socket of [client, upstream]) if (socket !== undefined) finish(socket, how)
      over()
    }
    const pipe = (direction: Direction, source: net.Socket, sink: net.Socket) =>
      Pipe.make({
        source,
        sink,
        shape: () => shapes[direction],
        passed: (bytes) => {
          total[direction] += bytes
          changed()
        },
        dropped: (bytes) => {
          total.dropped += bytes
          changed()
        },
        watches: () => [...cuts.keys()].filter((watch) => watch.direction === direction),
        // Its bytes are out: this is where the connection ends.
        reached: (watch) => {
          const cut = cuts.get(watch)
          total.cut++
          end(cut?.how ?? watch.how)
          if (cut === undefined || --cut.left > 0) return
          cuts.delete(watch)
          Deferred.doneUnsafe(cut.happened, Effect.void)
        }
      })
    const connection: Connection = {
      id: ++total.accepted,
      client,
      get pipes() {
        return pipes
      },
      connect: () => {
        if (upstream !== undefined || blackHole()) return
        upstream = follow(net.connect({ ...target, allowHalfOpen: true }))
        pipes = { up: pipe("up", client, upstream), down: pipe("down", upstream, client) }
        // A broker that hears nothing gives up, too, and resets what it has not read.
        upstream.on("error", () => hear(() => end("reset"))).once("close", () => hear(() => closed(upstream!)))
      },
      end
    }
    // Whoever is left alone has nobody to talk to; but nobody learns of an end that a black hole hides.
    const closed = (socket: net.Socket) => {
      const other = socket === client ? upstream : client
      if (other !== undefined && !other.destroyed) finish(other, "close")
      over()
    }
    connections.add(connection)
    follow(client.pause())
      .on("error", () => hear(() => end("reset")))
      .once("close", () => hear(() => closed(client)))
    connection.connect()
    changed()
  }

  const apply = Effect.sync(() => {
    if (!blackHole()) {
      for (const end of hidden) end()
      hidden.clear()
    }
    for (const connection of connections) {
      connection.connect()
      connection.pipes?.up.changed()
      connection.pipes?.down.changed()
    }
  })

  const listen = Effect.callback<void>((resume) => {
    if (server !== undefined) return resume(Effect.void)
    server = net.createServer({ allowHalfOpen: true, pauseOnConnect: true }, accept)
    server.once("error", (error) => resume(Effect.die(error)))
    server.listen({ host: "127.0.0.1", port }, () => resume(Effect.void))
  })

  const refuse = Effect.sync(() => {
    server?.close()
    server = undefined
  })

  const shape: FaultProxy["shape"] = (direction, changes) =>
    Effect.suspend(() => {
      if (direction !== "down") shapes.up = { ...shapes.up, ...changes }
      if (direction !== "up") shapes.down = { ...shapes.down, ...changes }
      return apply
    })

  const api: FaultProxy = {
    host: "127.0.0.1",
    port,
    shape,
    blackHole: shape("both", { stall: true }),
    refuse,
    heal: Effect.suspend(() => {
      shapes.up = shapes.down = Pipe.clear
      cuts.clear()
      for (const { pipes } of connections) for (const pipe of [pipes?.up, pipes?.down]) pipe?.hurry()
      return Effect.andThen(apply, listen)
    }),
    cut: ({ direction, when, how = "reset", times = 1 }) =>
      Effect.sync(() => {
        const happened = Deferred.makeUnsafe<void>()
        cuts.set({ direction, when, how }, { happened, left: times, how })
        return Deferred.await(happened)
      }),
    end: (how) =>
      Effect.sync(() => {
        const live = [...connections]
        for (const connection of live) connection.end(how)
        return live.length
      }),
    links: () =>
      [...connections].map(({ id, pipes, end }) => ({
        id,
        up: pipes?.up.passed() ?? 0,
        down: pipes?.down.passed() ?? 0,
        end: (how) => Effect.sync(() => end(how))
      })),
    counts,
    until: (holds) =>
      Effect.suspend(() => {
        if (holds(counts())) return Effect.void
        const one = { holds, held: Deferred.makeUnsafe<void>() }
        waiting.add(one)
        return Effect.ensuring(
          Deferred.await(one.held),
          Effect.sync(() => waiting.delete(one))
        )
      })
  }

  const close = async () => {
    server?.close()
    for (const { pipes } of connections) for (const pipe of [pipes?.up, pipes?.down]) pipe?.stop()
    await Promise.all(
      [...sockets].map(
        (socket) =>
          new Promise<void>((resolve) => {
            // One that was given up before it connected says so to nobody who asks later.
            if (socket.closed) return resolve()
            socket.once("close", () => resolve())
            socket.destroy()
          })
      )
    )
  }

  return { api, listen, close }
}

const finish = (socket: net.Socket, how: Ending) => {
  if (how === "reset") socket.resetAndDestroy()
  else socket.end(() => socket.destroy())
}
