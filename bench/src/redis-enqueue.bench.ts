/**
 * Tasks into a queue that nobody takes from, each told to ignore its result. Celery has one way, a call after the other; like is compared with like, and
 * besides it what each does fastest. Equal work: after each turn the queue holds as many.
 */
import * as Bench from "./Bench.ts"
import { enqueuing } from "./tasks/contestant.ts"

const operations = 10_000
const broker = "redis"

export default Bench.compared({
  title: "redis-enqueue: tasks into a queue",
  unit: "tasks",
  operations,
  rounds: 7,
  warmUp: 3,
  contestants: [
    enqueuing("apium, sendAll of 1,000", "apium", operations, { broker, manner: "batch", count: 20_000 }),
    enqueuing("apium, send, 256 at once", "apium", operations, { broker, manner: "together", count: 10_000 }),
    enqueuing("apium, send, one by one", "apium", operations, { broker, manner: "each", count: 2000 }),
    enqueuing("BullMQ, addBulk of 1,000", "bullmq", operations, { broker, manner: "batch", count: 10_000 }),
    enqueuing("BullMQ, add, 256 at once", "bullmq", operations, { broker, manner: "together", count: 5000 }),
    enqueuing("BullMQ, add, one by one", "bullmq", operations, { broker, manner: "each", count: 1500 }),
    enqueuing("Celery, apply_async", "celery", operations, { broker, manner: "each", count: 1000 })
  ],
  claims: [
    {
      what: "sendAll, x Celery",
      measure: "time",
      ours: "apium, sendAll of 1,000",
      theirs: "Celery, apply_async",
      floor: 10,
      aim: 25
    },
    {
      what: "send at once, x BullMQ add",
      measure: "time",
      ours: "apium, send, 256 at once",
      theirs: "BullMQ, add, 256 at once",
      floor: 1,
      aim: 2.5
    },
    {
      what: "sendAll, x BullMQ addBulk",
      measure: "time",
      ours: "apium, sendAll of 1,000",
      theirs: "BullMQ, addBulk of 1,000"
    },
    {
      what: "send one by one, x BullMQ",
      measure: "time",
      ours: "apium, send, one by one",
      theirs: "BullMQ, add, one by one"
    },
    {
      what: "send one by one, x Celery",
      measure: "time",
      ours: "apium, send, one by one",
      theirs: "Celery, apply_async"
    },
    { what: "send at once, x Celery", measure: "time", ours: "apium, send, 256 at once", theirs: "Celery, apply_async" }
  ]
})
