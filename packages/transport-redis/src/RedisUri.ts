/**
 * URLs of Redis as Kombu reads them (`kombu/transport/redis.py`, `kombu/utils/url.py`):
 *
 * ```text
 *   redis://user:password@host:6379/0                    rediss:// is over TLS
 *   redis+socket://user:password@/run/redis.sock?virtual_host=0
 *   redis://one:6379/0;redis://other:6379/0              tried in turn; a bare host takes the rest from the first
 *   sentinel://user:password@one:26379/0;sentinel://two  their master, of the option `masterName`
 *   redis+cluster://user:password@one:7000;two:7001      the node that has the keys of `globalKeyprefix`; rediss+cluster://
 * ```
 *
 * - What is left out: no user, no password, `127.0.0.1`, 6379 (sentinels: 26379), database 0. Names and passwords may be percent-encoded.
 * - User, password, database and TLS of `sentinel://` are the server's, as Kombu has it; the sentinels' own are in `sentinelKwargs`.
 * - TLS (`ssl_cert_reqs`, `ssl_ca_certs`, `ssl_certfile`, `ssl_keyfile`, `ssl_check_hostname`) verifies the certificate and the name unless told
 *   otherwise; Kombu's `rediss://` verifies nothing by default, and its `required` no name.
 * - Kombu 5.2 has no Redis Cluster, so `redis+cluster` is a name of our own.
 */
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Data from "effect/Data"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"

export type Address = { readonly host: string; readonly port: number } | { readonly path: string }

export interface Tls {
  /** Default `true`. */
  readonly verify: boolean
  /** Whether the certificate has to be for the host. Default `true`. */
  readonly checkHostname: boolean
  /** Files. Authorities are in place of the system's. */
  readonly caCerts: string | undefined
  readonly certFile: string | undefined
  readonly keyFile: string | undefined
}

export interface Login {
  readonly username: string | undefined
  readonly password: Redacted.Redacted | undefined
  readonly tls: Tls | undefined
}

/** How the server is found. */
export type Way =
  | { readonly _tag: "Server"; readonly address: Address }
  | {
      readonly _tag: "Sentinel"
      readonly sentinels: NonEmptyReadonlyArray<Address>
      readonly masterName: string
      readonly login: Login
    }
  | { readonly _tag: "Cluster"; readonly seeds: NonEmptyReadonlyArray<Address>; readonly hashTag: string }

/** One Redis, and how its server lets us in. */
export interface RedisUri extends Login {
  readonly way: Way
  readonly database: number
  /** Those to try in turn when it cannot be reached; only of a list of servers. */
  readonly others: ReadonlyArray<RedisUri>
}

/** What no URL says; all but the types are Kombu's transport options. */
export interface Options {
  /** `master_name`: what the sentinels call their master. Wanted with `sentinel://`. */
  readonly masterName?: string | undefined
  /** `sentinel_kwargs`: how the sentinels themselves let us in. `tls: {}` is verified TLS. */
  readonly sentinelKwargs?:
    | {
        readonly username?: string | undefined
        readonly password?: Redacted.Redacted | undefined
        readonly tls?: Partial<Tls> | undefined
      }
    | undefined
  /** `global_keyprefix`. In a cluster it holds a hash tag, as `{apium}` is one, so that one node has all keys. */
  readonly globalKeyprefix?: string | undefined
}

/** The text is no URL of a Redis, or an option that belongs to it is missing. The message never holds the password. */
export class InvalidUri extends Data.TaggedError("InvalidUri")<{ readonly message: string }> {}

/** One of a list. */
interface Part extends Login {
  readonly scheme: Scheme
  readonly address: Address
  readonly database: number | undefined
}

const schemes = ["redis", "rediss", "redis+socket", "sentinel", "redis+cluster", "rediss+cluster"] as const
type Scheme = (typeof schemes)[number]

const refuse = (message: string): never => {
  throw new InvalidUri({ message })
}

const wanted =
  "A URL of Redis is redis://user:password@host:6379/0, rediss://, redis+socket:///path, sentinel:// or redis+cluster://, with / : ; @ # ? of a password percent-encoded"

/** Reads a URL; throws {@link InvalidUri}. */
export const parseUnsafe = (text: string, options: Options = {}): RedisUri => {
  const [first = "", ...more] = text.split(";").map((one) => one.trim())
  const main = whole(first)
  const rest = more.map((one) => (one.includes("://") ? whole(one, main) : bare(one, main)))
  const kind = kindOf(main)
  if (rest.some((part) => kindOf(part) !== kind))
    refuse("A list holds servers, or sentinels, or nodes of a cluster, and here they are mixed")
  return kind === "server"
    ? server(
        main,
        rest.map((part) => server(part))
      )
    : together(kind, main, rest, options)
}

/** Reads a URL. */
export const parse = (text: string, options?: Options): Result.Result<RedisUri, InvalidUri> =>
  Result.try({ try: () => parseUnsafe(text, options), catch: (error) => error as InvalidUri })

const kindOf = ({ scheme }: Part) =>
  scheme === "sentinel" ? "sentinel" : scheme.endsWith("cluster") ? "cluster" : "server"

const server = (
  { address, database = 0, password, tls, username }: Part,
  others: ReadonlyArray<RedisUri> = []
): RedisUri => ({
  others,
  way: { _tag: "Server", address },
  username,
  password,
  database,
  tls
})

/** They lead to one server, so what they say of it must not differ; Kombu takes the first one's word, or the last one's. */
const together = (
  kind: "sentinel" | "cluster",
  main: Part,
  rest: ReadonlyArray<Part>,
  { globalKeyprefix = "", masterName = "", sentinelKwargs = {} }: Options
): RedisUri => {
  const parts = [main, ...rest]
  const only = <A>(what: string, of: (part: Part) => A | undefined, same: (value: A) => unknown = (value) => value) => {
    const said = parts.map(of).filter((value) => value !== undefined)
    if (new Set(said.map(same)).size > 1)
      refuse(`All of a list lead to one server, and here it has more than one ${what}`)
    return said[0]
  }
  const login = {
    others: [],
    username: only("user", (part) => part.username),
    password: only("password", (part) => part.password, Redacted.value),
    tls: only("way of TLS", (part) => part.tls, JSON.stringify),
    database: only("database", (part) => part.database) ?? 0
  }
  const addresses = [main.address, ...rest.map((part) => part.address)] as const
  if (kind === "sentinel") {
    if (masterName === "") refuse("sentinel:// needs the option masterName: what the sentinels call their master")
    const { password, tls, username } = sentinelKwargs
    const own: Login = { username, password, tls: tls === undefined ? undefined : { ...verified, ...tls } }
    return { ...login, way: { _tag: "Sentinel", sentinels: addresses, masterName, login: own } }
  }
  if (login.database !== 0) refuse("A cluster has database 0 only")
  // Redis' own rule: from the first { to the first } behind it, if anything is between.
  const hashTag = /^[^{]*\{([^}]+)\}/.exec(globalKeyprefix)?.[1]
  if (hashTag === undefined)
    refuse(
      'In a cluster all keys have to be on one node: set the option globalKeyprefix to one with a hash tag, as "{apium}", and global_keyprefix of all Python workers, too'
    )
  return { ...login, way: { _tag: "Cluster", seeds: addresses, hashTag: hashTag! } }
}

const whole = (text: string, main?: Part): Part => {
  const found = /^([a-z][a-z\d+.-]*):\/\/([^/?#]*)([^?#]*)(?:\?([^#]*))?(?:#.*)?$/isu.exec(text)
  if (found === null) return refuse(wanted)
  const [, given = "", authority = "", path = "", query = ""] = found
  const scheme = schemes.find((known) => known === given.toLowerCase())
  if (scheme === undefined)
    return refuse(/^(socket|unix)$/i.test(given) ? "A socket's URL is redis+socket:///path?virtual_host=0" : wanted)
  // What is behind it may be the end of a password, and would go to the wrong host.
  if (text.slice(given.length + 3 + authority.length).includes("@")) return refuse(wanted)
  const at = authority.lastIndexOf("@")
  const login = loginOf(authority.slice(0, Math.max(at, 0)))
  const host = authority.slice(at + 1)
  const parameters = new Map([...new URLSearchParams(query)].filter(([, value]) => value !== ""))
  if (scheme === "redis+socket") {
    if (host !== "" || path.length < 2)
      return refuse("A socket's URL is redis+socket:///path?virtual_host=0, with three slashes")
    const database = parameters.get("virtual_host")
    parameters.delete("virtual_host")
    const tls = tlsOf(scheme, parameters, undefined)
    return { scheme, address: { path: decode(path, "path") }, ...login, tls, database: databaseOf(database) }
  }
  return {
    scheme,
    address: addressOf(host, scheme === "sentinel" ? 26_379 : 6379),
    ...login,
    tls: tlsOf(scheme, parameters, main?.tls),
    database: databaseOf(decode(path.slice(1), "database"))
  }
}

/** A host without a scheme: everything else is the first one's. */
const bare = (text: string, main: Part): Part => {
  if (text === "") return refuse("The URL ends with ; or holds ;; where one more should be")
  if ("path" in main.address) return refuse("A socket's URL is followed by whole URLs only")
  return { ...main, address: addressOf(text, main.address.port) }
}

const loginOf = (text: string): Pick<Login, "username" | "password"> => {
  const colon = text.includes(":") ? text.indexOf(":") : text.length
  const username = decode(text.slice(0, colon), "user name")
  const password = decode(text.slice(colon + 1), "password")
  return {
    username: username === "" ? undefined : username,
    password: password === "" ? undefined : Redacted.make(password)
  }
}

const addressOf = (text: string, usual: number): Address => {
  const found = /^(\[[\da-f:.%]+\]|[^:[\]\s@]*)(?::(\d*))?$/isu.exec(text)
  // What stands there may be a password whose @ was forgotten, or holds a / that has to be encoded.
  if (found === null) return refuse(wanted)
  const [, host = "", port = ""] = found
  if (port !== "" && !(Number(port) >= 1 && Number(port) <= 65_535)) return refuse("The port should be 1 to 65535")
  const name = decode(host.replace(/^\[|\]$/g, ""), "host").toLowerCase()
  return { host: name === "" ? "127.0.0.1" : name, port: port === "" ? usual : Number(port) }
}

const databaseOf = (text: string | undefined): number | undefined => {
  const digits = text?.replace(/^\//, "") ?? ""
  if (digits === "") return undefined
  if (!/^\d{1,9}$/.test(digits)) return refuse("The database is a number, as in redis://host/3")
  return Number(digits)
}

const verified: Tls = {
  verify: true,
  checkHostname: true,
  caCerts: undefined,
  certFile: undefined,
  keyFile: undefined
}

const files: Readonly<Record<string, "caCerts" | "certFile" | "keyFile">> = {
  ssl_ca_certs: "caCerts",
  ssl_certfile: "certFile",
  ssl_keyfile: "keyFile"
}

const tlsOf = (
  scheme: Scheme,
  parameters: ReadonlyMap<string, string>,
  inherited: Tls | undefined
): Tls | undefined => {
  let tls = scheme.startsWith("rediss") ? (inherited ?? verified) : scheme === "sentinel" ? inherited : undefined
  for (const [name, value] of parameters) {
    const file = Object.hasOwn(files, name) ? files[name] : undefined
    if (file === undefined && name !== "ssl_cert_reqs" && name !== "ssl_check_hostname") {
      const known = ["ssl_cert_reqs", "ssl_check_hostname", ...Object.keys(files)].join(", ")
      return refuse(
        `There is no parameter ${JSON.stringify(name.slice(0, 40))}: there are ${known}, and virtual_host for redis+socket`
      )
    }
    if (!scheme.startsWith("rediss") && scheme !== "sentinel")
      return refuse(`${name} is for TLS, and this URL is ${scheme}://: is it rediss://?`)
    tls ??= verified
    if (file !== undefined) tls = { ...tls, [file]: value }
    else if (name === "ssl_check_hostname") tls = { ...tls, checkHostname: !/^(0|false|no|off)$/i.test(value) }
    else if (/^(cert_)?(required|optional|none)$/i.test(value)) tls = { ...tls, verify: !/none$/i.test(value) }
    else return refuse("ssl_cert_reqs should be required, optional (which is the same for a client) or none")
  }
  return tls
}

const decode = (text: string, what: string): string => {
  try {
    return decodeURIComponent(text)
  } catch {
    return refuse(`The ${what} holds a % that begins no UTF-8 octet: write %25`)
  }
}

/** As it may be printed: `redis://user:**@host:6379/0`, `sentinel://one:26379/0;sentinel://two:26379/0`. */
export const format = ({ database, others, password, tls, username, way }: RedisUri): string => {
  const secret = password === undefined ? "" : ":**"
  const login = username === undefined && secret === "" ? "" : `${encodeURIComponent(username ?? "")}${secret}@`
  const s = tls === undefined ? "" : "s"
  const shown = (): ReadonlyArray<string> => {
    switch (way._tag) {
      case "Server":
        return [
          "path" in way.address
            ? `redis+socket://${login}${way.address.path.split("/").map(encodeURIComponent).join("/")}?virtual_host=${database}`
            : `redis${s}://${login}${nameOf(way.address)}/${database}`
        ]
      case "Sentinel":
        return way.sentinels.map((address) => `sentinel://${login}${nameOf(address)}/${database}`)
      case "Cluster":
        return way.seeds.map((address) => `redis${s}+cluster://${login}${nameOf(address)}`)
    }
  }
  return [...shown(), ...others.map(format)].join(";")
}

/** `host:port`, `[::1]:port` or the path of a socket. */
export const nameOf = (address: Address): string =>
  "path" in address
    ? address.path
    : `${address.host.includes(":") ? `[${address.host}]` : address.host}:${address.port}`
