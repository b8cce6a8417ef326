/**
 * From before a task is sent until its result is there, with a producer and a worker of each one's own, one task at a time: 20 ms after one has come, the
 * next is sent. Results are kept in Redis, or sent over the broker (`rpc://`). And to the first line of the handler, without results.
 *
 * A `send` of ours returns when RabbitMQ has the task on its disk, or a worker is through with it; Celery's when it is written. With the profile of Celery
 * ours promises no more than that, and with `confirm_publish` Celery waits as ours does. Like is compared with like.
 */
import * as Bench from "./Bench.ts"
import { sampled } from "./tasks/contestant.ts"
import type { Results } from "./tasks/work.ts"

const count = 200

const claims = (ours: string, theirs: string): ReadonlyArray<Bench.Claim> =>
  (["p50", "p99"] as const).map((measure) => ({
    what: `${measure}, ${ours}, of Celery's, ${theirs}`,
    measure,
    ours: `apium, ${ours}`,
    theirs: `Celery, ${theirs}`,
    floor: 1,
    aim: 0.5
  }))

const trips = (what: string, results: Results, of: "mark" | "trip"): Bench.Compared => {
  const ours = { broker: "rabbitmq", results, of, count, concurrency: 1 } as const
  const theirs = { ...ours, concurrency: 2 } as const
  const confirming = { conf: { broker_transport_options: { confirm_publish: true } } }
  return Bench.compared({
    title: `rabbitmq-latency: ${what}, at idle`,
    unit: "tasks",
    operations: count,
    rounds: 5,
    warmUp: 1,
    contestants: [
      sampled("apium, as Celery", "apium", { ...ours, profile: "celery" }),
      sampled("apium, durable", "apium", ours),
      sampled("Celery, prefork 2", "celery", theirs),
      sampled("Celery, confirmed", "celery", { ...theirs, ...confirming })
    ],
    claims: [...claims("as Celery", "prefork 2"), ...claims("durable", "confirmed"), ...claims("durable", "prefork 2")]
  })
}

export default [
  trips("enqueue to result, results in Redis", "redis", "trip"),
  trips("enqueue to result, results over the broker", "rpc", "trip"),
  trips("enqueue to start", "none", "mark")
]
