/** A process that publishes these numbers, so many at once, and says of each that its publish has returned. */
import { Connection } from "@apium/hub/Connection"
import * as Message from "@apium/hub/Message"
import * as Queue from "@apium/hub/Queue"
import * as Amqp from "@apium/transport-amqp/node"
import { Effect } from "effect"
import { writeSync } from "node:fs"

const [url = "", name = "", from = "0", to = "0"] = process.argv.slice(2)
const queue = Queue.make(name)

const publish = (index: number) =>
  Effect.gen(function* () {
    const connection = yield* Connection
    yield* connection.publish(
      Message.make(new TextEncoder().encode(String(index)), { deliveryMode: "persistent" }),
      { exchange: "", routingKey: name, mandatory: true },
      { queues: [queue] }
    )
    writeSync(1, `returned ${index}\n`)
  })

const all = Array.from({ length: Number(to) - Number(from) }, (_, index) => Number(from) + index)

Effect.runFork(
  Effect.forEach(all, publish, { concurrency: 256, discard: true }).pipe(
    Effect.andThen(Effect.sync(() => writeSync(1, "done\n"))),
    Effect.provide(Amqp.layer(url))
  )
)
