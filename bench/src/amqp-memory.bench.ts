/**
 * How much resident memory grows, in a process of its own each time. Unconfirmed: 50,000 publishes of 1 KiB, each a body of its own, while the broker stands
 * still (SIGSTOP); afterwards it goes on, and all of them are confirmed. Ours keeps 1,000 on their way, and the others with whoever publishes them: 50,000
 * fibers, or one who has a batch. Held: 50,000 deliveries of 1 KiB in an array, none settled.
 */
import { filling } from "./amqp/contestant.ts"
import { headers, many } from "./amqp/work.ts"
import * as Bench from "./Bench.ts"

const memory = (
  title: string,
  contestants: Bench.Compared["contestants"],
  claims: ReadonlyArray<Omit<Bench.Claim, "what" | "measure" | "theirs">>
): Bench.Compared =>
  Bench.compared({
    title: `amqp-memory: ${title}`,
    unit: "messages",
    operations: many,
    rounds: 3,
    warmUp: 0,
    contestants,
    claims: claims.map((claim) => ({
      ...claim,
      what: `${claim.ours}, of amqplib's`,
      measure: "memory",
      theirs: "amqplib"
    }))
  })

export default [
  memory(
    "50,000 unconfirmed publishes of 1 KiB",
    [
      filling("amqplib", "amqplib", "unconfirmed"),
      filling("apium, a batch", "apium-batch", "unconfirmed"),
      filling("apium, a fiber each", "apium", "unconfirmed"),
      filling("rabbitmq-client", "rabbitmq-client", "unconfirmed"),
      filling("cloudamqp", "cloudamqp", "unconfirmed")
    ],
    [
      { ours: "apium, a batch", floor: 0.9, aim: 0.6 },
      { ours: "apium, a fiber each" },
      { ours: "rabbitmq-client" },
      { ours: "cloudamqp" }
    ]
  ),
  memory(
    "50,000 held deliveries of 1 KiB",
    [
      filling("amqplib", "amqplib", "held"),
      filling("apium", "apium", "held"),
      filling("rabbitmq-client", "rabbitmq-client", "held"),
      filling("cloudamqp", "cloudamqp", "held")
    ],
    [{ ours: "apium", floor: 0.8, aim: 0.6 }, { ours: "rabbitmq-client" }, { ours: "cloudamqp" }]
  ),
  memory(
    "50,000 held deliveries of 1 KiB and 15 headers",
    [filling("amqplib", "amqplib", "held", headers), filling("apium", "apium", "held", headers)],
    [{ ours: "apium", floor: 0.8, aim: 0.6 }]
  )
]
