/**
 * URLs of Redis as Kombu reads them (`kombu/transport/redis.py`):
 *
 * ```text
 *   redis://user:password@host:6379/0        rediss:// over TLS, verified unless ?ssl_cert_reqs=none
 * ```
 *
 * What is left out: no user, no password, `localhost`, 6379, database 0. Names and passwords may be percent-encoded.
 */
import * as Data from "effect/Data"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"

export interface RedisUri {
  readonly host: string
  readonly port: number
  readonly username: string | undefined
  readonly password: Redacted.Redacted | undefined
  readonly database: number
  /** Set for `rediss`. */
  readonly tls: Tls | undefined
}

export interface Tls {
  readonly verify: boolean
  /** A file of authorities in place of the system's. */
  readonly caCerts: string | undefined
}

/** The text is no URL of a Redis. The message never holds the password. */
export class InvalidUri extends Data.TaggedError("InvalidUri")<{ readonly message: string }> {}

const form = /^(rediss?):\/\/(?:([^@/?#]*)@)?(\[[^\]]+\]|[^:/?#@]*)(?::(\d*))?(?:\/([^?#]*))?(?:\?([^#]*))?$/

const decoded = (text: string, what: string): string => {
  try {
    return decodeURIComponent(text)
  } catch {
    throw new InvalidUri({ message: `The ${what} is not percent-encoded: write % as %25` })
  }
}

const integer = (text: string, most: number, what: string): number => {
  const value = Number(text)
  if (!/^\d{1,10}$/.test(text) || value > most) throw new InvalidUri({ message: `The ${what} should be 0 to ${most}` })
  return value
}

const tlsOf = (query: string): Tls => {
  const tls = { verify: true, caCerts: undefined as string | undefined }
  for (const [name, value] of new URLSearchParams(query)) {
    if (name === "ssl_ca_certs") tls.caCerts = value
    else if (name === "ssl_cert_reqs" && /^(cert_)?(required|none)$/i.test(value)) tls.verify = !/none$/i.test(value)
    else
      throw new InvalidUri({
        message: `${name} is not ssl_cert_reqs=required, ssl_cert_reqs=none or ssl_ca_certs=file`
      })
  }
  return tls
}

/** Reads a URL; throws {@link InvalidUri}. */
export const parseUnsafe = (text: string): RedisUri => {
  const found = form.exec(text)
  if (found === null)
    throw new InvalidUri({
      message:
        "A URL of Redis is redis://user:password@host:6379/0 or rediss://..., with @, / and : of a password percent-encoded"
    })
  const [, scheme, login, host = "", port = "", path = "", query = ""] = found
  if (scheme === "redis" && query !== "")
    throw new InvalidUri({ message: "redis:// takes no parameters: TLS is rediss://" })
  const colon = login?.indexOf(":") ?? -1
  const username = login === undefined ? "" : decoded(colon < 0 ? login : login.slice(0, colon), "user name")
  const password = login === undefined || colon < 0 ? "" : decoded(login.slice(colon + 1), "password")
  return {
    host: host === "" ? "localhost" : host.replace(/^\[(.*)\]$/, "$1"),
    port: port === "" ? 6379 : integer(port, 65_535, "port"),
    username: username === "" ? undefined : username,
    password: password === "" ? undefined : Redacted.make(password),
    database: path === "" ? 0 : integer(path, 2 ** 31 - 1, "database after the slash"),
    tls: scheme === "rediss" ? tlsOf(query) : undefined
  }
}

/** Reads a URL. */
export const parse = (text: string): Result.Result<RedisUri, InvalidUri> =>
  Result.try({ try: () => parseUnsafe(text), catch: (error) => error as InvalidUri })
