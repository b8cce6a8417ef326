import * as RedisUri from "@apium/transport-redis/RedisUri"
import { assert, describe, it } from "@effect/vitest"
import { Redacted, Result } from "effect"

const read = (text: string) => {
  const { database, host, password, port, tls, username } = RedisUri.parseUnsafe(text)
  return [host, port, username, password && Redacted.value(password), database, tls]
}

describe("a URL of Redis", () => {
  it("is what kombu takes it for", () => {
    assert.deepStrictEqual(read("redis://"), ["localhost", 6379, undefined, undefined, 0, undefined])
    assert.deepStrictEqual(read("redis://h"), ["h", 6379, undefined, undefined, 0, undefined])
    assert.deepStrictEqual(read("redis://:p%40%2F@h:7/3"), ["h", 7, undefined, "p@/", 3, undefined])
    assert.deepStrictEqual(read("redis://u:p:q@h/"), ["h", 6379, "u", "p:q", 0, undefined])
    assert.deepStrictEqual(read("redis://u@[::1]:1/12"), ["::1", 1, "u", undefined, 12, undefined])
  })

  it("with TLS is verified unless it says otherwise", () => {
    assert.deepStrictEqual(read("rediss://h").at(-1), { verify: true, caCerts: undefined })
    assert.deepStrictEqual(read("rediss://h/0?ssl_cert_reqs=CERT_NONE").at(-1), { verify: false, caCerts: undefined })
    assert.deepStrictEqual(read("rediss://h?ssl_cert_reqs=required&ssl_ca_certs=/ca.pem").at(-1), {
      verify: true,
      caCerts: "/ca.pem"
    })
  })

  it("that is none says what is wrong with it, and shows no password", () => {
    for (const [text, what] of [
      ["amqp://u:secret@h", /^A URL of Redis is/],
      ["redis://u:secret@h@i", /^A URL of Redis is/],
      ["redis://u:secret/@h", /^A URL of Redis is/],
      ["redis://u:sec%ret@h", /^The password is not percent-encoded/],
      ["redis://u:secret@h:70000", /^The port should be 0 to 65535/],
      ["redis://u:secret@h/secret", /^The database after the slash/],
      ["redis://u:secret@h?ssl_cert_reqs=none", /^redis:\/\/ takes no parameters/],
      ["rediss://u:secret@h?ssl_cert_reqs=optional", /^ssl_cert_reqs is not/]
    ] as const) {
      const failure = Result.getOrThrow(Result.flip(RedisUri.parse(text)))
      assert.match(failure.message, what, text)
      assert.notInclude(failure.message, "secret", text)
    }
  })
})
