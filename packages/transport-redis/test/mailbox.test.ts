/** A node of remote control that says it is ready misses nothing from then on, though Redis keeps a fanout message for nobody. */
import * as Mailbox from "@apium/hub/Mailbox"
import * as Redis from "@apium/transport-redis/node"
import { assert, layer } from "@effect/vitest"
import { Deferred, Effect, Layer, Stream } from "effect"
import { Redis as Server } from "../../../test/support/Redis.ts"

const Connected = Layer.unwrap(Effect.map(Server, ({ url }) => Redis.layer(url())))

layer(Connected.pipe(Layer.provideMerge(Server.layer())), { excludeTestServices: true })("a mailbox on Redis", (it) => {
  it.effect("hears the first command after it was ready, thirty times over", () =>
    Effect.gen(function* () {
      for (let n = 0; n < 30; n++) {
        const node = `node-${n}@host`
        const ready = yield* Deferred.make<void>()
        yield* Effect.forkScoped(
          Mailbox.serve(node, () => Effect.succeed("here"), { onReady: Deferred.succeed(ready, undefined) })
        )
        yield* Deferred.await(ready)
        const replies = yield* Stream.runCollect(
          Mailbox.broadcast({ method: "ping", destination: [node] }, { timeout: "1 minute" })
        )
        assert.deepStrictEqual(replies, [{ node, reply: "here" }])
      }
    })
  )
})
