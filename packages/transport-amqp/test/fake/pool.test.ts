import { Connection } from "@apium/hub/Connection"
import * as HubQueue from "@apium/hub/Queue"
import * as FakeBroker from "@apium/transport-amqp/testing/FakeBroker"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { message, tags, until } from "../support/Fake.ts"

describe("the pool of channels", () => {
  it.live("lends nobody a channel that the broker closed for what was done on it before", () =>
    Effect.gen(function* () {
      const fake = yield* FakeBroker.FakeBroker
      const connection = yield* Connection
      // Nobody waits for what becomes of it: the refusal comes when the channel is back.
      yield* connection.use((channel) =>
        channel.publish(message("x"), { exchange: "missing", routingKey: "q", confirm: false })
      )
      yield* until(() => tags(fake).includes("channel.close-ok"))
      const { name } = yield* connection.use((channel) => channel.queueDeclare(HubQueue.make("q")))
      assert.strictEqual(name, "q")
    }).pipe(Effect.provide(Connection.layer.pipe(Layer.provideMerge(FakeBroker.layer({ record: 100 })))))
  )
})
