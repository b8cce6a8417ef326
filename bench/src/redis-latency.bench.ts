/**
 * From before a task is sent to the first line of its handler, with a producer and a worker of each one's own, one task at a time: 20 ms after one has said
 * so, the next is sent.
 */
import * as Bench from "./Bench.ts"
import { sampled } from "./tasks/contestant.ts"

const count = 200
const base = { broker: "redis", results: "none", of: "mark", count } as const

export default Bench.compared({
  title: "redis-latency: enqueue to start, at idle",
  unit: "tasks",
  operations: count,
  rounds: 7,
  warmUp: 2,
  contestants: [
    sampled("apium, concurrency 1", "apium", { ...base, concurrency: 1 }),
    sampled("BullMQ, concurrency 1", "bullmq", { ...base, concurrency: 1 }),
    sampled("Celery, prefork 2", "celery", { ...base, concurrency: 2 })
  ],
  claims: [
    {
      what: "p50, of Celery's",
      measure: "p50",
      ours: "apium, concurrency 1",
      theirs: "Celery, prefork 2",
      floor: 0.9,
      aim: 0.5
    },
    {
      what: "p50, of BullMQ's",
      measure: "p50",
      ours: "apium, concurrency 1",
      theirs: "BullMQ, concurrency 1",
      floor: 1.1,
      aim: 0.8
    },
    { what: "p99, of Celery's", measure: "p99", ours: "apium, concurrency 1", theirs: "Celery, prefork 2" },
    { what: "p99, of BullMQ's", measure: "p99", ours: "apium, concurrency 1", theirs: "BullMQ, concurrency 1" }
  ]
})
