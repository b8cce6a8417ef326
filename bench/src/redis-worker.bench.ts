/**
 * Tasks that do nothing, through one worker process; the queue was filled before. Celery is at its default but for what it logs of each task. Equal work: each
 * shows before the first turn that a task runs once, and a turn is over when nothing waits and nothing is unacknowledged.
 */
import * as Bench from "./Bench.ts"
import { working } from "./tasks/contestant.ts"

const operations = 10_000
const base = { broker: "redis", results: "none" } as const

export default Bench.compared({
  title: "redis-worker: no-op tasks, results ignored",
  unit: "tasks",
  operations,
  rounds: 7,
  warmUp: 4,
  contestants: [
    working("apium, concurrency 100", "apium", operations, { ...base, concurrency: 100, count: 20_000 }),
    working("BullMQ, concurrency 100", "bullmq", operations, { ...base, concurrency: 100, count: 10_000 }),
    working("Celery, prefork 2", "celery", operations, { ...base, concurrency: 2, count: 1500 })
  ],
  claims: [
    {
      what: "x BullMQ",
      measure: "time",
      ours: "apium, concurrency 100",
      theirs: "BullMQ, concurrency 100",
      floor: 1.2,
      aim: 2.5
    },
    {
      what: "x Celery",
      measure: "time",
      ours: "apium, concurrency 100",
      theirs: "Celery, prefork 2",
      floor: 15,
      aim: 30
    },
    { what: "cpu, of BullMQ's", measure: "cpu", ours: "apium, concurrency 100", theirs: "BullMQ, concurrency 100" },
    { what: "cpu, of Celery's", measure: "cpu", ours: "apium, concurrency 100", theirs: "Celery, prefork 2" }
  ]
})
