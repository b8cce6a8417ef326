/**
 * One connection to listen with, for all links of a layer: it opens with the first of them that listens and closes behind the last.
 * What is published while it is away is heard by nobody: when it dies, every link that used it is lost, and the next one opens another.
 *
 * It is not the connection for commands, where RESP 3 would let it be heard too: Redis cuts whoever listens to anything when 32 MB of
 * answers wait for him (`client-output-buffer-limit pubsub`), and an answer to a command may be larger than that.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as errors from "../internal/errors.ts"
import type { Heard, RedisLink } from "../RedisStore.ts"
import { nameOf } from "../RedisUri.ts"
import { Channels } from "./Channels.ts"
import { attempt, type Client, Clients, type Server } from "./client.ts"

export interface Subscriber {
  /**
   * The connection to this server, for as long as the scope lives, at the end of which everything is unsubscribed. Whoever listens
   * waits for it; `gone` is called when it is lost.
   */
  readonly join: (
    server: Server,
    gone: (cause: unknown) => void
  ) => Effect.Effect<Pick<RedisLink, "listen" | "subscribe" | "unsubscribe">, never, Scope.Scope>
}

export const make = (): Subscriber => {
  let current: Listener | undefined
  return {
    join: (server, gone) =>
      Effect.map(
        Effect.acquireRelease(
          Effect.sync(() => {
            if (current?.serves(server) !== true) current = new Listener(server)
            current.users.add(gone)
            const mine: Mine = new Map()
            return { listener: current, mine }
          }),
          ({ listener, mine }) =>
            Effect.sync(() => {
              listener.users.delete(gone)
              if (listener.users.size === 0) listener.end(new Error("nobody listens any more"))
              else for (const [heard, names] of mine) listener.channels.leave([...names], heard)
            })
        ),
        ({ listener, mine }) => view(listener, mine)
      )
  }
}

/** What one link subscribed to. */
type Mine = Map<Heard, Set<string>>

const view = (
  { channels, patterns }: Listener,
  mine: Mine
): Pick<RedisLink, "listen" | "subscribe" | "unsubscribe"> => ({
  listen: (pattern, heard) =>
    Effect.suspend(() => {
      const own: Heard = (text) => heard(text)
      return Effect.andThen(
        Effect.addFinalizer(() => Effect.sync(() => patterns.leave([pattern], own))),
        attempt(() => patterns.join([pattern], own))
      )
    }),
  subscribe: (names, heard) =>
    attempt(() => {
      const known = mine.get(heard) ?? new Set<string>()
      mine.set(heard, known)
      for (const name of names) known.add(name)
      return channels.join(names, heard)
    }),
  unsubscribe: (names, heard) =>
    Effect.sync(() => {
      const known = mine.get(heard)
      for (const name of names) known?.delete(name)
      if (known?.size === 0) mine.delete(heard)
      channels.leave(names, heard)
    })
})

/** In milliseconds: how often it is asked whether it lives, and how long the answer may take. */
const every = 1000
const grace = 2000

class Listener {
  /** Told when it is lost. */
  readonly users = new Set<(cause: unknown) => void>()
  readonly channels: Channels
  readonly patterns: Channels
  readonly #server: Server
  readonly #clients = new Clients()
  #over = false
  #timer: ReturnType<typeof setTimeout> | undefined

  constructor(server: Server) {
    this.#server = server
    const client = this.#clients.connect(server, (cause) => this.end(cause))
    client.then(
      (client) => this.#ask(client),
      (cause: unknown) => this.end(cause)
    )
    const hear = (text: string, channel: string): void => this.channels.hear(channel, text, channel)
    this.channels = new Channels({
      open: async (names) => (await client).subscribe([...names], hear),
      close: async (names) => (await client).unsubscribe([...names], hear)
    })
    /** node-redis says the channel, and not by which pattern. */
    const hears = new Map<string, Heard>()
    this.patterns = new Channels({
      open: async (names) => {
        const open = await client
        return Promise.all(
          names.map((name) => {
            const hear: Heard = (text, channel) => this.patterns.hear(name, text, channel)
            hears.set(name, hear)
            return open.pSubscribe(name, hear)
          })
        )
      },
      close: async (names) => {
        const open = await client
        return Promise.all(
          names.map((name) => {
            const hear = hears.get(name)!
            hears.delete(name)
            return open.pUnsubscribe(name, hear)
          })
        )
      }
    })
  }

  serves(server: Server): boolean {
    return !this.#over && nameOf(server.address) === nameOf(this.#server.address)
  }

  end(cause: unknown): void {
    if (this.#over) return
    this.#over = true
    clearTimeout(this.#timer)
    this.#clients.cut()
    for (const gone of this.users) gone(cause)
  }

  /** Nobody may publish for hours: a connection into nothing looks the same. */
  #ask(client: Client): void {
    if (this.#over) return
    this.#timer = setTimeout(() => {
      this.#timer = setTimeout(() => this.end(new Error(`the subscriber had no answer within ${grace} ms`)), grace)
      const answered = (): void => {
        clearTimeout(this.#timer)
        this.#ask(client)
      }
      client
        .sendCommand(["PING"])
        .then(answered, (cause: unknown) => (errors.isLater(errors.textOf(cause)) ? answered() : this.end(cause)))
    }, every)
  }
}
