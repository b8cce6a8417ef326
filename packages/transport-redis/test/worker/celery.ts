/** A real Celery worker for the queue of a fleet: it runs the same tasks, and says the same lines. */
import { Effect } from "effect"
import type * as Fleet from "../../../../test/support/fleet/Fleet.ts"
import * as Python from "../../../../test/support/Python.ts"
import { Redis as Server } from "../../../../test/support/Redis.ts"

// Kombu looks for what is overdue every tenth of ten seconds (kombu#2558); here five times a second, so that a lapse of ours would show.
const code = `
import logging, os, time
from celery import Celery
from kombu.asynchronous.hub import Hub
from kombu.transport import redis as transport

visible = transport.QoS.restore_visible
transport.QoS.restore_visible = lambda self, start=0, num=10, interval=10: visible(self, start, 100, 1)
repeatedly = Hub.call_repeatedly
def hurried(self, delay, callback, *args):
    return repeatedly(self, 0.2 if callback.__name__ == "maybe_restore_messages" else delay, callback, *args)
Hub.call_repeatedly = hurried

app = Celery(broker=os.environ["FLEET_URL"])
app.conf.update(
    broker_transport_options={"visibility_timeout": int(os.environ["FLEET_VISIBILITY"]) / 1000},
    task_default_queue=os.environ["FLEET_QUEUE"],
    worker_prefetch_multiplier=2,
    task_acks_late=True,
)

# What it says is for the books.
for name in ("celery.worker.strategy", "celery.app.trace"):
    logging.getLogger(name).setLevel(logging.WARNING)

def say(*words):
    os.write(1, ("@ " + " ".join(words) + " " + str(round(time.time() * 1000)) + "\\n").encode())

@app.task(name="fleet.late", bind=True)
def late(self, wait, dies=False):
    say("started", self.request.id, "again" if self.request.delivery_info.get("redelivered") else "first")
    time.sleep(wait / 1000)
    say("finished", self.request.id, "-")
`

export const concurrency = 4

/** Ready for tasks. `visibility` in milliseconds. */
export const start = (fleet: Fleet.Fleet, visibility: number) =>
  Effect.flatMap(Server, (server) =>
    Python.worker({
      code,
      args: ["--concurrency", String(concurrency), "--without-gossip", "--without-mingle", "-n", "celery@here"],
      // Two for each task, of which a whole run has thousands.
      kept: 100_000,
      env: { FLEET_URL: server.url(), FLEET_QUEUE: fleet.name, FLEET_VISIBILITY: String(visibility) }
    })
  )
