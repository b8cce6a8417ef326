/** A program that publishes for ever, and says what happens to it: for tests that stop its process. */
import { Connection } from "@apium/hub/Connection"
import * as Message from "@apium/hub/Message"
import * as Amqp from "@apium/transport-amqp/node"
import { Effect, Stream } from "effect"

const [url = "", queue = ""] = process.argv.slice(2)

process.on("unhandledRejection", (error) => {
  console.log(`unhandled ${String(error)}`)
})

const say = (text: string) => Effect.sync(() => console.log(text))

await Effect.gen(function* () {
  const connection = yield* Connection
  yield* Effect.forkChild(Stream.runForEach(connection.status, (status) => say(`status ${status}`)))
  for (let index = 0; ; index++) {
    yield* connection.publish(Message.make(new Uint8Array(1)), { exchange: "", routingKey: queue })
    yield* say(`published ${index} at ${Date.now()}`)
    yield* Effect.sleep("20 millis")
  }
}).pipe(Effect.provide(Amqp.layer(url)), Effect.runPromise)
