import { Transport } from "@apium/hub/Transport"
import * as Amqp from "@apium/transport-amqp/node"
import { assert, layer } from "@effect/vitest"
import { Duration, Effect } from "effect"
import * as path from "node:path"
import * as Certificates from "../../../test/support/Certificates.ts"
import * as Ports from "../../../test/support/Ports.ts"
import { slack } from "../../../test/support/Figures.ts"
import { RabbitMq } from "../../../test/support/RabbitMq.ts"
import * as Server from "../../../test/support/Server.ts"

const connect = (url: string) =>
  Effect.scoped(
    Effect.gen(function* () {
      const { connect } = yield* Transport
      const channel = yield* (yield* connect).channel
      yield* channel.exchangeDelete("nowhere")
    })
  ).pipe(Effect.provide(Amqp.layerTransport(url)))

/** Why nobody connects: the reason's tag and text, within 5 s, and without the password. */
const refusal = (url: string) =>
  Effect.gen(function* () {
    const [took, error] = yield* Effect.timed(Effect.flip(connect(url)))
    const { reason } = error as { readonly reason: { readonly _tag: string; readonly message: string } }
    assert.isBelow(Duration.toMillis(took), 5000 + slack)
    assert.notInclude(`${error.message}${JSON.stringify(error)}`, "hunter2")
    return `${reason._tag} ${reason.message}`
  })

/** openssl's own server with this certificate. */
const serverWith = ({ certificate, key }: Certificates.Certificate, ...args: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const port = yield* Ports.free
    const command = ["openssl", "s_server", "-accept", `127.0.0.1:${port}`, "-cert", certificate, "-key", key, ...args]
    yield* Server.start({ command, ready: "ACCEPT" })
    return port
  })

const options = { excludeTestServices: true } as const

layer(RabbitMq.layer({ tls: true }), options)("TLS", (it) => {
  const place = Effect.map(RabbitMq, ({ node }) => ({
    plain: node.port,
    tls: node.tls!,
    folder: path.dirname(node.tls!.authority),
    url: (port: number, query: string, host = "127.0.0.1", user = "guest:guest@") =>
      `amqps://${user}${host}:${port}//?${query}`,
    trusting: `ssl_ca_certs=${node.tls!.authority}`
  }))
  const showing = ({ certificate, key }: Certificates.Certificate) => `ssl_certfile=${certificate}&ssl_keyfile=${key}`

  it.effect("connects to an address and to a name whose certificate the given authority has signed", () =>
    Effect.gen(function* () {
      const { tls, trusting, url } = yield* place
      yield* connect(url(tls.port, trusting))
      yield* connect(url(tls.port, trusting, "localhost"))
    })
  )

  it.effect("an authority nobody knows is TlsFailed, unless the URL wants no verification", () =>
    Effect.gen(function* () {
      const { tls, url } = yield* place
      assert.match(yield* refusal(url(tls.port, "")), /^TlsFailed .*(UNABLE_TO|SELF_SIGNED)/)
      yield* connect(url(tls.port, "ssl_cert_reqs=none"))
    })
  )

  it.effect("a certificate that has expired is TlsFailed", () =>
    Effect.gen(function* () {
      const { folder, trusting, url } = yield* place
      const port = yield* serverWith(yield* Certificates.issue(folder, "expired", { days: -1 }))
      assert.match(yield* refusal(url(port, trusting)), /^TlsFailed .*CERT_HAS_EXPIRED/)
    })
  )

  it.effect("a certificate of somebody else's name is TlsFailed, and right for who asks for that name", () =>
    Effect.gen(function* () {
      const { folder, trusting, url } = yield* place
      const certificate = yield* Certificates.issue(folder, "elsewhere", { names: "DNS:elsewhere.example" })
      const port = yield* serverWith(certificate)
      assert.match(yield* refusal(url(port, trusting)), /^TlsFailed .*ERR_TLS_CERT_ALTNAME_INVALID/)
      assert.match(yield* refusal(url(port, trusting, "localhost")), /^TlsFailed .*ERR_TLS_CERT_ALTNAME_INVALID/)
      for (const asked of ["ssl_server_hostname=elsewhere.example", "ssl_check_hostname=false"]) {
        assert.notMatch(yield* refusal(url(port, `${trusting}&${asked}&connect_timeout=0.5`)), /^TlsFailed/)
      }
    })
  )

  it.effect("a server that speaks TLS 1.1 at most is TlsFailed", () =>
    Effect.gen(function* () {
      const { tls, trusting, url } = yield* place
      const port = yield* serverWith(tls.server, "-tls1_1", "-cipher", "ALL@SECLEVEL=0")
      assert.match(yield* refusal(url(port, trusting)), /^TlsFailed .*(PROTOCOL|VERSION|ALERT|HANDSHAKE)/i)
    })
  )

  it.effect("a client's certificate logs in by EXTERNAL", () =>
    Effect.gen(function* () {
      const { tls, trusting, url } = yield* place
      yield* connect(url(tls.port, `${trusting}&${showing(tls.client)}&login_method=EXTERNAL`, "localhost", ""))
    })
  )

  it.effect("a certificate whose name is no user's is AccessRefused, and none at all finds no mechanism", () =>
    Effect.gen(function* () {
      const { folder, tls, trusting, url } = yield* place
      const stranger = yield* Certificates.issue(folder, "stranger")
      const external = `${trusting}&login_method=EXTERNAL`
      assert.match(yield* refusal(url(tls.port, `${external}&${showing(stranger)}`)), /^AccessRefused/)
      assert.match(yield* refusal(url(tls.port, external)), /^(AccessRefused|NoCommonMechanism)/)
    })
  )

  it.effect(
    "a client's certificate that the broker does not trust is TlsFailed each time, though a reset may come first",
    () =>
      Effect.gen(function* () {
        const { tls, trusting, url } = yield* place
        const other = yield* Effect.flatMap(Server.folder, Certificates.make)
        for (let time = 0; time < 20; time++) {
          assert.match(yield* refusal(url(tls.port, `${trusting}&${showing(other.client)}`)), /^TlsFailed .*UNKNOWN_CA/)
        }
      })
  )

  it.effect("a server that wants a certificate, and gets none, is TlsFailed", () =>
    Effect.gen(function* () {
      const { tls, trusting, url } = yield* place
      const demand = ["-Verify", "1", "-verify_return_error", "-CAfile", tls.authority]
      const port = yield* serverWith(tls.server, ...demand)
      assert.match(yield* refusal(url(port, trusting)), /^TlsFailed/)
      const old = yield* serverWith(tls.server, "-tls1_2", ...demand)
      assert.match(yield* refusal(url(old, trusting)), /^TlsFailed/)
    })
  )

  it.effect("files that are not there, or hold something else, are TlsFailed and named", () =>
    Effect.gen(function* () {
      const { folder, tls, trusting, url } = yield* place
      const other = path.join(folder, "rabbitmq.conf")
      for (const name of ["ssl_ca_certs", "ssl_certfile", "ssl_keyfile"]) {
        assert.include(yield* refusal(url(tls.port, `${name}=/no/where.pem`)), "TLS failed: cannot read /no/where.pem")
        assert.include(yield* refusal(url(tls.port, `${name}=${other}`)), `TLS failed: ${other} holds no`)
      }
      const mixed = `${trusting}&ssl_certfile=${tls.client.certificate}&ssl_keyfile=${tls.server.key}`
      assert.match(yield* refusal(url(tls.port, mixed)), /^TlsFailed/)
    })
  )

  it.effect("a plain port behind amqps:// is TlsFailed, and one of TLS behind amqp:// is no wait either", () =>
    Effect.gen(function* () {
      const { plain, tls } = yield* place
      assert.match(yield* refusal(`amqps://guest:hunter2@127.0.0.1:${plain}//`), /^TlsFailed/)
      // It says so and resets, and a reset may take away what was said.
      const said = yield* refusal(`amqp://guest:hunter2@127.0.0.1:${tls.port}//`)
      assert.match(said, /^(ProtocolMismatch .*TLS|ConnectionLost .*connection\.start was due)/)
    })
  )
})
