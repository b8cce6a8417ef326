/**
 * Tasks that do nothing, through one worker process; the queue was filled before, with durable messages. Equal work: each shows before the first turn that
 * a task runs once, and a turn is over when nothing waits and nothing is unacknowledged. Ours acknowledges after a task ran, and so does BullMQ; Celery
 * before, and after it where it says so.
 */
import * as Bench from "./Bench.ts"
import { working } from "./tasks/contestant.ts"

const operations = 10_000
const base = { broker: "rabbitmq", results: "none" } as const

export default Bench.compared({
  title: "rabbitmq-worker: no-op tasks, results ignored",
  unit: "tasks",
  operations,
  rounds: 7,
  warmUp: 4,
  contestants: [
    working("apium, concurrency 100", "apium", operations, { ...base, concurrency: 100, count: 20_000 }),
    working("BullMQ, concurrency 100", "bullmq", operations, { ...base, concurrency: 100, count: 10_000 }),
    working("Celery, prefork 2", "celery", operations, { ...base, concurrency: 2, count: 3000 }),
    working("Celery, prefork 2, late", "celery", operations, {
      ...base,
      concurrency: 2,
      count: 2000,
      conf: { task_acks_late: true }
    })
  ],
  claims: [
    {
      what: "x Celery",
      measure: "time",
      ours: "apium, concurrency 100",
      theirs: "Celery, prefork 2",
      floor: 4,
      aim: 8
    },
    {
      what: "x BullMQ on Redis",
      measure: "time",
      ours: "apium, concurrency 100",
      theirs: "BullMQ, concurrency 100",
      aim: 1.3
    },
    {
      what: "x Celery that acks late",
      measure: "time",
      ours: "apium, concurrency 100",
      theirs: "Celery, prefork 2, late"
    },
    { what: "cpu, of Celery's", measure: "cpu", ours: "apium, concurrency 100", theirs: "Celery, prefork 2" },
    { what: "cpu, of BullMQ's", measure: "cpu", ours: "apium, concurrency 100", theirs: "BullMQ, concurrency 100" },
    { what: "memory, of Celery's", measure: "memory", ours: "apium, concurrency 100", theirs: "Celery, prefork 2" }
  ]
})
