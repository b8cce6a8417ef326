/** As `redis-worker`, with each result stored in Redis; a turn is over when all of them are. */
import * as Bench from "./Bench.ts"
import { working } from "./tasks/contestant.ts"

const operations = 10_000
const base = { broker: "redis", results: "redis" } as const

export default Bench.compared({
  title: "redis-results: no-op tasks, results stored",
  unit: "tasks",
  operations,
  rounds: 5,
  warmUp: 2,
  contestants: [
    working("apium, concurrency 100", "apium", operations, { ...base, concurrency: 100, count: 10_000 }),
    working("Celery, prefork 2", "celery", operations, { ...base, concurrency: 2, count: 1000 })
  ],
  claims: [
    {
      what: "x Celery",
      measure: "time",
      ours: "apium, concurrency 100",
      theirs: "Celery, prefork 2",
      floor: 15,
      aim: 30
    },
    { what: "cpu, of Celery's", measure: "cpu", ours: "apium, concurrency 100", theirs: "Celery, prefork 2" }
  ]
})
