/** How messages are written and read, by the environment. */
import { assert, layer } from "@effect/vitest"
import { Context, Effect, Layer } from "effect"
import * as Certificates from "../../../test/support/Certificates.ts"
import * as Server from "../../../test/support/Server.ts"
import { apium, fixture } from "./support/Cli.ts"

class Signer extends Context.Service<Signer, Certificates.Certificate>()("test/Signer") {
  static readonly layer = Layer.effect(
    Signer,
    Effect.flatMap(Server.folder, (folder) => Certificates.selfSigned(folder, "cli"))
  )
}

const call = (env: Readonly<Record<string, string>>) =>
  apium(["call", "proj.add", "--args=[2,3]", "-A", fixture("tasks")], env)

layer(Signer.layer, { excludeTestServices: true })("the environment of apium", (it) => {
  it.effect("says how tasks are written", () =>
    Effect.gen(function* () {
      const env = {
        APIUM_ACCEPT_CONTENT: "json, msgpack",
        APIUM_TASK_SERIALIZER: "msgpack",
        APIUM_TASK_COMPRESSION: "zstd"
      }
      assert.deepStrictEqual(yield* call(env), { code: 0, stdout: "5\n", stderr: "" })
    })
  )

  it.effect("has the files of who signs, and then nothing else is sent or read", () =>
    Effect.gen(function* () {
      const { certificate, key } = yield* Signer
      const env = {
        APIUM_SECURITY_KEY: key,
        APIUM_SECURITY_CERTIFICATE: certificate,
        APIUM_SECURITY_CERT_STORE: certificate
      }
      assert.deepStrictEqual(yield* call(env), { code: 0, stdout: "5\n", stderr: "" })
    })
  )

  it.effect("is read before anything is sent, and what is wrong with it is said", () =>
    Effect.gen(function* () {
      const { certificate, key } = yield* Signer
      const cases = [
        [{ APIUM_SECURITY_KEY: key }, "APIUM_SECURITY_CERTIFICATE: signed messages (auth) need it"],
        [{ APIUM_ACCEPT_CONTENT: "pickle" }, "APIUM_ACCEPT_CONTENT: pickle is refused always"],
        [{ APIUM_TASK_COMPRESSION: "bzip2" }, "APIUM_TASK_COMPRESSION: it takes zlib"],
        [
          {
            APIUM_SECURITY_KEY: certificate,
            APIUM_SECURITY_CERTIFICATE: certificate,
            APIUM_SECURITY_CERT_STORE: certificate
          },
          "The key of signed messages cannot be used"
        ]
      ] as const
      for (const [env, expected] of cases) {
        const { code, stderr, stdout } = yield* call(env)
        assert.deepStrictEqual([code, stdout], [64, ""])
        assert.include(stderr, expected)
      }
    })
  )
})
