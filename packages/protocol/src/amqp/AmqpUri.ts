/**
 * Broker URLs as Kombu reads them (`kombu/utils/url.py`, `kombu/connection.py`):
 *
 * ```text
 *   amqp://user:password@host:5672/vhost?heartbeat=30;amqp://other//;third
 * ```
 *
 * - `amqp`, `pyamqp` and `amqps` (port 5671, TLS). What is left out: `guest`, `guest`, `localhost`, vhost `/`.
 * - The vhost is the path without its first slash: `amqp://h//` and `amqp://h/` are `/`, `amqp://h/v` is `v`, `amqp://h/a/b` is `a/b`. Names, passwords and
 *   vhosts may be percent-encoded.
 * - `;` parts alternatives. One without a scheme is a host, and takes the rest from the first. What stands behind the `?` of the first is the default of all.
 *
 * With `strict` it is RabbitMQ's reading (its "URI specification"): one URL, `amqp://h/` is the vhost with the empty name, and a slash in a vhost is `%2F`.
 */
import * as Data from "effect/Data"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import { nearest } from "../Suggest.ts"

export interface Tls {
  /** `required` unless `ssl_cert_reqs` (Kombu) or `verify` (RabbitMQ) says otherwise. */
  readonly verify: "required" | "optional" | "none"
  readonly checkHostname?: boolean | undefined
  /** Files. */
  readonly caCerts?: string | undefined
  readonly certFile?: string | undefined
  readonly keyFile?: string | undefined
  readonly serverName?: string | undefined
}

export interface AmqpUri {
  readonly scheme: "amqp" | "amqps"
  readonly host: string
  readonly port: number
  readonly username: string
  readonly password: Redacted.Redacted
  readonly vhost: string
  /** Set for `amqps`. */
  readonly tls: Tls | undefined
  /** Seconds. */
  readonly heartbeat?: number | undefined
  /** Seconds. */
  readonly connectTimeout?: number | undefined
  readonly channelMax?: number | undefined
  readonly frameMax?: number | undefined
  /** SASL mechanisms, in order. */
  readonly loginMethods?: ReadonlyArray<string> | undefined
}

/** The text is no URL of a broker. Neither field holds the password. */
export class InvalidUri extends Data.TaggedError("InvalidUri")<{
  readonly message: string
  /** What was probably meant. */
  readonly suggestion?: string | undefined
}> {}

export interface Options {
  /** RabbitMQ's reading in place of Kombu's. */
  readonly strict?: boolean | undefined
}

const schemes: ReadonlyArray<string> = ["amqp", "amqps", "pyamqp"]

type Reader = (value: string, name: string) => Partial<AmqpUri> | { readonly tls: Partial<Tls> }

const number =
  (key: "heartbeat" | "connectTimeout" | "channelMax" | "frameMax", unit = 1): Reader =>
  (value, name) => {
    if (!/^\d{1,10}(\.\d{1,6})?$/.test(value))
      throw new InvalidUri({ message: `${name} should be a number, as in ${name}=60` })
    return { [key]: Number(value) / unit }
  }
const tls =
  (key: keyof Tls): Reader =>
  (value) => ({ tls: { [key]: value } })
const verify: Reader = (value, name) => {
  const word = value.toLowerCase().replace(/^(cert|verify)_/, "")
  const found = { required: "required", peer: "required", optional: "optional", none: "none" }[word] as Tls["verify"]
  if (found === undefined) throw new InvalidUri({ message: `${name} should be required, optional or none` })
  return { tls: { verify: found } }
}
const flag: Reader = (value) => ({ tls: { checkHostname: !/^(0|false|no|off)$/i.test(value) } })
const methods: Reader = (value) => ({ loginMethods: value.split(",").map((name) => name.trim().toUpperCase()) })

/** Kombu's names and RabbitMQ's, which do not collide. */
const parameters: Readonly<Record<string, Reader>> = {
  heartbeat: number("heartbeat"),
  connect_timeout: number("connectTimeout"),
  connection_timeout: number("connectTimeout", 1000),
  channel_max: number("channelMax"),
  frame_max: number("frameMax"),
  login_method: methods,
  auth_mechanism: methods,
  ssl_cert_reqs: verify,
  verify,
  ssl_check_hostname: flag,
  ssl_ca_certs: tls("caCerts"),
  cacertfile: tls("caCerts"),
  ssl_certfile: tls("certFile"),
  certfile: tls("certFile"),
  ssl_keyfile: tls("keyFile"),
  keyfile: tls("keyFile"),
  ssl_server_hostname: tls("serverName"),
  server_name_indication: tls("serverName")
}

/** All alternatives of a URL, the first one first; throws {@link InvalidUri}. */
export const parseAllUnsafe = (text: string, options: Options = {}): readonly [AmqpUri, ...ReadonlyArray<AmqpUri>] => {
  const [first = "", ...others] = options.strict === true ? [text] : text.split(";")
  const main = one(first.trim(), options)
  return [
    main,
    ...others.map((other) =>
      other.includes("://") ? one(other.trim(), options, main) : alternative(main, other.trim())
    )
  ]
}

/** All alternatives of a URL, the first one first. */
export const parseAll = (
  text: string,
  options?: Options
): Result.Result<readonly [AmqpUri, ...ReadonlyArray<AmqpUri>], InvalidUri> =>
  Result.try({ try: () => parseAllUnsafe(text, options), catch: (error) => error as InvalidUri })

/** One URL; alternatives are refused. */
export const parse = (text: string, options?: Options): Result.Result<AmqpUri, InvalidUri> =>
  Result.flatMap(parseAll(text, options), (all) =>
    all.length === 1
      ? Result.succeed(all[0])
      : Result.fail(new InvalidUri({ message: `One URL is wanted here, and these are ${all.length}` }))
  )

const one = (text: string, options: Options, main?: AmqpUri): AmqpUri => {
  const match = /^([a-z][a-z\d+.-]*):\/\/([^/?#]*)([^?#]*)(?:\?([^#]*))?(?:#.*)?$/isu.exec(text)
  if (match === null) {
    throw new InvalidUri({
      message: "A broker's URL begins with amqp:// or amqps://, and this text begins with neither"
    })
  }
  const [, given = "", authority = "", path = "", query = ""] = match
  const name = given.toLowerCase()
  if (!schemes.includes(name)) throw unknownScheme(name)
  // What is behind it may be the end of a password, and would go to the wrong host, and be shown as a vhost.
  if (text.slice(given.length + 3 + authority.length).includes("@")) {
    throw new InvalidUri({
      message: "A URL holds an @ behind its host: in a vhost or a parameter it is written %40",
      suggestion: "write / : ; @ # ? in a password as %2F %3A %3B %40 %23 %3F"
    })
  }
  const scheme = name === "amqps" ? "amqps" : "amqp"
  const at = authority.lastIndexOf("@")
  const [username, password] = userInfo(at < 0 ? "" : authority.slice(0, at))
  const { host, port } = hostAndPort(authority.slice(at + 1))
  return {
    scheme,
    host,
    port: port ?? (scheme === "amqps" ? 5671 : 5672),
    username,
    password,
    vhost: vhostOf(path, options.strict === true),
    ...queryOf(query, scheme, main)
  }
}

/** A host without a scheme: everything else is the first one's. */
const alternative = (main: AmqpUri, text: string): AmqpUri => {
  if (text === "") throw new InvalidUri({ message: "A URL ends with ; or holds ;; where an alternative should be" })
  const { host, port } = hostAndPort(text)
  return { ...main, host, port: port ?? main.port }
}

const userInfo = (text: string): readonly [string, Redacted.Redacted] => {
  const colon = text.indexOf(":")
  const username = decode(colon < 0 ? text : text.slice(0, colon), "The user name")
  const password = colon < 0 ? "" : decode(text.slice(colon + 1), "The password")
  return [username === "" ? "guest" : username, Redacted.make(password === "" ? "guest" : password)]
}

const hostAndPort = (text: string): { readonly host: string; readonly port: number | undefined } => {
  const match = /^(\[[\da-f:.%]+\]|[^:[\]\s]*)(?::(.*))?$/isu.exec(text)
  if (match === null)
    throw new InvalidUri({ message: "The host of a URL cannot be read: an IPv6 address stands in [ ]" })
  const [, host = "", port = ""] = match
  const value = Number(port)
  if (port !== "" && !(/^\d+$/.test(port) && value >= 1 && value <= 65_535)) {
    // What stands there may be a password whose @ was forgotten, or is a / that has to be encoded.
    throw new InvalidUri({
      message: "The port of a URL should be a number from 1 to 65535",
      suggestion: "write / : ; @ # ? in a password as %2F %3A %3B %40 %23 %3F"
    })
  }
  const name = decode(host.replace(/^\[|\]$/g, ""), "The host").toLowerCase()
  return { host: name === "" ? "localhost" : name, port: port === "" ? undefined : value }
}

const vhostOf = (path: string, strict: boolean): string => {
  if (!strict) return decode(path.replace(/^\//, ""), "The vhost") || "/"
  if (path === "") return "/"
  if (path.slice(1).includes("/")) {
    throw new InvalidUri({
      message: "A slash in the name of a vhost is written %2F",
      suggestion: path === "//" ? "/%2F" : undefined
    })
  }
  return decode(path.slice(1), "The vhost")
}

const queryOf = (
  query: string,
  scheme: "amqp" | "amqps",
  { channelMax, connectTimeout, frameMax, heartbeat, loginMethods, tls }: Partial<AmqpUri> = {}
): Partial<AmqpUri> & { readonly tls: Tls | undefined } => {
  const secure: Tls = { verify: "required", ...tls }
  const out: Partial<AmqpUri> = { channelMax, connectTimeout, frameMax, heartbeat, loginMethods }
  for (const pair of query.split("&")) {
    const [name = "", ...rest] = pair.split("=")
    const value = decode(rest.join("=").replaceAll("+", " "), "A parameter")
    // Kombu drops empty ones.
    if (value === "") continue
    if (!Object.hasOwn(parameters, name)) throw unknownParameter(name)
    const read = parameters[name]!(value, name)
    if (!("tls" in read)) Object.assign(out, read)
    else if (scheme === "amqps") Object.assign(secure, read.tls)
    else throw new InvalidUri({ message: `${name} is for amqps://, and this URL is amqp://`, suggestion: "amqps://" })
  }
  return { ...out, tls: scheme === "amqps" ? secure : undefined }
}

const decode = (text: string, what: string): string => {
  try {
    return decodeURIComponent(text)
  } catch {
    throw new InvalidUri({ message: `${what} of a URL holds a % that begins no UTF-8 octet: write %25` })
  }
}

const unknownScheme = (name: string): InvalidUri => {
  const suggestion = nearest(name, schemes)
  return new InvalidUri({
    message: `A broker's URL begins with amqp:// or amqps://, not with ${name.slice(0, 40)}://`,
    ...(suggestion === undefined ? undefined : { suggestion: `${suggestion}://` })
  })
}

const unknownParameter = (name: string): InvalidUri => {
  const suggestion = nearest(name, Object.keys(parameters))
  const message = `There is no parameter ${JSON.stringify(name.slice(0, 40))}: there are ${Object.keys(parameters).join(", ")}`
  return new InvalidUri({ message, ...(suggestion === undefined ? undefined : { suggestion }) })
}

/** As it may be printed: `amqp://user:**@host:5672/vhost`, the vhost `/` as `//`. */
export const format = (uri: AmqpUri): string => {
  const host = uri.host.includes(":") ? `[${uri.host}]` : uri.host
  const vhost = encodeURIComponent(uri.vhost).replace("%2F", uri.vhost === "/" ? "/" : "%2F")
  return `${uri.scheme}://${encodeURIComponent(uri.username)}:**@${host}:${uri.port}/${vhost}`
}

/** Any text that should be a URL, as it may be printed: of what stands before an `@`, or should, nothing is shown. */
export const mask = (text: string): string =>
  text
    .slice(0, 500)
    .replace(/^([^:]*:\/\/)?.*@/su, "$1**@")
    .replace(/^([^:@]*:\/\/[^:@/[]*:)(?!\d*(?:[/?#;]|$)).*$/su, "$1**")
    .replaceAll(/\p{Cc}/gu, "?")
