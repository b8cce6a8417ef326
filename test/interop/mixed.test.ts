/** `examples/mixed`, both ways, on each broker: what its producers print when the workers of the other language run. */
import { assert, layer } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { readFileSync } from "node:fs"
import * as path from "node:path"
import * as Program from "../support/Program.ts"
import * as Python from "../support/Python.ts"
import { RabbitMq } from "../support/RabbitMq.ts"
import { Redis } from "../support/Redis.ts"

const folder = path.resolve(import.meta.dirname, "../../examples/mixed")
const source = (file: string) => readFileSync(path.join(folder, file), "utf8")

const ofTypeScript = [
  "positional: {'sku': 'mug', 'total': 24}",
  "by name: {'sku': 'mug', 'total': 34}",
  "in a second: {'sku': 'lamp', 'total': 45}",
  "a chain: 1 and 1 arguments",
  "refused: OutOfStock 2 of lamp left {'_tag': 'OutOfStock', 'sku': 'lamp', 'left': 2}",
  "refused: quote() missing 1 required positional argument: 'quantity'"
]

const ofPython = [
  "mean 2.3, median 2",
  "in a second: mean 2.33",
  "side by side: 2 and 5",
  "refused: builtins.ValueError: there is nothing to describe",
  "ended: SUCCESS",
  "unchecked: { mean: 3, median: 3 }"
]

/** What a Python program sees of our worker: its tasks, and an event. */
const look = `
import json, os
from celery import Celery
app = Celery("look", broker=os.environ["APIUM_BROKER_URL"])
seen = []
with app.connection() as connection:
    receiver = app.events.Receiver(connection)
    def hear(event):
        seen.append(event)
        receiver.should_stop = True
    receiver.handlers["*"] = hear
    receiver.capture(timeout=100)
print(json.dumps([list(app.control.inspect(timeout=100, limit=1).registered().values()), seen[0]["sw_ident"]]))
`

const servers = Layer.merge(RabbitMq.shared, Redis.shared)

const deployments = {
  "RabbitMQ, and results as messages": Effect.map(RabbitMq, (broker) => ({ APIUM_BROKER_URL: broker.url() })),
  "RabbitMQ, and results in Redis": Effect.zipWith(RabbitMq, Redis, (broker, results) => ({
    APIUM_BROKER_URL: broker.url(),
    APIUM_RESULT_BACKEND: results.url()
  })),
  Redis: Effect.map(Redis, (broker) => ({ APIUM_BROKER_URL: broker.url() }))
}

for (const [name, deployment] of Object.entries(deployments)) {
  layer(servers, { excludeTestServices: true })(`examples/mixed on ${name}`, (it) => {
    it.effect("what Python sends is run by TypeScript, whose worker it sees", () =>
      Effect.gen(function* () {
        const env = yield* deployment
        const worker = yield* Program.start(yield* Program.bundle(path.join(folder, "worker.ts")), { env })
        yield* worker.line("takes the queue typescript")
        const printed = yield* Python.run(source("producer.py"), { env })
        assert.deepStrictEqual(printed.trim().split("\n"), ofTypeScript)
        const seen: unknown = JSON.parse(yield* Python.run(look, { env }))
        assert.deepStrictEqual(seen, [[["shop.audit", "shop.quote"]], "apium"])
      })
    )

    it.effect("what TypeScript sends is run by Python", () =>
      Effect.gen(function* () {
        const env = yield* deployment
        yield* Python.worker({
          code: source("tasks.py"),
          args: ["-Q", "python", "-c", "1", "--without-gossip", "--without-mingle"],
          env
        })
        const producer = yield* Program.start(yield* Program.bundle(path.join(folder, "producer.ts")), { env })
        const { code, lines, stderr } = yield* producer.ended
        assert.deepStrictEqual([code, ...lines], [0, ...ofPython], stderr)
      })
    )
  })
}
