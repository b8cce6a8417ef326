/**
 * A TypeScript worker of Python's tasks: it takes the queue `typescript` of a running Celery deployment. Ctrl-C finishes what runs.
 *
 *   export APIUM_BROKER_URL=amqp://guest:guest@localhost:5672//     or redis://localhost:6379/0
 *   node --conditions=@apium/source examples/mixed/worker.ts
 *   python3 examples/mixed/producer.py                              in another terminal
 */
import * as Queue from "@apium/hub/Queue"
import { run } from "@apium/worker/node"
import * as Task from "@apium/worker/task/Task"
import { Tasks } from "@apium/worker/task/Tasks"
import * as Worker from "@apium/worker/Worker"
import { Console, Effect, Layer, Schema } from "effect"
import { DeploymentLive } from "./deployment.ts"

/** What it is called here is what it is called in Python. */
class OutOfStock extends Schema.TaggedError<OutOfStock>()("OutOfStock", { sku: Schema.String, left: Schema.Int }) {
  override get message() {
    return `${this.left} of ${this.sku} left`
  }
}

/** The order of the parameters is Python's: `quote("mug", 3)`, `quote("mug", quantity=3)`. */
const quote = Task.make("shop.quote", {
  params: { sku: Schema.String, quantity: Schema.Int, express: Schema.optionalKey(Schema.Boolean) },
  result: Schema.Struct({ sku: Schema.String, total: Schema.Number }),
  error: OutOfStock
})

/** Any arguments, as they come. */
const audit = Task.raw("shop.audit")

const stock = new Map([
  ["mug", { price: 8, left: 100 }],
  ["lamp", { price: 45, left: 2 }]
])

const QuoteLive = Tasks.handle(quote, ({ sku, quantity, express = false }) => {
  const { price, left } = stock.get(sku) ?? { price: 0, left: 0 }
  return quantity > left
    ? Effect.fail(new OutOfStock({ sku, left }))
    : Effect.succeed({ sku, total: price * quantity + (express ? 10 : 0) })
})

const AuditLive = Tasks.handle(audit, ({ args, kwargs }) =>
  Effect.succeed(`${args.length} and ${Object.keys(kwargs).length} arguments`)
)

const Ready = Layer.effectDiscard(
  Effect.flatMap(Worker.Worker, ({ nodename }) => Console.log(`${nodename} takes the queue typescript.`))
)

run(
  Ready.pipe(
    Layer.provideMerge(Worker.layer({ queues: [Queue.make("typescript")], concurrency: 10 })),
    Layer.provide([QuoteLive, AuditLive]),
    Layer.provide(Tasks.layer),
    Layer.provide(DeploymentLive)
  )
)
