/** A hundred URLs as Kombu reads them (`fixtures/broker-urls.py`), beside what we make of them. */
import { readFileSync } from "node:fs"
import * as AmqpUri from "@apium/protocol/amqp/AmqpUri"
import { assert, describe, it } from "@effect/vitest"
import { Redacted, Result } from "effect"

interface Broker {
  readonly transport: string
  readonly hostname: string
  readonly port: number
  readonly userid: string
  readonly password: string
  readonly virtual_host: string
  readonly ssl: boolean | Readonly<Record<string, string>>
  /** Seconds; a URL's are text. */
  readonly connect_timeout: number | string
  readonly login_method: string
  readonly heartbeat: number
}

interface Row {
  readonly url: string
  readonly brokers?: ReadonlyArray<Broker>
  readonly error?: string
}

const captured = JSON.parse(readFileSync(new URL("../fixtures/5.2.6/broker-urls.json", import.meta.url), "utf8")) as {
  readonly urls: ReadonlyArray<Row>
}

/** Read otherwise, and why. */
const otherwise: Readonly<Record<string, string>> = {
  "amqp://h?login_method=amqplain": "names of mechanisms are written in capitals by all brokers",
  "amqp://u:p@a/v;amqp://b": "Kombu keeps the vhost of the broker it has tried before, whichever that was",
  "amqp://u:p@a:1/v;amqp://b//": "Kombu keeps the port of the broker it has tried before, whichever that was",
  "amqp://u:p@a:1/v;b:2": "Kombu takes b:2 for the name of a host"
}

/** Kombu makes something of these, and nobody means that. */
const refused: Readonly<Record<string, string>> = {
  "amqp://u:p%zz@h": "a % in a password that was not encoded",
  "amqp://u:%E9@h": "Latin-1, of which Kombu makes U+FFFD",
  "amqp://h/a:b@c": "what stands before the @ is the end of a password more often than a vhost",
  "amqp://h:0": "nobody listens on port 0; Kombu takes the default",
  "amqp://h?insist=1": "0-9-1 has no such thing",
  "amqp://h?ssl_ca_certs=/ca.pem": "TLS, and a scheme that says plain: Kombu changes to port 5671",
  "amqp://h;": "Kombu's second broker is localhost",
  ";amqp://h": "Kombu's first broker is localhost",
  localhost: "a scheme is wanted: most often this is a password or a typing error",
  "h:1234": "Kombu takes h:1234 for the name of a host"
}

/** Kombu refuses these, and they are of use. */
const taken: Readonly<Record<string, string>> = {
  "amqp://h?connection_timeout=7": "RabbitMQ's name, in milliseconds",
  "amqp://h?frame_max=8192": "RabbitMQ's",
  "amqp://h?channel_max=64": "RabbitMQ's",
  "amqp://a; amqp://b": "a space between two URLs",
  " amqp://h": "a space before a URL"
}

const tlsOf = ({ ssl, transport }: Broker): AmqpUri.Tls | undefined => {
  if (transport !== "amqps") return undefined
  const given = typeof ssl === "boolean" ? {} : ssl
  const verify = (given.ssl_cert_reqs ?? "CERT_REQUIRED").slice("CERT_".length).toLowerCase() as AmqpUri.Tls["verify"]
  const paths = {
    caCerts: given.ssl_ca_certs,
    certFile: given.ssl_certfile,
    keyFile: given.ssl_keyfile,
    serverName: given.ssl_server_hostname,
    checkHostname: given.ssl_check_hostname === undefined ? undefined : given.ssl_check_hostname !== "false"
  }
  return JSON.parse(JSON.stringify({ verify, ...paths })) as AmqpUri.Tls
}

const kombus = (broker: Broker) => ({
  scheme: broker.transport === "amqps" ? "amqps" : "amqp",
  host: broker.hostname,
  port: broker.port,
  username: broker.userid,
  password: broker.password,
  vhost: broker.virtual_host,
  tls: tlsOf(broker),
  // 5 s are its default, which is not the URL's.
  connectTimeout: broker.connect_timeout === 5 ? undefined : Number(broker.connect_timeout),
  loginMethod: broker.login_method,
  heartbeat: broker.heartbeat
})

const ours = (uri: AmqpUri.AmqpUri) => ({
  scheme: uri.scheme,
  host: uri.host,
  port: uri.port,
  username: uri.username,
  password: Redacted.value(uri.password),
  vhost: uri.vhost,
  tls: uri.tls,
  connectTimeout: uri.connectTimeout,
  loginMethod: uri.loginMethods?.join(",") ?? "PLAIN",
  heartbeat: uri.heartbeat ?? 0
})

const same = ({ brokers, url }: Row): void => {
  const uris = Result.getOrThrow(AmqpUri.parseAll(url))
  assert.deepStrictEqual(uris.map(ours), brokers!.map(kombus), url)
}

const exceptions = { ...otherwise, ...refused, ...taken }

describe("the URLs that Kombu was asked to read", () => {
  it("are read the same, but for those with a reason", () => {
    const rows = captured.urls.filter(({ brokers, url }) => brokers !== undefined && !Object.hasOwn(exceptions, url))
    for (const row of rows) same(row)
    assert.isAbove(rows.length, 70)
  })

  it("are refused where it refuses them", () => {
    const rows = captured.urls.filter(({ error, url }) => error !== undefined && !Object.hasOwn(taken, url))
    for (const { url } of rows) assert.isTrue(Result.isFailure(AmqpUri.parseAll(url)), url)
    assert.isAbove(rows.length, 8)
  })

  it("differ where a reason is given", () => {
    const known = new Map(captured.urls.map((row) => [row.url, row]))
    for (const url of Object.keys(exceptions)) {
      const row = known.get(url)
      assert.isDefined(row, url)
      if (Object.hasOwn(refused, url)) assert.isTrue(Result.isFailure(AmqpUri.parseAll(url)), url)
      else if (Object.hasOwn(taken, url)) assert.isTrue(Result.isSuccess(AmqpUri.parseAll(url)), url)
      else assert.throws(() => same(row), undefined, undefined, url)
    }
  })
})
