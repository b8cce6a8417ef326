import * as HubQueue from "@apium/hub/Queue"
import * as Frame from "@apium/protocol/amqp/Frame"
import * as Method from "@apium/protocol/amqp/Method"
import * as FakeBroker from "@apium/transport-amqp/testing/FakeBroker"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import { connect, raw, refusal, settle, until } from "../support/Fake.ts"

/** What a broker does with each thing a client says before it is connected, and what the client then waits for. */
const steps = [
  { step: "accept", due: "connection.start" },
  { step: "protocol-header", due: "connection.start" },
  { step: "connection.start-ok", due: "connection.tune" },
  { step: "connection.tune-ok", due: "connection.open-ok" },
  { step: "connection.open", due: "connection.open-ok" }
] as const

const url = "amqp://guest:guest@localhost//?connect_timeout=3"

/** It is as if nothing had been: another attempt gets through, and nobody is left over. */
const clean = (fake: FakeBroker.FakeBroker["Service"]) =>
  Effect.gen(function* () {
    yield* until(() => fake.connections().length === 0)
    yield* Effect.scoped(
      Effect.gen(function* () {
        const channel = yield* (yield* connect(fake, url)).channel
        yield* channel.queueDeclare(HubQueue.temporary())
      })
    )
    yield* until(() => fake.connections().length === 0)
  })

describe("a handshake that fails", () => {
  it.effect("is a lost connection that names the step, when the broker cuts it there; the next one is clean", () =>
    Effect.forEach(
      steps,
      Effect.fnUntraced(function* ({ due, step }) {
        const fake = yield* FakeBroker.make({ script: { [step]: FakeBroker.first(1, FakeBroker.cut) } })
        const reason = yield* refusal(fake, url)
        assert.strictEqual(reason._tag, "ConnectionLost", step)
        assert.match(
          reason.message,
          new RegExp(`while ${due} was due${step === "accept" ? "|before it said anything" : ""}`)
        )
        yield* clean(fake)
      }),
      { discard: true }
    )
  )

  it.effect(
    "is given up at the deadline and not before, when the broker falls silent there; the next one is clean",
    () =>
      Effect.forEach(
        steps,
        Effect.fnUntraced(function* ({ due, step }) {
          // Silent about tune-ok, it still hears open.
          const silent = step === "connection.tune-ok" ? "connection.open" : step
          const fake = yield* FakeBroker.make({ script: { [silent]: FakeBroker.first(1, FakeBroker.silence) } })
          const attempt = yield* Effect.forkChild(refusal(fake, url))
          yield* settle
          yield* TestClock.adjust("2999 millis")
          assert.isUndefined(attempt.pollUnsafe(), step)
          yield* TestClock.adjust("1 millis")
          const reason = yield* Fiber.join(attempt)
          assert.strictEqual(reason._tag, "ConnectionLost")
          assert.include(reason.message, `no answer within 3s, while ${due} was due`)
          yield* clean(fake)
        }),
        { discard: true }
      )
  )

  it.effect("is given up at the one deadline for all steps together, when each is slow", () =>
    Effect.gen(function* () {
      const slow = FakeBroker.delay("1 second")
      const script = {
        "protocol-header": slow,
        "connection.start-ok": slow,
        "connection.tune-ok": slow,
        "connection.open": slow
      }
      const fake = yield* FakeBroker.make({ script })
      const attempt = yield* Effect.forkChild(refusal(fake, url))
      for (let second = 1; second <= 3; second++) {
        yield* settle
        assert.isUndefined(attempt.pollUnsafe())
        yield* TestClock.adjust("1 second")
      }
      const reason = yield* Fiber.join(attempt)
      assert.include(reason.message, "no answer within 3s, while connection.open-ok was due")
      const patient = yield* Effect.forkScoped(connect(fake, "amqp://localhost//?connect_timeout=5"))
      for (let second = 1; second <= 4; second++) yield* Effect.andThen(settle, TestClock.adjust("1 second"))
      yield* Fiber.join(patient)
    })
  )

  it.effect("says what the broker refused, in the broker's words", () =>
    Effect.gen(function* () {
      const fake = yield* FakeBroker.make({ users: { guest: "secret" } })
      const wrong = yield* refusal(fake, "amqp://guest:correct-horse@localhost//")
      assert.strictEqual(wrong._tag, "AccessRefused")
      assert.match(wrong.message, /ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN/)
      assert.notInclude(JSON.stringify(wrong), "correct-horse")
      const missing = yield* refusal(fake, "amqp://guest:secret@localhost/nope")
      assert.strictEqual(missing._tag, "VhostNotFound")
      fake.on("connection.open", FakeBroker.refuse(530, "NOT_ALLOWED - access to vhost '/' refused for user 'guest'"))
      assert.strictEqual((yield* refusal(fake, "amqp://guest:secret@localhost//"))._tag, "AccessRefused")
      fake.on("connection.open", FakeBroker.refuse(541, "INTERNAL_ERROR - vhost '/' is down"))
      const down = yield* refusal(fake, "amqp://guest:secret@localhost//")
      assert.strictEqual(down._tag, "ConnectionLost")
      assert.include(down.message, "541 INTERNAL_ERROR - vhost '/' is down")
    })
  )

  it.effect("is a protocol mismatch, when something that is due at another time comes in its place", () =>
    Effect.gen(function* () {
      const script = {
        "connection.start-ok": FakeBroker.first(1, FakeBroker.answer(Method.connectionSecure())),
        "connection.open": FakeBroker.first(1, FakeBroker.answer(Method.connectionTune()))
      }
      const fake = yield* FakeBroker.make({ script })
      const secure = yield* refusal(fake, url)
      assert.strictEqual(secure._tag, "ProtocolMismatch")
      assert.include(secure.message, "connection.secure where connection.tune was due")
      const tune = yield* refusal(fake, url)
      assert.include(tune.message, "connection.tune where connection.open-ok was due")
      yield* clean(fake)
    })
  )
})

describe("a peer that is no broker", () => {
  const peers = [
    { peer: "an HTTP server", says: "HTTP/1.1 400 Bad Request\r\n\r\n", offered: "HTTP" },
    { peer: "TLS", says: Uint8Array.of(0x15, 3, 3, 0, 2, 2, 70), offered: "TLS" },
    { peer: "AMQP 1.0", says: "AMQP\0\u0001\0\0", offered: "AMQP 1-0" },
    { peer: "AMQP 1.0 with SASL", says: "AMQP\u0003\u0001\0\0", offered: "AMQP 1-0" },
    { peer: "RabbitMQ, to a header that it does not know", says: "AMQP\0\0\t\u0001", offered: "AMQP 0-9" },
    { peer: "SSH", says: "SSH-2.0-OpenSSH_9.2\r\n", offered: "5353482d322e30" }
  ] as const

  it.effect("is a protocol mismatch with what it offered, without any wait; the next attempt is clean", () =>
    Effect.forEach(
      peers,
      Effect.fnUntraced(function* ({ offered, peer, says }) {
        for (const step of ["accept", "protocol-header"] as const) {
          const fake = yield* FakeBroker.make({ script: { [step]: FakeBroker.first(1, FakeBroker.send(says)) } })
          const reason = yield* refusal(fake, url)
          assert.strictEqual(reason._tag, "ProtocolMismatch", peer)
          if (reason._tag === "ProtocolMismatch") assert.include(reason.offered, offered)
          yield* clean(fake)
        }
      }),
      { discard: true }
    )
  )

  it.effect("and speaks to a broker in its turn hears the version, and the socket ends", () =>
    Effect.gen(function* () {
      const fake = yield* FakeBroker.make()
      for (const header of ["GET / HTTP/1.1\r\n\r\n", "AMQP\0\u0001\0\0", "\u0016\u0003\u0001\0\u0005"]) {
        const client = yield* raw(fake)
        yield* client.octets(header)
        assert.strictEqual(yield* client.rest, "AMQP\0\0\t\u0001")
      }
    }).pipe(Effect.scoped)
  )

  it.effect("whose first frame is announced as larger than any is refused by the announcement alone", () =>
    Effect.gen(function* () {
      const announced = Uint8Array.of(1, 0, 0, 0x7f, 0xff, 0xff, 0xff)
      const fake = yield* FakeBroker.make({ script: { "protocol-header": FakeBroker.send(announced) } })
      const reason = yield* refusal(fake, url)
      assert.strictEqual(reason._tag, "ProtocolMismatch")
      assert.match(reason.message, /2147483655 octets, and 131072 are the most/)
    })
  )
})

describe("a login", () => {
  const logins = [
    { offered: ["PLAIN", "AMQPLAIN"], wanted: "", chosen: "PLAIN" },
    { offered: ["AMQPLAIN", "PLAIN"], wanted: "", chosen: "PLAIN" },
    { offered: ["GSSAPI", "AMQPLAIN"], wanted: "", chosen: "AMQPLAIN" },
    { offered: ["PLAIN", "AMQPLAIN"], wanted: "AMQPLAIN", chosen: "AMQPLAIN" },
    { offered: ["PLAIN", "EXTERNAL"], wanted: "EXTERNAL", chosen: "EXTERNAL" },
    { offered: ["PLAIN", "ANONYMOUS"], wanted: "ANONYMOUS,PLAIN", chosen: "ANONYMOUS" },
    { offered: ["PLAIN"], wanted: "EXTERNAL,PLAIN", chosen: "PLAIN" }
  ]

  it.effect("takes the first mechanism that the client wants and the broker has", () =>
    Effect.forEach(
      logins,
      Effect.fnUntraced(function* ({ chosen, offered, wanted }) {
        const fake = yield* FakeBroker.make({ mechanisms: offered, users: { me: "correct-horse" }, record: 10 })
        const parameters = wanted === "" ? "" : `?login_method=${wanted}`
        yield* connect(fake, `amqp://me:correct-horse@localhost//${parameters}`)
        const [startOk] = fake.received()
        assert.strictEqual(startOk?.method._tag, "connection.start-ok")
        if (startOk?.method._tag === "connection.start-ok") {
          assert.strictEqual(startOk.method.mechanism, chosen)
          assert.strictEqual(startOk.method.response.length, 0, "what logs in is not kept")
        }
        const user = chosen.endsWith("PLAIN") ? "me" : "guest"
        assert.strictEqual(fake.connections()[0]?.user, user)
      }, Effect.scoped),
      { discard: true }
    )
  )

  it.effect("with no mechanism in common ends before anything secret is sent, and says what the broker has", () =>
    Effect.gen(function* () {
      const fake = yield* FakeBroker.make({ mechanisms: ["GSSAPI", "SCRAM-SHA-256"], record: 10 })
      const reason = yield* refusal(fake)
      assert.strictEqual(reason._tag, "NoCommonMechanism")
      if (reason._tag === "NoCommonMechanism") assert.deepStrictEqual(reason.offered, ["GSSAPI", "SCRAM-SHA-256"])
      assert.deepStrictEqual(fake.received(), [])
    })
  )

  it.effect("with a mechanism that was not offered, or before its time, is refused", () =>
    Effect.gen(function* () {
      const fake = yield* FakeBroker.make()
      const header = Uint8Array.of(0x41, 0x4d, 0x51, 0x50, 0, 0, 9, 1)
      const tries = [
        { says: Method.connectionStartOk({ mechanism: "EXTERNAL" }), code: 503 },
        { says: Method.connectionOpen({ virtualHost: "/" }), code: 504 },
        { says: Method.connectionTuneOk(), code: 504 }
      ]
      for (const { code, says } of tries) {
        const client = yield* raw(fake)
        yield* client.octets(header)
        yield* client.expect("connection.start")
        yield* client.octets(Frame.method(0, says))
        assert.strictEqual((yield* client.expect("connection.close")).replyCode, code)
        yield* client.say(0, Method.connectionCloseOk)
        assert.strictEqual(yield* client.rest, "")
      }
    })
  )
})
