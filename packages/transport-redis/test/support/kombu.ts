/** Programs of Debian's kombu on the server of a test, and us beside them. */
import { Connection } from "@apium/hub/Connection"
import * as Redis from "@apium/transport-redis/node"
import { Effect, Option } from "effect"
import * as Python from "../../../../test/support/Python.ts"
import { Redis as Server } from "../../../../test/support/Redis.ts"

export const head = String.raw`
import base64, json, os, sys, time
from kombu import Connection, Consumer, Exchange, Message, Queue
url, options = sys.argv[1], json.loads(sys.argv[2])
connection = Connection(url, transport_options=options)
`

export const python = (code: string, options: Readonly<Record<string, unknown>> = {}) =>
  Effect.flatMap(Server, (server) => Python.run(head + code, { args: [server.url(), JSON.stringify(options)] }))

export const json = { contentType: "application/json", contentEncoding: "utf-8" }
export const encoded = (value: unknown) => new TextEncoder().encode(JSON.stringify(value))
export const textOf = (body: Uint8Array) => new TextDecoder().decode(body)

export const withUs = <A, E>(options: Redis.Options, work: Effect.Effect<A, E, Connection | Server>) =>
  Effect.gen(function* () {
    const server = yield* Server
    return yield* Effect.provide(work, Redis.layer(server.url(), options))
  })

/** Takes one, and acknowledges it. */
export const take = (queue: string) =>
  Effect.flatMap(Connection, (connection) =>
    connection.use((channel) =>
      Effect.gen(function* () {
        const delivery = Option.getOrThrow(yield* channel.get(queue))
        yield* delivery.ack
        return delivery
      })
    )
  )
