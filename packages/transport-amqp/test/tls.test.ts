import { Transport } from "@apium/hub/Transport"
import * as Amqp from "@apium/transport-amqp/node"
import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { RabbitMq } from "../../../test/support/RabbitMq.ts"

const connect = (url: string) =>
  Effect.scoped(
    Effect.gen(function* () {
      const { connect } = yield* Transport
      const channel = yield* (yield* connect).channel
      yield* channel.exchangeDelete("nowhere")
    })
  ).pipe(Effect.provide(Amqp.layerTransport(url)))

const options = { excludeTestServices: true, timeout: "60 seconds" } as const

layer(RabbitMq.layer({ tls: true }), options)("TLS", (it) => {
  const place = Effect.map(RabbitMq, ({ node }) => ({
    url: (port: number, query: string, host = "127.0.0.1", user = "guest:guest@") =>
      `amqps://${user}${host}:${port}//?${query}`,
    tls: node.tls!
  }))

  it.effect("connects to an address and to a name whose certificate the given authority has signed", () =>
    Effect.gen(function* () {
      const { tls, url } = yield* place
      yield* connect(url(tls.port, `ssl_ca_certs=${tls.authority}`))
      yield* connect(url(tls.port, `ssl_ca_certs=${tls.authority}`, "localhost"))
    })
  )

  it.effect("an authority nobody knows is TlsFailed, unless the URL wants no verification", () =>
    Effect.gen(function* () {
      const { tls, url } = yield* place
      const { reason } = (yield* Effect.flip(connect(url(tls.port, "")))) as { readonly reason: { _tag: string } }
      assert.strictEqual(reason._tag, "TlsFailed")
      yield* connect(url(tls.port, "ssl_cert_reqs=none"))
    })
  )

  it.effect("a client's certificate logs in by EXTERNAL", () =>
    Effect.gen(function* () {
      const { tls, url } = yield* place
      const query = `ssl_ca_certs=${tls.authority}&ssl_certfile=${tls.client.certificate}&ssl_keyfile=${tls.client.key}`
      yield* connect(url(tls.port, `${query}&login_method=EXTERNAL`, "localhost", ""))
    })
  )

  it.effect("a plain connection to the port of TLS is a ProtocolMismatch or lost, and not a wait", () =>
    Effect.gen(function* () {
      const { tls } = yield* place
      const error = yield* Effect.flip(connect(`amqp://guest:guest@127.0.0.1:${tls.port}//`))
      const { reason } = error as { readonly reason: { readonly _tag: string; readonly message: string } }
      assert.strictEqual(reason._tag, "ProtocolMismatch")
      assert.include(reason.message, "TLS")
    })
  )
})
