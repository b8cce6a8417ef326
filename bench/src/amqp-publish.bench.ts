/**
 * Publishes to a key that no queue has, which the broker throws away: that is as fast as it gets, so the client's own work shows. A turn ends with one
 * request, whose answer says that the broker has read them all. Equal work: the same code, with a key that a queue has, delivers bodies and headers.
 */
import { contestant, type Work } from "./amqp/contestant.ts"
import * as Bench from "./Bench.ts"

const publishing = (
  title: string,
  work: Work,
  operations: number,
  claims: ReadonlyArray<Bench.Claim>
): Bench.Compared =>
  Bench.compared({
    title: `amqp-publish: ${title}`,
    unit: "messages",
    operations,
    rounds: 11,
    contestants: [
      contestant("raw", "raw", work, operations),
      contestant("apium", "apium", work, operations),
      contestant("amqplib", "amqplib", work, operations),
      contestant("rabbitmq-client", "rabbitmq-client", work, operations),
      contestant("cloudamqp", "cloudamqp", work, operations)
    ],
    claims: [
      ...claims,
      ...["amqplib", "rabbitmq-client", "cloudamqp"].map((ours): Bench.Claim => ({
        what: `${ours}, of raw`,
        measure: "time",
        ours,
        theirs: "raw"
      }))
    ]
  })

export default [
  publishing("to nowhere, 100 octets", "publish", 20_000, [
    { what: "apium, of raw", measure: "time", ours: "apium", theirs: "raw", floor: 0.7, aim: 0.9 },
    { what: "apium, cpu of amqplib's", measure: "cpu", ours: "apium", theirs: "amqplib", floor: 1 / 3, aim: 1 / 10 }
  ]),
  publishing("to nowhere, 100 octets and 15 headers", "publish-headers", 10_000, [
    { what: "apium, of raw", measure: "time", ours: "apium", theirs: "raw" },
    { what: "apium, cpu of amqplib's", measure: "cpu", ours: "apium", theirs: "amqplib", floor: 1 / 3, aim: 1 / 5 }
  ])
]
