import { inspect } from "node:util"
import * as AmqpUri from "@apium/protocol/amqp/AmqpUri"
import { assert, describe, it } from "@effect/vitest"
import { Redacted, Result } from "effect"

type Row = readonly [
  url: string,
  scheme: "amqp" | "amqps",
  host: string,
  port: number,
  user: string,
  password: string,
  vhost: string
]

/** Each checked against kombu 5.2's `parse_url` and its defaults. */
const kombu: ReadonlyArray<Row> = [
  ["amqp://", "amqp", "localhost", 5672, "guest", "guest", "/"],
  ["amqp://h", "amqp", "h", 5672, "guest", "guest", "/"],
  ["amqp://h/", "amqp", "h", 5672, "guest", "guest", "/"],
  ["amqp://h//", "amqp", "h", 5672, "guest", "guest", "/"],
  ["amqp://h/%2F", "amqp", "h", 5672, "guest", "guest", "/"],
  ["amqp://h/v", "amqp", "h", 5672, "guest", "guest", "v"],
  ["amqp://h//v", "amqp", "h", 5672, "guest", "guest", "/v"],
  ["amqp://h/a/b", "amqp", "h", 5672, "guest", "guest", "a/b"],
  ["amqp://u:p@h:1/v", "amqp", "h", 1, "u", "p", "v"],
  ["amqp://u@h", "amqp", "h", 5672, "u", "guest", "/"],
  ["amqp://u:p%40%2F%3Aw@h", "amqp", "h", 5672, "u", "p@/:w", "/"],
  ["amqp://u:p@w@h", "amqp", "h", 5672, "u", "p@w", "/"],
  ["amqp://u:a:b@h", "amqp", "h", 5672, "u", "a:b", "/"],
  ["pyamqp://H:5673/v", "amqp", "h", 5673, "guest", "guest", "v"],
  ["AMQP://h", "amqp", "h", 5672, "guest", "guest", "/"],
  ["amqps://h", "amqps", "h", 5671, "guest", "guest", "/"],
  ["amqp://[::1]:5673/v", "amqp", "::1", 5673, "guest", "guest", "v"],
  ["amqp://h/v#fragment", "amqp", "h", 5672, "guest", "guest", "v"]
]

const strict: ReadonlyArray<Row> = [
  ["amqp://h", "amqp", "h", 5672, "guest", "guest", "/"],
  ["amqp://h/", "amqp", "h", 5672, "guest", "guest", ""],
  ["amqp://h/%2f", "amqp", "h", 5672, "guest", "guest", "/"],
  ["amqp://user%61:%61pass@ho%61st:10000/v%2fhost", "amqp", "hoast", 10_000, "usera", "apass", "v/host"],
  ["amqp://[::1]", "amqp", "::1", 5672, "guest", "guest", "/"]
]

const assertRead = (rows: ReadonlyArray<Row>, options?: AmqpUri.Options): void => {
  for (const [url, scheme, host, port, username, password, vhost] of rows) {
    const uri = Result.getOrThrow(AmqpUri.parse(url, options))
    assert.deepInclude(
      { ...uri, password: Redacted.value(uri.password) },
      { scheme, host, port, username, password, vhost },
      url
    )
  }
}

const refusal = (url: string, options?: AmqpUri.Options): AmqpUri.InvalidUri => {
  const parsed = AmqpUri.parse(url, options)
  if (Result.isSuccess(parsed)) throw new Error(`${url} should have been refused`)
  assert.notInclude(`${inspect(parsed.failure)} ${JSON.stringify(parsed.failure)}`, "hunter2", url)
  return parsed.failure
}

describe("a broker's URL", () => {
  it("is read as Kombu reads it", () => {
    assertRead(kombu)
    assert.isAbove(kombu.length, 15)
  })

  it("is read as RabbitMQ's specification says, when asked", () => {
    assertRead(strict, { strict: true })
    assert.include(refusal("amqp://h//", { strict: true }), { suggestion: "/%2F" })
    assert.include(refusal("amqp://h/a/b", { strict: true }).message, "%2F")
  })

  it("may hold alternatives: a whole URL stands for itself, a bare host takes the rest from the first", () => {
    const [first, second, third, ...rest] = AmqpUri.parseAllUnsafe("amqp://u:p@a:1/v;amqp://b//;c:2")
    assert.deepStrictEqual(rest, [])
    assert.deepInclude(first, { host: "a", port: 1, username: "u", vhost: "v" })
    assert.deepInclude(second, { host: "b", port: 5672, username: "guest", vhost: "/" })
    assert.deepInclude(third, { host: "c", port: 2, username: "u", vhost: "v" })
    assert.include(refusal("amqp://a;amqp://b").message, "these are 2")
    assert.isTrue(Result.isFailure(AmqpUri.parseAll("amqp://a;")))
  })

  it("takes Kombu's parameters and RabbitMQ's", () => {
    const uri = Result.getOrThrow(
      AmqpUri.parse(
        "amqps://h/v?heartbeat=30&connect_timeout=2.5&channel_max=10&frame_max=8192&login_method=EXTERNAL,PLAIN&ssl_cert_reqs=CERT_NONE&ssl_ca_certs=%2Fca.pem&ssl_certfile=c.pem&ssl_keyfile=k.pem&ssl_check_hostname=False"
      )
    )
    assert.deepInclude(uri, { heartbeat: 30, connectTimeout: 2.5, channelMax: 10, frameMax: 8192 })
    assert.deepStrictEqual(uri.loginMethods, ["EXTERNAL", "PLAIN"])
    assert.deepStrictEqual(uri.tls, {
      verify: "none",
      caCerts: "/ca.pem",
      certFile: "c.pem",
      keyFile: "k.pem",
      checkHostname: false
    })
    const other = Result.getOrThrow(
      AmqpUri.parse(
        "amqps://h?connection_timeout=2500&verify=verify_peer&server_name_indication=name&auth_mechanism=plain"
      )
    )
    assert.strictEqual(other.connectTimeout, 2.5)
    assert.deepStrictEqual(other.tls, { verify: "required", serverName: "name" })
    assert.deepStrictEqual(other.loginMethods, ["PLAIN"])
    assert.deepStrictEqual(Result.getOrThrow(AmqpUri.parse("amqps://h")).tls, { verify: "required" })
    assert.isUndefined(Result.getOrThrow(AmqpUri.parse("amqp://h")).tls)
  })

  it("is refused with what is wrong, what was meant, and never the password", () => {
    assert.include(refusal("amqb://u:hunter2@h"), { suggestion: "amqp://" })
    assert.include(refusal("redis://u:hunter2@h").message, "redis://")
    refusal("u:hunter2@h")
    refusal("hunter2")
    assert.include(refusal("amqp://u:hunter2").message, "port")
    assert.include(refusal("amqp://u:hunter2/@h").suggestion, "%2F")
    assert.include(refusal("amqp://u:hunter2%zz@h").message, "The password")
    for (const url of [
      "amqp://u:p@ss/hunter2@h//",
      "amqp://u:1/hunter2@h",
      "amqp://u:1?hunter2@h",
      "amqp://u:1#hunter2@h"
    ])
      assert.include(refusal(url).suggestion, "%2F")
    refusal("amqp://u:hunter2@h:99999")
    refusal("amqp://u:hunter2@::1")
    assert.include(refusal("amqp://u:hunter2@h?heartbaet=3"), { suggestion: "heartbeat" })
    assert.include(refusal("amqp://u:hunter2@h?heartbeat=soon").message, "heartbeat=60")
    assert.include(refusal("amqp://u:hunter2@h?ssl_cert_reqs=none"), { suggestion: "amqps://" })
    assert.include(refusal("amqps://u:hunter2@h?ssl_cert_reqs=maybe").message, "required, optional or none")
    refusal("amqp://u:hunter2@h?toString=1")
  })

  it("is printed without its password", () => {
    for (const [url] of kombu) {
      const uri = Result.getOrThrow(AmqpUri.parse(url))
      const shown = AmqpUri.format(uri)
      const again = Result.getOrThrow(AmqpUri.parse(shown))
      assert.strictEqual(Redacted.value(again.password), "**", url)
      assert.deepStrictEqual({ ...again, password: 0, tls: 0 }, { ...uri, password: 0, tls: 0 }, url)
    }
    const secret = Result.getOrThrow(AmqpUri.parse("amqp://u:hunter2@h"))
    assert.notInclude(`${inspect(secret)} ${JSON.stringify(secret)} ${AmqpUri.format(secret)}`, "hunter2")
    for (const text of ["u:hunter2@h", "amqp://u:hunter2@h", "amqp://u:hun@ter2:hunter2@h", "amqp://u:hunter2"]) {
      assert.notInclude(AmqpUri.mask(text), "hunter2")
    }
  })
})
