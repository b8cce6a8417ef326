/**
 * One server is found, and one plain connection is made to it:
 *
 * ```text
 *   Server     the URL's own
 *   Sentinel   sentinels are asked in turn for their master
 *   Cluster    nodes are asked in turn for the owner of the hash tag's slot
 * ```
 *
 * Whoever is down, or wrong, is passed over. The next search begins with who was right last; when nobody was, the error says what each of them
 * said. Nothing is learned from MOVED and ASK but that the link is lost.
 */
import { AccessRefused, ConnectionLost, HubError, TlsFailed, VhostNotFound } from "@apium/hub/HubError"
import * as Effect from "effect/Effect"
import { RedisError } from "effect/persistence/Redis"
import * as Result from "effect/Result"
import { createPrivateKey, X509Certificate } from "node:crypto"
import { readFileSync } from "node:fs"
import { advised } from "../internal/advice.ts"
import * as errors from "../internal/errors.ts"
import * as Peer from "../internal/peer.ts"
import { type Address, type Login, nameOf, type RedisUri, type Way } from "../RedisUri.ts"
import { attempt, type Client, Clients, closed, sendWith, type Server, type Tls } from "./client.ts"
import * as Cluster from "./Cluster.ts"
import * as Sentinel from "./Sentinel.ts"

export interface Found {
  readonly client: Client
  readonly server: Server
}

/** Connects one of these clients, which tells `gone` when it is. */
export type Search = (clients: Clients, gone: (cause: unknown) => void) => Effect.Effect<Found, HubError>

/**
 * In milliseconds: how long one that knows the way is waited for, and the server that it names, which may be what just died; whoever stands
 * alone may be slow.
 */
const patience = { guide: 2000, named: 2000, alone: 5000 }

interface Guide {
  readonly address: Address
  readonly mode: Peer.Mode
  readonly login: Login
  readonly ask: (client: Client) => Promise<Address>
}

export const make = (uri: RedisUri): Search => {
  if (uri.way._tag !== "Server") return guided(uri, uri.way)
  const servers = [uri, ...uri.others].flatMap(({ way, ...login }) =>
    way._tag === "Server" ? [{ address: way.address, login }] : []
  )
  return (clients, gone) =>
    firstOf(
      servers,
      ({ address, login }) =>
        Effect.flatMap(serverOf(address, login), connect(clients, gone, "standalone", patience.alone)),
      // As `Failover` has it: a bad password is told, and not hidden by the next server.
      (error) => !error.recoverable
    )
}

const guided = (uri: RedisUri, way: Exclude<Way, { readonly _tag: "Server" }>): Search => {
  const guides: Array<Guide> =
    way._tag === "Sentinel"
      ? way.sentinels.map((address) => ({
          address,
          mode: "sentinel",
          login: way.login,
          ask: (client) => Sentinel.masterOf(client, way.masterName)
        }))
      : way.seeds.map((address) => ({
          address,
          mode: "cluster",
          login: uri,
          ask: (client) => Cluster.ownerOf(client, Cluster.slotOf(way.hashTag), address)
        }))
  const mode = way._tag === "Sentinel" ? "standalone" : "cluster"
  return (clients, gone) => {
    const tried = new Map<string, HubError>()
    return firstOf(guides, (guide) =>
      Effect.gen(function* () {
        const address = yield* ask(guide)
        const name = nameOf(address)
        const known = tried.get(name)
        if (known !== undefined) return yield* Effect.fail(known)
        return yield* Effect.flatMap(serverOf(address, uri), connect(clients, gone, mode, patience.named)).pipe(
          Effect.tapError((error) => Effect.sync(() => void tried.set(name, error)))
        )
      })
    )
  }
}

/** The next search begins with whom this one ended. */
const firstOf = <A>(
  candidates: Array<A>,
  attempt: (candidate: A) => Effect.Effect<Found, HubError>,
  final: (error: HubError) => boolean = () => false
): Effect.Effect<Found, HubError> =>
  Effect.gen(function* () {
    const said: Array<HubError> = []
    // Another link may search at the same time.
    const order = [...candidates]
    for (const candidate of order) {
      const found = yield* Effect.result(attempt(candidate))
      if (Result.isSuccess(found)) {
        candidates.unshift(...candidates.splice(candidates.indexOf(candidate), 1))
        return found.success
      }
      said.push(found.failure)
      if (final(found.failure)) break
    }
    return yield* Effect.fail(allOf(said))
  })

const connect =
  (clients: Clients, gone: (cause: unknown) => void, mode: Peer.Mode, within: number) =>
  (server: Server): Effect.Effect<Found, HubError> =>
    Effect.gen(function* () {
      const where = nameOf(server.address)
      // Before it is found its end is not the link's: the next one is tried.
      let found = false
      let ended: unknown = closed()
      const end = (cause: unknown): void => {
        if (found) gone(cause)
        else ended = cause
      }
      const client = yield* Effect.mapError(
        attempt(() => clients.connectTracking(server, end, within)),
        ({ cause }) => unreachable(server, cause)
      )
      yield* Effect.onError(Peer.expectMaster(sendWith(client), where, mode), (cause) =>
        Effect.sync(() => clients.destroy(client, cause))
      )
      if (!client.isReady) return yield* Effect.fail(unreachable(server, ended))
      found = true
      return { client, server }
    })

/** On a connection of its own, closed at once. */
const ask = ({ address, ask, login, mode }: Guide): Effect.Effect<Address, HubError> =>
  Effect.gen(function* () {
    const name = nameOf(address)
    const server = yield* serverOf(address, { ...login, database: 0 })
    const clients = new Clients()
    const asking = Effect.gen(function* () {
      const client = yield* attempt(() => clients.connect(server, () => {}, patience.guide))
      yield* Peer.expect(sendWith(client), name, mode)
      return yield* attempt(() => ask(client))
    })
    return yield* asking.pipe(
      Effect.timeoutOrElse({
        duration: patience.guide,
        orElse: () => Effect.fail(new RedisError({ cause: new Error(`no answer within ${patience.guide} ms`) }))
      }),
      Effect.catchTag("RedisError", ({ cause }) => Effect.fail(unreachable(server, cause))),
      Effect.mapError((error) =>
        error.reason._tag === "AccessRefused"
          ? new HubError({ reason: new AccessRefused({ replyText: `${name}: ${error.reason.replyText}` }) })
          : error
      ),
      Effect.ensuring(Effect.sync(() => clients.cut()))
    )
  })

/** The files of a URL, read each time: certificates are renewed. */
const serverOf = (
  address: Address,
  { database, password, tls, username }: Omit<RedisUri, "way" | "others">
): Effect.Effect<Server, HubError> =>
  Effect.map(
    tls === undefined
      ? Effect.undefined
      : Effect.gen(function* (): Effect.fn.Return<Tls, HubError> {
          const ca = yield* pem(tls.caCerts, "certificate", (text) => new X509Certificate(text))
          const cert = yield* pem(tls.certFile, "certificate", (text) => new X509Certificate(text))
          const key = yield* pem(tls.keyFile, "private key without a passphrase", createPrivateKey)
          return { verify: tls.verify, checkHostname: tls.checkHostname, ca, cert, key }
        }),
    (secure) => ({ address, username, password, database, tls: secure })
  )

/** Looked into before a socket is: of what is no PEM Deno has no error, but the end of the process. */
const pem = (
  path: string | undefined,
  what: string,
  read: (text: string) => unknown
): Effect.Effect<string | undefined, HubError> => {
  if (path === undefined) return Effect.undefined
  const failed = (kind: string) => () => new HubError({ reason: new TlsFailed({ kind }) })
  return Effect.try({ try: () => readFileSync(path, "utf8"), catch: failed(`cannot read ${path}`) }).pipe(
    Effect.tap((text) => Effect.try({ try: () => read(text), catch: failed(`${path} holds no ${what}`) }))
  )
}

/** Codes of certificates that are not believed, and of handshakes that fail. */
const ofTls = /CERT|SELF_SIGNED|UNABLE_TO|ERR_TLS|ERR_SSL|EPROTO|SSL routines|certificate/i

const unreachable = ({ address, database, tls }: Server, cause: unknown): HubError => {
  const text = errors.textOf(cause)
  const code: unknown = Reflect.get(Object(cause), "code")
  if (tls !== undefined && ofTls.test(`${String(code)} ${text}`)) {
    return new HubError({ reason: new TlsFailed({ kind: advised(text) }) })
  }
  const reason = errors.reasonOf(cause)
  switch (reason._tag) {
    case "ConnectionLost": {
      // A Redis without TLS takes the first packet of it for the beginning of a long command.
      const secured = tls !== undefined && text.startsWith("no answer") ? "; does it speak TLS?" : ""
      const said = `${nameOf(address)}: ${reason.text}${secured}`
      return new HubError({ reason: new ConnectionLost({ cause: "unreachable", text: said }) })
    }
    case "VhostNotFound":
      return new HubError({ reason: new VhostNotFound({ vhost: `database ${database} (${reason.vhost})` }) })
    default:
      return new HubError({ reason })
  }
}

/** What all of them said. No retry helps when none would help with any. */
const allOf = (said: ReadonlyArray<HubError>): HubError => {
  const [first, ...others] = said
  const alike = others.every(({ reason }) => reason._tag === first?.reason._tag)
  if (first !== undefined && (others.length === 0 || (alike && !first.recoverable))) return first
  const texts = said.map(({ message, reason }) => (reason._tag === "ConnectionLost" ? reason.text : message))
  return new HubError({ reason: new ConnectionLost({ cause: "unreachable", text: [...new Set(texts)].join("; ") }) })
}
