/** As `rabbitmq-worker`, with each result stored in Redis; a turn is over when all of them are. */
import * as Bench from "./Bench.ts"
import { working } from "./tasks/contestant.ts"

const operations = 10_000
const base = { broker: "rabbitmq", results: "redis" } as const

export default Bench.compared({
  title: "rabbitmq-results: no-op tasks, results stored in Redis",
  unit: "tasks",
  operations,
  rounds: 5,
  warmUp: 3,
  contestants: [
    working("apium, concurrency 100", "apium", operations, { ...base, concurrency: 100, count: 10_000 }),
    working("Celery, prefork 2", "celery", operations, { ...base, concurrency: 2, count: 1500 })
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
    { what: "cpu, of Celery's", measure: "cpu", ours: "apium, concurrency 100", theirs: "Celery, prefork 2" },
    { what: "memory, of Celery's", measure: "memory", ours: "apium, concurrency 100", theirs: "Celery, prefork 2" }
  ]
})
