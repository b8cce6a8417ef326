/** As `redis-worker`, with each result stored in Redis; a turn is over when all of them are. */
import * as Bench from "./Bench.ts"
import { working } from "./redis/contestant.ts"

const operations = 10_000

export default Bench.compared({
  title: "redis-results: no-op tasks, results stored",
  unit: "tasks",
  operations,
  rounds: 5,
  warmUp: 2,
  contestants: [
    working("apium, concurrency 100", "apium", operations, { concurrency: 100, count: 10_000, results: true }),
    working("Celery, prefork 2", "celery", operations, { concurrency: 2, count: 1000, results: true })
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
