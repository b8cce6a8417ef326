/**
 * A thousand tasks due within one second, evenly, sent four seconds before: how late each begins, in milliseconds. Ours wait in Redis until half a
 * second before they are due, Celery's in its worker, BullMQ's in Redis until they are.
 */
import * as Bench from "./Bench.ts"
import { delayed } from "./tasks/delayed.ts"

const count = 1000

export default Bench.compared({
  title: "redis-eta: how late a task with an ETA begins",
  unit: "tasks",
  operations: count,
  rounds: 5,
  warmUp: 1,
  contestants: [
    delayed("apium, concurrency 10", "apium", 10, count),
    delayed("BullMQ, concurrency 10", "bullmq", 10, count),
    delayed("Celery, prefork 2", "celery", 2, count)
  ],
  claims: [
    { what: "p50, of Celery's", measure: "p50", ours: "apium, concurrency 10", theirs: "Celery, prefork 2", aim: 1 },
    { what: "p99, of Celery's", measure: "p99", ours: "apium, concurrency 10", theirs: "Celery, prefork 2", aim: 1 },
    {
      what: "p50, of BullMQ's",
      measure: "p50",
      ours: "apium, concurrency 10",
      theirs: "BullMQ, concurrency 10",
      aim: 1
    },
    {
      what: "p99, of BullMQ's",
      measure: "p99",
      ours: "apium, concurrency 10",
      theirs: "BullMQ, concurrency 10",
      aim: 1
    }
  ]
})
