/** A worker with nothing to do, after 100 tasks: its share of memory (PSS, all of its processes), and the processor time of a second. */
import * as Bench from "./Bench.ts"
import { idling } from "./tasks/contestant.ts"

const seconds = 10
const base = { broker: "redis", seconds } as const

export default Bench.compared({
  title: "redis-idle: a worker that waits",
  unit: "seconds",
  operations: seconds,
  rounds: 3,
  warmUp: 0,
  contestants: [
    idling("apium, concurrency 1", "apium", { ...base, concurrency: 1 }),
    idling("BullMQ, concurrency 1", "bullmq", { ...base, concurrency: 1 }),
    idling("Celery, prefork 2", "celery", { ...base, concurrency: 2 })
  ],
  claims: [
    {
      what: "memory, of BullMQ's",
      measure: "memory",
      ours: "apium, concurrency 1",
      theirs: "BullMQ, concurrency 1",
      floor: 1.3,
      aim: 1
    },
    {
      what: "cpu, of BullMQ's",
      measure: "cpu",
      ours: "apium, concurrency 1",
      theirs: "BullMQ, concurrency 1",
      floor: 1.3,
      aim: 1
    },
    { what: "memory, of Celery's", measure: "memory", ours: "apium, concurrency 1", theirs: "Celery, prefork 2" },
    { what: "cpu, of Celery's", measure: "cpu", ours: "apium, concurrency 1", theirs: "Celery, prefork 2" }
  ]
})
