import { gzipSync } from "node:zlib"
import { assert, describe, it, layer } from "@effect/vitest"
import { Effect } from "effect"
import { bundle } from "../support/bundle.ts"
import { RabbitMq } from "../support/RabbitMq.ts"
import { relay } from "../../packages/transport-amqp/test/support/Relay.ts"

interface Answer {
  readonly received?: string
  readonly messageCount?: number
  readonly results?: ReadonlyArray<number>
  readonly failed?: string
  readonly message?: string
}

/** The bundle in a workerd that trusts this authority; one question is one request to it. */
const started = (authority: string) =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      // Read when miniflare is loaded.
      process.env.NODE_EXTRA_CA_CERTS = authority
      const { Miniflare } = await import("miniflare")
      const { code } = await bundle({ file: "test/edge/amqp.ts" })
      return new Miniflare({
        modules: true,
        script: code,
        compatibilityDate: "2026-07-01",
        cf: false,
        telemetry: { enabled: false },
        // What TLS refuses it also prints, with a stack of its own.
        handleRuntimeStdio: () => {}
      })
    }),
    (workerd) => Effect.promise(() => workerd.dispose())
  )

layer(RabbitMq.layer({ tls: true }), { excludeTestServices: true })("a worker on workerd, over RabbitMQ", (it) => {
  const workerd = Effect.flatMap(RabbitMq, ({ node }) => started(node.tls!.authority)).pipe(
    Effect.map(
      (workerd) => (broker: string, through?: string) =>
        Effect.promise(async () => {
          const asked = new URLSearchParams({ broker, ...(through === undefined ? {} : { relay: through }) })
          const response = await workerd.dispatchFetch(`http://edge/?${asked}`)
          // A defect is text.
          if (!response.ok) throw new Error(await response.text())
          return (await response.json()) as Answer
        })
    )
  )
  const everything = {
    received: "hello",
    messageCount: 0,
    results: Array.from({ length: 20 }, (_, index) => index + 1)
  }

  it.effect("publishes, consumes and runs tasks, request after request, each on a socket of its own", () =>
    Effect.gen(function* () {
      const { node, url, connections } = yield* RabbitMq
      const ask = yield* workerd
      assert.deepStrictEqual(yield* ask(url()), everything)
      assert.deepStrictEqual(yield* Effect.all([ask(url()), ask(url())], { concurrency: 2 }), [everything, everything])
      assert.deepStrictEqual(yield* ask(`amqps://guest:guest@localhost:${node.tls!.port}//`), everything)
      assert.deepStrictEqual(yield* ask(`amqp://localhost:1//;${url()}`), everything)
      const { port } = yield* relay(node)
      assert.deepStrictEqual(yield* ask(url(), `ws://localhost:${port}/`), everything)
      // The broker lists a connection for a moment after it has closed.
      yield* Effect.repeat(connections, { until: (left) => left.length === 0 })
    })
  )

  it.effect("is told why it cannot, as everywhere", () =>
    Effect.gen(function* () {
      const { node, url } = yield* RabbitMq
      const ask = yield* workerd
      const refusal = (broker: string, tag: string, text: string) =>
        Effect.map(ask(broker), ({ failed = "nothing", message = "" }) => {
          assert.include(tag.split("|"), failed, message)
          assert.include(message, text)
          assert.notInclude(message, "hunter2")
        })
      const port = node.tls!.port
      yield* refusal("amqp://guest:hunter2@localhost:1//", "ConnectionLost", "localhost:1//")
      yield* refusal(url().replace(":guest@", ":hunter2@"), "AccessRefused", "")
      yield* refusal(`amqp://guest:guest@localhost:${node.port}/nowhere`, "VhostNotFound", "nowhere")
      yield* refusal(`amqp://guest:hunter2@localhost:${port}//`, "ProtocolMismatch|ConnectionLost", "")
      yield* refusal(`amqps://guest:hunter2@localhost:${node.port}//`, "TlsFailed", "ERR_TLS_HANDSHAKE")
      yield* refusal("amqps://guest:hunter2@localhost:1//", "ConnectionLost", "localhost:1//")
      for (const parameter of ["ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_server_hostname"]) {
        yield* refusal(`amqps://guest:hunter2@localhost:${port}//?${parameter}=x`, "TlsFailed", parameter)
      }
      for (const parameter of ["ssl_cert_reqs=none", "ssl_check_hostname=false"]) {
        yield* refusal(`amqps://guest:hunter2@localhost:${port}//?${parameter}`, "TlsFailed", parameter)
      }
    })
  )
})

describe("a bundle of the AMQP transport", () => {
  it.each(["@apium/transport-amqp", "@apium/transport-amqp/workerd", "@apium/transport-amqp/websocket"])(
    "by %s has nothing of Node.js in it",
    async (entry) => {
      const { code, metafile } = await bundle({ source: `export * from "${entry}"` }, { minify: true })
      const external = Object.values(metafile.inputs).flatMap(({ imports }) =>
        imports.filter((one) => one.external).map(({ path }) => path)
      )
      assert.deepStrictEqual(external, entry.endsWith("workerd") ? ["cloudflare:sockets"] : [])
      // oxlint-disable-next-line no-console
      console.log(
        `${entry}: ${Math.ceil(code.length / 1000)} kB minified, ${Math.ceil(gzipSync(code).length / 1000)} gzipped`
      )
    }
  )
})
