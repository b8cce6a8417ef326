/**
 * Deliveries of 100 octets from a queue that is full before the clock starts, prefetch 256, each acknowledged by itself; raw and the others send each
 * acknowledgement, ours merges those of a turn. Equal work: all octets arrived, and the queue has nothing left, ready or unacknowledged.
 */
import { contestant } from "./amqp/contestant.ts"
import * as Bench from "./Bench.ts"

const operations = 5_000

export default Bench.compared({
  title: "amqp-consume: prefetch 256, each acknowledged, 100 octets",
  unit: "messages",
  operations,
  rounds: 11,
  contestants: [
    contestant("amqplib", "amqplib", "consume", operations),
    contestant("apium, Channel.consume", "apium", "consume", operations),
    contestant("apium, Consumer.stream", "apium-hub", "consume", operations),
    contestant("rabbitmq-client", "rabbitmq-client", "consume", operations),
    contestant("cloudamqp", "cloudamqp", "consume", operations),
    contestant("raw", "raw", "consume", operations)
  ],
  claims: [
    {
      what: "channel, x amqplib",
      measure: "time",
      ours: "apium, Channel.consume",
      theirs: "amqplib",
      floor: 1.3,
      aim: 1.65
    },
    {
      what: "Consumer.stream, x amqplib",
      measure: "time",
      ours: "apium, Consumer.stream",
      theirs: "amqplib",
      floor: 1.1,
      aim: 1.4
    },
    ...["rabbitmq-client", "cloudamqp", "raw"].map((ours): Bench.Claim => ({
      what: `${ours}, x amqplib`,
      measure: "time",
      ours,
      theirs: "amqplib"
    })),
    { what: "channel, cpu of amqplib's", measure: "cpu", ours: "apium, Channel.consume", theirs: "amqplib" }
  ]
})
