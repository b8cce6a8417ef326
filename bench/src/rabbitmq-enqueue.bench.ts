/**
 * Tasks into a durable queue that nobody takes from, persistent, each told to ignore its result. Equal work: after each turn the queue holds as many. Ours
 * wait for the broker's confirm, and Celery where it says so. A channel and a socket publish our client's very message again: what is missing to them is
 * what our client costs.
 */
import * as Bench from "./Bench.ts"
import { enqueuing } from "./tasks/contestant.ts"

const operations = 10_000
const broker = "rabbitmq"

export default Bench.compared({
  title: "rabbitmq-enqueue: tasks into a queue",
  unit: "tasks",
  operations,
  rounds: 7,
  warmUp: 4,
  contestants: [
    enqueuing("socket, 256 at once", "socket", operations, { broker, manner: "together", count: 10_000 }),
    enqueuing("channel, publishAll of 1,000", "channel", operations, { broker, manner: "batch", count: 10_000 }),
    enqueuing("channel, publish, 256 at once", "channel", operations, { broker, manner: "together", count: 10_000 }),
    enqueuing("apium, sendAll of 1,000", "apium", operations, { broker, manner: "batch", count: 10_000 }),
    enqueuing("apium, send, 256 at once", "apium", operations, { broker, manner: "together", count: 10_000 }),
    enqueuing("apium, send, one by one", "apium", operations, { broker, manner: "each", count: 1500 }),
    enqueuing("Celery, apply_async", "celery", operations, { broker, manner: "each", count: 1500 }),
    enqueuing("Celery, apply_async, confirmed", "celery", operations, {
      broker,
      manner: "each",
      count: 1000,
      conf: { broker_transport_options: { confirm_publish: true } }
    })
  ],
  claims: [
    {
      what: "sendAll, x Celery",
      measure: "time",
      ours: "apium, sendAll of 1,000",
      theirs: "Celery, apply_async",
      floor: 3
    },
    {
      what: "send at once, x Celery",
      measure: "time",
      ours: "apium, send, 256 at once",
      theirs: "Celery, apply_async",
      floor: 3
    },
    {
      what: "sendAll, x Celery confirmed",
      measure: "time",
      ours: "apium, sendAll of 1,000",
      theirs: "Celery, apply_async, confirmed"
    },
    {
      what: "send one by one, x Celery confirmed",
      measure: "time",
      ours: "apium, send, one by one",
      theirs: "Celery, apply_async, confirmed"
    },
    {
      what: "sendAll, of a channel",
      measure: "time",
      ours: "apium, sendAll of 1,000",
      theirs: "channel, publishAll of 1,000",
      aim: 0.9
    },
    {
      what: "send at once, of a channel",
      measure: "time",
      ours: "apium, send, 256 at once",
      theirs: "channel, publish, 256 at once",
      aim: 0.9
    },
    {
      what: "sendAll, of a socket",
      measure: "time",
      ours: "apium, sendAll of 1,000",
      theirs: "socket, 256 at once"
    },
    {
      what: "send at once, of a socket",
      measure: "time",
      ours: "apium, send, 256 at once",
      theirs: "socket, 256 at once"
    }
  ]
})
