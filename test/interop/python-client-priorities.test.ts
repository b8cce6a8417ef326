/** One slot, and what Debian's Celery sends with priorities, on a queue that has them. */
import * as Queue from "@apium/hub/Queue"
import { pipe } from "effect"
import { priorities } from "./support/checks/priorities.ts"
import { onEach } from "./support/clients.ts"

onEach("priorities", priorities, {
  worker: { queues: [pipe(Queue.make("celery"), Queue.priority(10))], concurrency: 1, fetch: "exact" },
  // Its publishes are confirmed: all are in the queue when the slot is given free.
  conf: { task_queue_max_priority: 10, broker_transport_options: { confirm_publish: true } }
})
