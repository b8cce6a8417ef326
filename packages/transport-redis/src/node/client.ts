/** Clients of node-redis, of which none reconnects by itself: what a link was used for is not true of the next one. */
import * as Effect from "effect/Effect"
import * as Redis from "effect/persistence/Redis"
import * as Redacted from "effect/Redacted"
import { isIP } from "node:net"
import { RedisClient } from "@redis/client"
import type { Address } from "../RedisUri.ts"
import * as errors from "../internal/errors.ts"
import type { RedisLink } from "../RedisStore.ts"

/** One server, and how to be let in. */
export interface Server {
  readonly address: Address
  readonly username: string | undefined
  readonly password: Redacted.Redacted | undefined
  readonly database: number
  readonly tls: Tls | undefined
}

/** With what is in the URL's files. */
export interface Tls {
  readonly verify: boolean
  readonly checkHostname: boolean
  readonly ca: string | undefined
  readonly cert: string | undefined
  readonly key: string | undefined
}

/** In milliseconds, from the first packet to the answer to the login: a Redis that hangs takes packets. */
const patience = 5000

/**
 * Time in which the server could have been heard, in twenty parts: a process that stood still for seconds itself (it loads modules, or the
 * machine is held up) counts those as one of them, and then reads first what came meanwhile. Returns how to end it.
 */
const patiently = (within: number, over: (cause: Error) => void): (() => void) => {
  let left = 20
  const timer = setInterval(() => {
    if (--left === 0) over(new Error(`no answer within ${within} ms`))
  }, within / left)
  return () => clearInterval(timer)
}

export type Client = ReturnType<typeof make>

/**
 * Without node-redis' methods, one for each command of Redis, which `createClient` makes anew (800 of them, twice, in 30 ms) whenever the options
 * differ from those of the client before: here each command is sent by its name.
 */
const make = ({ address, database, password, tls, username }: Server, within: number, tracking: boolean) =>
  new RedisClient({
    // RESP 2 is what every Redis knows.
    RESP: tracking ? 3 : 2,
    emitInvalidate: tracking,
    // A client that Redis Enterprise tells to move would go on elsewhere, where nothing is tracked for it; the lost link is noticed.
    maintNotifications: "disabled",
    database,
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password: Redacted.value(password) }),
    disableOfflineQueue: true,
    socket: {
      // By the clock, and so beyond `patiently`: for sockets on their way to where nobody answers, which `destroy` does not reach.
      connectTimeout: 3 * within,
      reconnectStrategy: false,
      ...("path" in address
        ? { path: address.path, tls: false as const }
        : {
            ...address,
            ...(tls === undefined
              ? {}
              : // An address is no name to ask for (RFC 6066).
                {
                  tls: true,
                  servername: isIP(address.host) === 0 ? address.host : "",
                  rejectUnauthorized: tls.verify,
                  ...(tls.checkHostname ? {} : { checkServerIdentity: () => undefined }),
                  ...(tls.ca === undefined ? {} : { ca: tls.ca }),
                  ...(tls.cert === undefined ? {} : { cert: tls.cert }),
                  ...(tls.key === undefined ? {} : { key: tls.key })
                })
          })
    }
  })

/** What the client promises. */
export const attempt = <A>(work: () => Promise<A>): Effect.Effect<A, Redis.RedisError> =>
  Effect.tryPromise({ try: work, catch: (cause) => new Redis.RedisError({ cause }) })

/** Runs commands; what they reply is not looked into. */
export const sendWith =
  (client: Client): Redis.Redis["Service"]["send"] =>
  <A>(command: string, ...args: ReadonlyArray<string>) =>
    attempt(() => client.sendCommand<A>([command, ...args]))

/** What a Redis before version 6 says to HELLO 3, and any to a user who may not do CLIENT TRACKING. */
const untold = /^(?:ERR unknown|ERR syntax|ERR wrong number|NOPERM|NOPROTO)/

/** `RedisLink.track`, of a client that was connected for it. */
export const trackWith = (client: Client): RedisLink["track"] =>
  client.options.emitInvalidate !== true
    ? undefined
    : (changed) =>
        Effect.suspend(() => {
          client.on("invalidate", (key: { toString(): string } | null) =>
            changed(key === null ? undefined : key.toString())
          )
          // Who falls silent here is found out by those who watch the link.
          return Effect.match(
            Effect.timeout(sendWith(client)("CLIENT", "TRACKING", "ON", "OPTIN", "NOLOOP"), patience),
            {
              onFailure: () => undefined,
              onSuccess: () => (keys) =>
                attempt(async () => {
                  // Of the next command, so both are sent before anybody else can send.
                  const caching = client.sendCommand(["CLIENT", "CACHING", "YES"])
                  const [count] = await Promise.all([client.sendCommand<number>(["EXISTS", ...keys]), caching])
                  return count
                })
            }
          )
        })

/** Clients that end together, those on their way included: a link that is cut leaves none behind. */
export class Clients {
  /** How to end the wait for them: a client that is destroyed in the middle of its login never says so. */
  readonly #open = new Map<Client, (cause: unknown) => void>()
  #over = false

  /** Logged in, and able to be told of changes where the server can and lets us ({@link trackWith}). `gone` as below. */
  async connectTracking(server: Server, gone: (cause: unknown) => void, within: number = patience): Promise<Client> {
    let open = false
    let client: Client | undefined
    try {
      client = await this.connect(server, (cause) => (open ? gone(cause) : undefined), within, true)
      // Until somebody asks for it: the client begins by itself, and whoever reads results wants none of it.
      await this.#within(client, within, client.sendCommand(["CLIENT", "TRACKING", "OFF"]))
      open = true
      return client
    } catch (cause) {
      if (client !== undefined) this.destroy(client, cause)
      if (!untold.test(errors.textOf(cause))) throw cause
      return this.connect(server, gone, within)
    }
  }

  /** A server that falls silent is not waited for. */
  async #within<A>(client: Client, within: number, work: Promise<A>): Promise<A> {
    let silent: Error | undefined
    const answered = patiently(within, (cause) => this.destroy(client, (silent = cause)))
    try {
      return await work
    } catch (cause) {
      throw silent ?? cause
    } finally {
      answered()
    }
  }

  /** Logged in. `gone` is called when it is closed or fails, whoever did it, and may be called again. */
  async connect(
    server: Server,
    gone: (cause: unknown) => void,
    within: number = patience,
    tracking = false
  ): Promise<Client> {
    if (this.#over) throw closed()
    const client = make(server, within, tracking)
    let failure: unknown
    // An `error` nobody listens to would end the process.
    client.on("error", (cause) => {
      // The first says what it was: the answer of a peer that is no Redis comes before its end.
      failure ??= cause
      gone(cause)
    })
    client.on("end", () => gone(failure ?? new Error("the connection was closed")))
    const destroyed = new Promise<never>((_, reject) => void this.#open.set(client, reject))
    const answered = patiently(within, (cause) => this.destroy(client, cause))
    try {
      await Promise.race([client.connect(), destroyed])
      this.#open.set(client, () => {})
      return client
    } catch (cause) {
      this.destroy(client, cause)
      throw failure ?? cause
    } finally {
      answered()
    }
  }

  destroy(client: Client, cause: unknown): void {
    this.#open.get(client)?.(cause)
    this.#open.delete(client)
    if (client.isOpen) client.destroy()
  }

  /** Ends them all; none can be opened any more. */
  cut(): void {
    this.#over = true
    for (const client of this.#open.keys()) this.destroy(client, closed())
  }
}

export const closed = (): Error => new Error("the link was closed")
