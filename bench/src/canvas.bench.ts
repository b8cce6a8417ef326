/**
 * A chord of 1,000 parts that do nothing, with the sum of them as its body, and a chain of 100 steps: from before it is sent until its result is there, with a
 * producer and a worker of each one's own, results in Redis. Equal work: the sum, and the last step's number, are right. `p50` is the whole in milliseconds,
 * `cpu` the worker's for each part.
 */
import * as Bench from "./Bench.ts"
import { composed } from "./tasks/contestant.ts"
import type { Broker, Canvas } from "./tasks/work.ts"

const canvas = (broker: Broker, canvas: Canvas, size: number): Bench.Compared => {
  const base = { broker, canvas, size, results: "redis" } as const
  return Bench.compared({
    title: `canvas: a ${canvas} of ${size} on ${broker === "redis" ? "Redis" : "RabbitMQ"}, results in Redis`,
    unit: canvas === "chord" ? "parts" : "steps",
    operations: size,
    rounds: 5,
    warmUp: 3,
    contestants: [
      composed("apium, concurrency 100", "apium", { ...base, concurrency: 100 }),
      composed("Celery, prefork 2", "celery", { ...base, concurrency: 2 })
    ],
    claims: [
      { what: "x Celery", measure: "time", ours: "apium, concurrency 100", theirs: "Celery, prefork 2" },
      { what: "cpu, of Celery's", measure: "cpu", ours: "apium, concurrency 100", theirs: "Celery, prefork 2" }
    ]
  })
}

export default [
  canvas("rabbitmq", "chord", 1000),
  canvas("rabbitmq", "chain", 100),
  canvas("redis", "chord", 1000),
  canvas("redis", "chain", 100)
]
