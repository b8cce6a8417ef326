/** Signed messages, without a broker: what is read, and above all what is not (RELIABILITY G12). Python reads them in test/interop. */
import type { HubError } from "@apium/hub/HubError"
import * as Message from "@apium/hub/Message"
import { layerSecurity } from "@apium/hub/node"
import * as Security from "@apium/hub/Security"
import * as Serializer from "@apium/hub/Serializer"
import * as SignedMessage from "@apium/protocol/celery/SignedMessage"
import * as Content from "@apium/protocol/kombu/Content"
import { msgpack } from "@apium/protocol/kombu/Msgpack"
import { assert, layer } from "@effect/vitest"
import { Context, Effect, Layer, Redacted } from "effect"
import { TestClock } from "effect/testing"
import { mkdirSync, readFileSync, writeFileSync } from "node:fs"
import * as path from "node:path"
import * as Certificates from "../../../test/support/Certificates.ts"
import * as Commands from "../../../test/support/Commands.ts"
import * as Server from "../../../test/support/Server.ts"

interface Pem {
  readonly key: string
  readonly certificate: string
}

const pemOf = ({ certificate, key }: Certificates.Certificate): Pem => ({
  key: readFileSync(key, "utf8"),
  certificate: readFileSync(certificate, "utf8")
})

/** Made once for all: `ours` and `theirs` are trusted, `stranger` is not. */
class Keys extends Context.Service<
  Keys,
  { readonly folder: string; readonly ours: Pem; readonly theirs: Pem; readonly stranger: Pem; readonly curve: Pem }
>()("test/Keys") {
  static readonly layer = Layer.effect(
    Keys,
    Effect.gen(function* () {
      const folder = yield* Server.folder
      yield* Certificates.make(folder)
      const curve = yield* Certificates.issue(folder, "curve")
      const [ours, theirs, stranger] = yield* Effect.forEach(["ours", "theirs", "stranger"], (name) =>
        Certificates.selfSigned(folder, name)
      )
      return {
        folder,
        ours: pemOf(ours!),
        theirs: pemOf(theirs!),
        stranger: pemOf(stranger!),
        curve: pemOf(curve)
      }
    })
  )
}

const hour = 3_600_000

/** An hour after all certificates began: TestClock's own time is before them. */
const now = Effect.andThen(TestClock.setTime(Date.now() + hour), Keys)

const signing = ({ certificate, key }: Pem, certificates: ReadonlyArray<Pem>, more: Partial<Security.Options> = {}) =>
  Security.layer({
    key: Redacted.make(key),
    certificate,
    certificates: certificates.map(({ certificate }) => certificate),
    ...more
  })

const registryOf = (options: Layer.Layer<never, Security.SecurityError>) =>
  Effect.provide(
    Effect.map(Serializer.Serializers, (registry) => registry),
    options
  )

const refusal = (read: Effect.Effect<unknown, HubError>) => Effect.map(Effect.flip(read), ({ reason }) => reason)

const body = [[1, "zwei"], { three: 3 }, { callbacks: null }]

/** The body, with the content type of a signed message. */
const signed = (body: Uint8Array) => Message.make(body, { contentType: "application/data", contentEncoding: "utf-8" })

const bits = (octets: Uint8Array, bit: number): Uint8Array => {
  const changed = octets.slice()
  changed[bit >> 3]! ^= 1 << (bit & 7)
  return changed
}

layer(Keys.layer)("a signed message", (it) => {
  it.effect("is read by who has the certificate of its signer", () =>
    Effect.gen(function* () {
      const { ours, theirs } = yield* now
      for (const format of ["5.5", "5.4"] as const) {
        for (const digest of ["sha256", "sha384", "sha512"] as const) {
          const sender = yield* registryOf(signing(ours, [theirs], { format, digest }))
          const reader = yield* registryOf(signing(theirs, [ours], { digest }))
          const message = yield* Serializer.encodeWith(sender, body, { compression: "zlib" })
          assert.deepStrictEqual(message.properties, { contentType: "application/data", contentEncoding: "utf-8" })
          assert.deepStrictEqual(yield* Serializer.decodeWith(reader, message), body)
        }
      }
    })
  )

  it.effect("is what its sender sends, unless he names another serializer", () =>
    Effect.gen(function* () {
      const { ours } = yield* now
      const registry = yield* registryOf(signing(ours, [ours]))
      assert.strictEqual((yield* Serializer.encodeWith(registry, 1, {})).properties.contentType, "application/data")
      const plain = yield* Serializer.encodeWith(registry, 1, { serializer: "json" })
      assert.strictEqual(plain.properties.contentType, "application/json")
      assert.strictEqual((yield* refusal(Serializer.decodeWith(registry, plain)))._tag, "ContentDisallowed")
    })
  )

  it.effect("is never read with one bit changed: 10,000 of them, in both formats", () =>
    Effect.gen(function* () {
      const { ours } = yield* now
      const registry = yield* registryOf(signing(ours, [ours]))
      let [accepted, inner] = [0, 0]
      for (const format of ["5.5", "5.4"] as const) {
        const sender = yield* registryOf(signing(ours, [ours], { format }))
        const { body: octets } = yield* Serializer.encodeWith(sender, body, {})
        const order = crypto.getRandomValues(new Uint32Array(5000))
        for (const random of order) {
          const read = yield* Effect.result(
            Serializer.decodeWith(registry, signed(bits(octets, random % (octets.length * 8))))
          )
          if (read._tag === "Success") accepted++
          else assert.strictEqual(read.failure.reason._tag, "SignatureRefused")
        }
        // And below the base64, where a flip leaves what can be read.
        const inside = Uint8Array.from(atob(new TextDecoder().decode(octets)), (letter) => letter.charCodeAt(0))
        for (let bit = 0; bit < inside.length * 8; bit++) {
          const again = new TextEncoder().encode(btoa(String.fromCharCode(...bits(inside, bit))))
          const read = yield* Effect.result(Serializer.decodeWith(registry, signed(again)))
          if (read._tag === "Success") accepted++
          inner++
        }
      }
      // oxlint-disable-next-line no-console
      console.log(
        `signed messages with one bit changed: 10000, and ${inner} inside of the base64: ${accepted} accepted`
      )
      assert.strictEqual(accepted, 0)
    })
  )

  it.effect("of a signer nobody knows is refused, and so is one that names another", () =>
    Effect.gen(function* () {
      const { ours, stranger, theirs } = yield* now
      const reader = yield* registryOf(signing(ours, [ours, theirs]))
      const sent = yield* Serializer.encodeWith(yield* registryOf(signing(stranger, [stranger])), body, {})
      const unknown = yield* refusal(Serializer.decodeWith(reader, sent))
      assert.strictEqual(unknown._tag, "SignatureRefused")
      assert.match(unknown.message, /no certificate of its signer, "Signers of a test stranger \d+"/)

      const genuine = yield* Serializer.encodeWith(yield* registryOf(signing(theirs, [theirs])), body, {})
      const length = () => 256
      const theirId = yield* Effect.fromResult(SignedMessage.decode(genuine.body, length))
      const fake = yield* Effect.fromResult(SignedMessage.decode(sent.body, length))
      const forged = SignedMessage.encode({ ...fake, signer: theirId.signer })
      assert.match((yield* refusal(Serializer.decodeWith(reader, signed(forged)))).message, /it is not what .* signed/)
    })
  )

  it.effect("is refused before its certificate begins, and once it has expired", () =>
    Effect.gen(function* () {
      const { ours } = yield* now
      const registry = yield* registryOf(signing(ours, [ours]))
      const message = yield* Serializer.encodeWith(registry, body, {})
      assert.deepStrictEqual(yield* Serializer.decodeWith(registry, message), body)
      yield* TestClock.setTime(Date.now() - 24 * hour)
      assert.match((yield* refusal(Serializer.decodeWith(registry, message))).message, /it is not valid before 20/)
      yield* TestClock.setTime(Date.now() + 72 * hour)
      assert.match((yield* refusal(Serializer.decodeWith(registry, message))).message, /it expired at 20/)
      const unsent = yield* refusal(Serializer.encodeWith(registry, body, {}))
      assert.strictEqual(unsent._tag, "EncodeFailed")
      assert.match(unsent.message, /it expired at 20/)
    })
  )

  it.effect("with separators where none belong is refused, and they may be in what is signed (celery#9010)", () =>
    Effect.gen(function* () {
      const { ours } = yield* now
      const registry = yield* registryOf(signing(ours, [ours], { serializers: [Content.bytes] }))
      const octets = Uint8Array.of(0, 1, 123, 0, 1, 0, 1)
      for (const format of ["5.5", "5.4"] as const) {
        const sender = yield* registryOf(signing(ours, [ours], { format, serializers: [Content.bytes] }))
        const message = yield* Serializer.encodeWith(sender, octets, {})
        assert.deepStrictEqual(yield* Serializer.decodeWith(registry, message), octets)
        const fields = yield* Effect.fromResult(SignedMessage.decode(message.body, () => 256))
        const injected: ReadonlyArray<Partial<SignedMessage.SignedMessage>> = [
          { signer: `${fields.signer}\0\u0001` },
          { signer: "" },
          { contentType: `${fields.contentType}\0\u0001binary\0\u0001x` },
          { contentType: "" },
          { contentType: "application/json" },
          { contentType: "application/x-python-serialize" },
          { contentType: "APPLICATION/DATA" },
          { contentEncoding: "binary\0\u0001" },
          { contentEncoding: "" },
          { contentEncoding: "Binary" },
          { signature: Uint8Array.of(...fields.signature, 0, 1) },
          { signature: fields.signature.subarray(0, 255) },
          { signature: new Uint8Array(0) },
          { body: octets.subarray(0, 3) },
          { body: Uint8Array.of(0, 1, ...octets) }
        ]
        for (const change of injected) {
          const changed = SignedMessage.encode({ ...fields, ...change }, format)
          const reason = yield* refusal(Serializer.decodeWith(registry, signed(changed)))
          assert.strictEqual(reason._tag, "SignatureRefused", JSON.stringify(change))
        }
      }
    })
  )

  it.effect("is base64 in its one form", () =>
    Effect.gen(function* () {
      const { ours } = yield* now
      const registry = yield* registryOf(signing(ours, [ours]))
      const { body: octets } = yield* Serializer.encodeWith(registry, body, {})
      const text = new TextDecoder().decode(octets)
      const others = [
        `${text}\n`,
        ` ${text}`,
        `${text}=`,
        text.replace(/=+$/, "") + "====",
        text.slice(0, -4),
        "",
        "e30="
      ]
      for (const other of [...others, ...others.map((one) => one.replaceAll("+", "-"))]) {
        if (other === text) continue
        const reason = yield* refusal(Serializer.decodeWith(registry, signed(new TextEncoder().encode(other))))
        assert.strictEqual(reason._tag, "SignatureRefused", other.slice(0, 20))
      }
    })
  )

  it.effect("is the only thing that is read, whatever a message says of its content", () =>
    Effect.gen(function* () {
      const { ours } = yield* now
      const registry = yield* registryOf(signing(ours, [ours]))
      const octets = new TextEncoder().encode("[[],{},{}]")
      const types = [undefined, "", "application/data", "application/data; charset=utf-8", "Application/Data"]
      for (const contentType of types) {
        const reason = yield* refusal(Serializer.decodeWith(registry, Message.make(octets, { contentType })))
        assert.strictEqual(reason._tag, "SignatureRefused", contentType)
      }
      for (const contentType of ["application/json", "text/plain", "application/x-python-serialize", "auth"]) {
        const reason = yield* refusal(Serializer.decodeWith(registry, Message.make(octets, { contentType })))
        assert.strictEqual(reason._tag, "ContentDisallowed", contentType)
      }
    })
  )

  it.effect("stays the only thing that is read, with a serializer that is there to be sent with", () =>
    Effect.gen(function* () {
      const { ours } = yield* now
      const more = (options: Serializer.Options) =>
        Effect.provide(
          Effect.map(Serializer.Serializers, (registry) => registry),
          Serializer.layer({ serializers: [msgpack], ...options }).pipe(Layer.provide(signing(ours, [ours])))
        )
      const registry = yield* more({ compression: "zlib" })
      assert.isTrue(registry.signed)
      const plain = yield* Serializer.encodeWith(registry, body, { serializer: "msgpack" })
      assert.strictEqual((yield* refusal(Serializer.decodeWith(registry, plain)))._tag, "ContentDisallowed")
      const open = yield* more({ accept: ["auth", "msgpack"] })
      assert.isFalse(open.signed)
      assert.deepStrictEqual(yield* Serializer.decodeWith(open, plain), body)
    })
  )

  it.effect("stands beside what nobody signed, while a deployment changes", () =>
    Effect.gen(function* () {
      const { ours } = yield* now
      const registry = yield* registryOf(signing(ours, [ours], { accept: ["json"] }))
      const plain = yield* Serializer.encodeWith(registry, body, { serializer: "json" })
      assert.deepStrictEqual(yield* Serializer.decodeWith(registry, plain), body)
      assert.isFalse(registry.signed)
      const error = yield* Effect.flip(registryOf(signing(ours, [ours], { accept: ["pickle"] })))
      assert.include(error.message, "pickle")
    })
  )

  it.effect("is not written without a key, and is read without one", () =>
    Effect.gen(function* () {
      const { ours } = yield* now
      const message = yield* Serializer.encodeWith(yield* registryOf(signing(ours, [])), body, {})
      const reader = yield* registryOf(Security.layer({ certificates: [ours.certificate] }))
      assert.deepStrictEqual(yield* Serializer.decodeWith(reader, message), body)
      const unsent = yield* refusal(Serializer.encodeWith(reader, body, {}))
      assert.match(unsent.message, /there is no key to sign it with/)
    })
  )

  it.effect(
    "wants keys and certificates that belong together, and says which one is wrong and nothing of what it is",
    () =>
      Effect.gen(function* () {
        const { curve, folder, ours, theirs } = yield* now
        const small = pemOf(yield* Certificates.selfSigned(folder, "small", { algorithm: "rsa:1024" }))
        const traditional = (options: string) =>
          Commands.run([
            "openssl",
            ..."rsa -traditional -in".split(" "),
            path.join(folder, "ours.key"),
            ...options.split(" ")
          ])
        const old = yield* traditional("-aes128 -passout pass:hunter2")
        const spoilt = ours.key.replaceAll(/^[A-Za-z\d+/=]{64}$/gm, (line, at: number) =>
          at > 500 ? line : "A".repeat(64)
        )
        const cases: ReadonlyArray<readonly [Partial<Pem>, Partial<Security.Options>, RegExp]> = [
          [{ key: theirs.key }, {}, /certificate .* is of another key/],
          [{ key: curve.key }, {}, /key .* of an elliptic curve \(EC\).*openssl genrsa/],
          [curve, {}, /certificate .* of an elliptic curve \(EC\)/],
          [small, {}, /has 1024 bits/],
          [{ key: old }, {}, /key .* OpenSSL's old way: convert it with openssl pkcs8/],
          [{ key: ours.certificate }, {}, /key .* this has CERTIFICATE/],
          [{ certificate: ours.key }, {}, /certificate .* this has PRIVATE KEY/],
          [{ key: "hunter2" }, {}, /no PEM block/],
          [{ key: spoilt }, {}, /key .* cannot be used/],
          [{}, { key: undefined }, /key .* there is none/],
          [{}, { certificate: undefined }, /certificate .* there is none/],
          [
            {},
            { certificates: [ours.certificate, ours.certificate] },
            /certificate 2 of 2.* another one has its issuer/
          ],
          [{}, { certificates: [curve.certificate] }, /certificate 1 of 1/],
          [{}, { digest: "md5" as "sha256" }, /digest .* one of sha256, sha384, sha512/]
        ]
        for (const [pem, options, expected] of cases) {
          const error = yield* Effect.flip(registryOf(signing({ ...ours, ...pem }, [ours], options)))
          assert.strictEqual(error._tag, "SecurityError")
          assert.match(error.message, expected)
          const shown = JSON.stringify(error) + error.message + String(error.cause) + (error.stack ?? "")
          assert.notInclude(shown, "hunter2")
          for (const line of [...ours.key.split("\n"), ...theirs.key.split("\n")].filter((line) => line.length > 40)) {
            assert.notInclude(shown, line)
          }
        }
      })
  )

  it.effect("may have a key in any form that openssl writes, also one with a password", () =>
    Effect.gen(function* () {
      const { folder, ours } = yield* now
      const openssl = (options: string) =>
        Commands.run(["openssl", ...options.replace("KEY", path.join(folder, "ours.key")).split(" ")])
      const pkcs1 = yield* openssl("rsa -traditional -in KEY")
      assert.include(pkcs1, "BEGIN RSA PRIVATE KEY")
      const encrypted = yield* Effect.forEach(["-v2 aes-256-cbc", "-v2 aes-128-cbc -v2prf hmacWithSHA1"], (how) =>
        openssl(`pkcs8 -topk8 -in KEY ${how} -passout pass:hunter2`)
      )
      const keyPassword = Redacted.make("hunter2")
      for (const key of [pkcs1, ...encrypted]) {
        const registry = yield* registryOf(signing({ ...ours, key }, [ours], { keyPassword }))
        const message = yield* Serializer.encodeWith(registry, body, {})
        assert.deepStrictEqual(yield* Serializer.decodeWith(registry, message), body)
      }
      const [key] = encrypted
      const without = yield* Effect.flip(registryOf(signing({ ...ours, key: key! }, [ours])))
      assert.match(without.message, /it is encrypted, and there is no password/)
      const wrong = yield* Effect.flip(
        registryOf(signing({ ...ours, key: key! }, [ours], { keyPassword: Redacted.make("hunter3") }))
      )
      assert.match(wrong.message, /opened by another password/)
    })
  )

  it.effect("may have keys and certificates that are files, in a folder or by a pattern", () =>
    Effect.gen(function* () {
      const { folder, ours, theirs } = yield* now
      const store = path.join(folder, "store")
      mkdirSync(store)
      for (const [name, { certificate }] of Object.entries({ ours, theirs })) {
        writeFileSync(path.join(store, `${name}.pem`), certificate)
      }
      const files = { key: path.join(folder, "ours.key"), certificate: path.join(folder, "ours.pem") }
      for (const certStore of [store, path.join(store, "*.pem"), path.join(store, "our?.pem")]) {
        const registry = yield* registryOf(layerSecurity({ ...files, certStore }))
        const message = yield* Serializer.encodeWith(registry, body, {})
        assert.deepStrictEqual(yield* Serializer.decodeWith(registry, message), body)
      }
      writeFileSync(path.join(store, "notes.txt"), "no certificate")
      const cases = [
        [{ ...files, certStore: store }, /certificate .*notes\.txt: .*no PEM block/],
        [{ ...files, certStore: path.join(store, "*.crt") }, /there is no file/],
        [{ ...files, certStore: path.join(store, "nowhere", "*") }, /cannot be read \(ENOENT\)/],
        [
          { ...files, key: path.join(folder, "none.key"), certStore: store },
          /key .*none\.key cannot be read \(ENOENT\)/
        ],
        // Nothing of the text is shown: here it is the key itself.
        [
          { ...files, key: ours.key, certStore: store },
          /^[^-]*key [^-]*a PEM text where the name of a file belongs[^-]*$/
        ],
        [{ ...files, certStore: ours.certificate }, /certificate store .*a PEM text where the name of a file belongs/]
      ] as const
      for (const [wrong, expected] of cases) {
        assert.match((yield* Effect.flip(registryOf(layerSecurity(wrong)))).message, expected)
      }
    })
  )
})
