/** Ninety URLs as Kombu reads them (`fixtures/urls.py`), beside what we make of them. */
import { readFileSync } from "node:fs"
import { inspect } from "node:util"
import * as RedisUri from "@apium/transport-redis/RedisUri"
import { assert, describe, it } from "@effect/vitest"
import { Redacted, Result } from "effect"

/** Arguments of kombu's pool. */
interface Broker {
  readonly host?: string
  readonly port?: number
  readonly path?: string
  readonly username: string | null
  readonly password: string | null
  readonly db: number
  readonly tls: boolean
  readonly ssl_cert_reqs?: string
  readonly ssl_ca_certs?: string
  readonly ssl_certfile?: string
  readonly ssl_keyfile?: string
  readonly sentinels?: ReadonlyArray<readonly [host: string, port: number]>
}

interface Row {
  readonly url: string
  readonly brokers?: ReadonlyArray<Broker>
  readonly error?: string
}

const captured = JSON.parse(readFileSync(new URL("fixtures/5.2.6/urls.json", import.meta.url), "utf8")) as {
  readonly urls: ReadonlyArray<Row>
}

/** Read otherwise, and why. */
const otherwise: Readonly<Record<string, string>> = {
  "rediss://h": "Kombu verifies nothing unless it is told to",
  "rediss://:p@h:7/3": "Kombu verifies nothing unless it is told to",
  "redis://u:p@a:1/3;redis://b":
    "Kombu keeps the port and the database of the server it has tried before, whichever that was",
  "redis://u:p@a;b:2": "Kombu takes b:2 for the name of a host",
  "sentinel://a:1;sentinel://b:2/3":
    "Kombu takes the database of the first alone, and that of the other after a failure",
  "sentinel://a:1;b:2": "Kombu passes over a sentinel without a scheme"
}

/** Kombu makes something of these, and nobody means that. */
const refused: Readonly<Record<string, string>> = {
  "redis://h:0": "nobody listens on port 0; Kombu takes the default",
  "redis://h/-1": "there is no such database",
  "redis://h?connect_timeout=7": "Kombu takes it, and does nothing with it on Redis",
  "redis://h?ssl_cert_reqs=none": "TLS, and a scheme that says plain",
  "redis://u:p%zz@h": "a % in a password that was not encoded",
  "rediss://h?ssl_version=3": "the kernel of TLS picks its version",
  "redis+socket:///tmp/redis.sock?password=p": "Kombu drops it: a password stands before the @",
  "redis+socket:///tmp/redis.sock?db=3": "Kombu takes database 0: its name is virtual_host",
  "redis+socket://tmp/redis.sock": "Kombu drops the first part of the path",
  "redis://a;": "Kombu's second server is localhost",
  "sentinel://:p@a:1;sentinel://:q@b:2": "one master has one password; Kombu takes the first",
  "sentinel://a:1;redis://b:2": "Kombu passes over what is no sentinel",
  "redis+sentinel://h/0": "of this Kombu makes a server without a host"
}

/** Kombu refuses these, and they are of use. */
const taken: Readonly<Record<string, string>> = {
  "rediss://h?ssl_cert_reqs=REQUIRED": "in capitals",
  "redis://a; redis://b": "a space between two URLs",
  "redis+cluster://a:7000;redis+cluster://b:7001": "Kombu has no Cluster"
}

const options: RedisUri.Options = { masterName: "mymaster", globalKeyprefix: "{apium}" }

const kombus = (broker: Broker) => ({
  at:
    broker.sentinels?.map(([host, port]) => ({ host, port })) ??
    (broker.path === undefined ? [{ host: broker.host, port: broker.port }] : [{ path: broker.path }]),
  username: broker.username ?? undefined,
  password: broker.password ?? undefined,
  database: broker.db,
  tls: broker.tls
    ? {
        // CERT_OPTIONAL is the same as CERT_REQUIRED for a client.
        verify: broker.ssl_cert_reqs !== "CERT_NONE",
        checkHostname: true,
        caCerts: broker.ssl_ca_certs,
        certFile: broker.ssl_certfile,
        keyFile: broker.ssl_keyfile
      }
    : undefined
})

const addresses = ({ way }: RedisUri.RedisUri) => {
  switch (way._tag) {
    case "Server":
      return [way.address]
    case "Sentinel":
      return way.sentinels
    case "Cluster":
      return way.seeds
  }
}

const ours = (uri: RedisUri.RedisUri) => ({
  at: addresses(uri),
  username: uri.username,
  password: uri.password && Redacted.value(uri.password),
  database: uri.database,
  tls: uri.tls
})

const same = ({ brokers, url }: Row): void => {
  const uri = RedisUri.parseUnsafe(url, options)
  assert.deepStrictEqual<unknown>([uri, ...uri.others].map(ours), brokers!.map(kombus), url)
}

const exceptions = { ...otherwise, ...refused, ...taken }

const refusal = (url: string, some = options): string => {
  const failure = Result.getOrThrow(Result.flip(RedisUri.parse(url, some)))
  assert.notInclude(`${inspect(failure)} ${JSON.stringify(failure)}`, "hunter2", url)
  return failure.message
}

describe("the URLs that Kombu was asked to read", () => {
  it("are read the same, but for those with a reason", () => {
    const rows = captured.urls.filter(({ brokers, url }) => brokers !== undefined && !Object.hasOwn(exceptions, url))
    for (const row of rows) same(row)
    assert.isAbove(rows.length, 45)
  })

  it("are refused where it refuses them", () => {
    const rows = captured.urls.filter(({ error, url }) => error !== undefined && !Object.hasOwn(taken, url))
    for (const { url } of rows) refusal(url)
    assert.isAbove(rows.length, 15)
  })

  it("differ where a reason is given", () => {
    const known = new Map(captured.urls.map((row) => [row.url, row]))
    for (const url of Object.keys(exceptions)) {
      const row = known.get(url)
      assert.isDefined(row, url)
      if (Object.hasOwn(refused, url)) refusal(url)
      else if (Object.hasOwn(taken, url)) assert.isTrue(Result.isSuccess(RedisUri.parse(url, options)), url)
      else assert.throws(() => same(row), undefined, undefined, url)
    }
  })
})

describe("a URL of Redis", () => {
  it("may be a list of servers, of which a bare host takes the rest from the first", () => {
    const uri = RedisUri.parseUnsafe("rediss://u:p@a:1/3?ssl_ca_certs=/ca.pem;redis://b;c:2")
    const [first, second, third, ...rest] = [uri, ...uri.others].map(ours)
    assert.deepStrictEqual(rest, [])
    assert.deepInclude(first, { at: [{ host: "a", port: 1 }], username: "u", password: "p", database: 3 })
    assert.deepInclude(second, { at: [{ host: "b", port: 6379 }], username: undefined, database: 0, tls: undefined })
    assert.deepInclude(third, { at: [{ host: "c", port: 2 }], username: "u", password: "p", database: 3 })
    assert.strictEqual(third!.tls?.caCerts, "/ca.pem")
  })

  it("of sentinels needs the name of their master, and keeps their own login apart", () => {
    assert.match(refusal("sentinel://u:hunter2@h", {}), /needs the option masterName/)
    const sentinelKwargs = { username: "s", password: Redacted.make("hunter2"), tls: { caCerts: "/s.pem" } }
    const uri = RedisUri.parseUnsafe("sentinel://u:p@a;b:2;sentinel://c/4", { masterName: "m", sentinelKwargs })
    assert.deepInclude(ours(uri), { username: "u", password: "p", database: 4, tls: undefined })
    assert.strictEqual(uri.way._tag, "Sentinel")
    if (uri.way._tag !== "Sentinel") return
    assert.strictEqual(uri.way.masterName, "m")
    assert.deepStrictEqual(uri.way.sentinels, [
      { host: "a", port: 26_379 },
      { host: "b", port: 2 },
      { host: "c", port: 26_379 }
    ])
    assert.deepInclude(uri.way.login, { username: "s", password: sentinelKwargs.password })
    assert.deepInclude(uri.way.login.tls, { verify: true, checkHostname: true, caCerts: "/s.pem" })
    assert.notInclude(inspect(uri, { depth: 10 }), "hunter2")
    assert.match(refusal("sentinel://a/1;sentinel://b/2"), /more than one database/)
  })

  it("of a cluster needs a hash tag that all keys share, and has one database", () => {
    const tag = (globalKeyprefix: string) => {
      const { way } = RedisUri.parseUnsafe("redis+cluster://a:7000;b", { globalKeyprefix })
      return way._tag === "Cluster" ? way.hashTag : undefined
    }
    assert.deepStrictEqual([tag("{apium}"), tag("a{b{c}d}"), tag("x{y}{z}:")], ["apium", "b{c", "y"])
    for (const globalKeyprefix of [undefined, "", "apium:", "{}apium", "{}{apium}", "{apium", "}apium{"]) {
      assert.match(refusal("redis+cluster://u:hunter2@h", { globalKeyprefix }), /globalKeyprefix.*"\{apium\}"/)
    }
    assert.match(refusal("redis+cluster://h/1"), /database 0 only/)
    assert.isTrue(ours(RedisUri.parseUnsafe("rediss+cluster://h", options)).tls?.verify)
  })

  it("that is none says what is wrong with it, and shows no password", () => {
    for (const [text, what] of [
      ["amqp://u:hunter2@h", /^A URL of Redis is/],
      ["redis://u:hunter2/@h", /^A URL of Redis is/],
      ["redis://u:hunter2", /^The port|^A URL of Redis is/],
      ["redis://u:1/hunter2@h", /^A URL of Redis is/],
      ["redis://u:hun%ter2@h", /^The password holds a %/],
      ["redis://u:hunter2@h:70000", /^The port should be 1 to 65535/],
      ["redis://u:hunter2@h/hunter2", /^The database is a number/],
      ["redis://u:hunter2@h?ssl_cert_reqs=none", /rediss:\/\//],
      ["rediss://u:hunter2@h?ssl_cert_reqs=maybe", /^ssl_cert_reqs should be/],
      ["rediss://u:hunter2@h?toString=1", /^There is no parameter "toString"/],
      ["socket://u:hunter2@/run/redis.sock", /redis\+socket:\/\/\/path/],
      ["unix:///run/redis.sock", /redis\+socket:\/\/\/path/],
      ["redis://u:hunter2@h;sentinel://h", /mixed/],
      ["redis+socket:///run/redis.sock;h", /whole URLs only/]
    ] as const)
      assert.match(refusal(text), what, text)
  })

  it("is printed without its password", () => {
    const urls = captured.urls
      .filter(({ url }) => Result.isSuccess(RedisUri.parse(url, options)))
      .map(({ url }) => RedisUri.parseUnsafe(url, options))
    assert.isAbove(urls.length, 50)
    for (const uri of urls) {
      const shown = RedisUri.format(uri)
      const again = RedisUri.parseUnsafe(shown, options)
      const secret = (one: RedisUri.RedisUri) => ({ ...ours(one), tls: one.tls !== undefined, password: 0 })
      const plain = uri.way._tag === "Sentinel" ? { tls: false } : {}
      assert.deepStrictEqual(
        [again, ...again.others].map(secret),
        [uri, ...uri.others].map((one) => Object.assign(secret(one), plain)),
        shown
      )
      assert.include([undefined, "**"], again.password && Redacted.value(again.password), shown)
    }
  })
})
