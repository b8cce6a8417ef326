/**
 * Confirmed publishes of 100 octets to a queue, 256 under way at a time. Equal work: after each turn the queue holds as many. A `Producer` writes more (it
 * says what the content is, and makes it persistent and mandatory), so it has a ceiling of its own.
 */
import { contestant } from "./amqp/contestant.ts"
import * as Bench from "./Bench.ts"

const operations = 10_000

export default Bench.compared({
  title: "amqp-confirm: publishes with confirms, window 256, 100 octets",
  unit: "messages",
  operations,
  rounds: 11,
  warmUp: 6,
  contestants: [
    contestant("raw", "raw", "confirm", operations),
    contestant("raw, as a Producer", "raw-json", "confirm", operations),
    contestant("apium, Channel.publish", "apium", "confirm", operations),
    contestant("apium, Producer", "apium-hub", "confirm", operations),
    contestant("amqplib", "amqplib", "confirm", operations),
    contestant("rabbitmq-client", "rabbitmq-client", "confirm", operations),
    contestant("cloudamqp", "cloudamqp", "confirm", operations)
  ],
  claims: [
    {
      what: "channel, of raw",
      measure: "time",
      ours: "apium, Channel.publish",
      theirs: "raw",
      floor: 0.85,
      aim: 0.92
    },
    {
      what: "Producer, of raw",
      measure: "time",
      ours: "apium, Producer",
      theirs: "raw, as a Producer",
      floor: 0.75,
      aim: 0.88
    },
    ...["amqplib", "rabbitmq-client", "cloudamqp"].map((ours): Bench.Claim => ({
      what: `${ours}, of raw`,
      measure: "time",
      ours,
      theirs: "raw"
    })),
    { what: "channel, x amqplib", measure: "time", ours: "apium, Channel.publish", theirs: "amqplib" },
    { what: "channel, cpu of amqplib's", measure: "cpu", ours: "apium, Channel.publish", theirs: "amqplib" }
  ]
})
