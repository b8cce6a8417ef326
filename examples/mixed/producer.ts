/**
 * A TypeScript producer of tasks that a Python worker runs: `tasks.py`.
 *
 *   export APIUM_BROKER_URL=amqp://guest:guest@localhost:5672//     or redis://localhost:6379/0
 *   celery --workdir examples/mixed -A tasks worker -Q python       in another terminal
 *   node --conditions=@apium/source examples/mixed/producer.ts
 */
import * as Canvas from "@apium/worker/client/Canvas"
import { Client } from "@apium/worker/client/Client"
import * as Task from "@apium/worker/task/Task"
import { Console, Effect, Layer, Schema, Stream } from "effect"
import { DeploymentLive } from "./deployment.ts"

/** What `tasks.py` has, typed: the name, the parameters in their order, the result, and where it is sent. */
const describe = Task.make("stats.describe", {
  params: { numbers: Schema.Array(Schema.Number), digits: Schema.optionalKey(Schema.Int) },
  result: Schema.Struct({ mean: Schema.Number, median: Schema.Number }),
  queue: "python"
})
const progress = Task.make("stats.progress", {
  params: { steps: Schema.Int },
  result: Schema.String,
  queue: "python"
})

const program = Effect.gen(function* () {
  const described = yield* describe.delay({ numbers: [1, 2, 4], digits: 1 })
  const { mean, median } = yield* described.get
  yield* Console.log(`mean ${mean}, median ${median}`)

  const later = yield* describe.applyAsync({ numbers: [1, 2, 4] }, { countdown: "1 second" })
  yield* Console.log(`in a second: mean ${(yield* later.get).mean}`)

  const both = yield* Canvas.delay(Canvas.group([describe.s({ numbers: [1, 3] }), describe.s({ numbers: [5] })]))
  yield* Console.log(`side by side: ${(yield* both.get).map(({ mean }) => mean).join(" and ")}`)

  // An exception of Python's.
  const refused = yield* describe.delay({ numbers: [] })
  yield* Effect.catchTag(refused.get, "TaskFailed", ({ excType, excModule, excMessage }) =>
    Console.log(`refused: ${excModule}.${excType}: ${excMessage.join()}`)
  )

  const slow = yield* progress.delay({ steps: 3 })
  yield* Stream.runForEach(slow.changes, ({ state }) =>
    state === "SUCCESS" ? Console.log(`ended: ${state}`) : Effect.void
  )

  // By name and unchecked, as Celery's send_task.
  const client = yield* Client
  const unchecked = yield* client.sendTask("stats.describe", [[2, 4]], { digits: 0 }, { queue: "python" })
  yield* Console.log("unchecked:", yield* unchecked.get)
})

const Live = Layer.provide(Client.layer, DeploymentLive)

await Effect.runPromise(Effect.provide(program, Live))
