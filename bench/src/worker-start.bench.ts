/**
 * From the start of a worker's process until it runs its first task, which waits in the queue: our command from what is built, a program of ours that esbuild
 * has made one file of, Celery's command from Debian's files, and a program with BullMQ. Celery waits a second for other workers to say what they know
 * (mingle); the fair one does not.
 */
import * as Bench from "./Bench.ts"
import { launching } from "./tasks/launch.ts"
import type { Broker } from "./tasks/work.ts"

const names = {
  apium: "apium worker",
  bundle: "apium, one file",
  celery: "celery worker",
  fair: "celery worker, alone",
  bullmq: "BullMQ"
}

const starts = (broker: Broker): Bench.Compared => {
  const claim = (what: string, theirs: string, wanted?: { readonly floor: number; readonly aim: number }) =>
    ({ what, measure: "p50", ours: names.apium, theirs, ...wanted }) as const
  return Bench.compared({
    title: `worker-start: until the first task runs, on ${broker === "redis" ? "Redis" : "RabbitMQ"}`,
    unit: "starts",
    operations: 1,
    rounds: 9,
    warmUp: 1,
    contestants: [
      launching(names.apium, "apium", broker),
      launching(names.bundle, "bundle", broker),
      launching(names.celery, "celery", broker),
      launching(names.fair, "celery", broker, ["--without-mingle", "--without-gossip"]),
      launching(names.bullmq, "bullmq", broker)
    ],
    claims: [
      claim("of Celery's", names.celery, { floor: 0.3, aim: 0.15 }),
      { ...claim("one file, of Celery's", names.celery, { floor: 0.3, aim: 0.15 }), ours: names.bundle },
      claim("of Celery's that asks nobody", names.fair),
      claim("of BullMQ's", names.bullmq),
      { what: "cpu, of Celery's", measure: "cpu", ours: names.apium, theirs: names.celery },
      { what: "cpu, of BullMQ's", measure: "cpu", ours: names.apium, theirs: names.bullmq }
    ]
  })
}

export default [starts("rabbitmq"), starts("redis")]
