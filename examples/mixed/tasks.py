"""A Python worker, as any other: it takes the queue `python`. What it runs is sent by examples/mixed/producer.ts.

    export APIUM_BROKER_URL=amqp://guest:guest@localhost:5672//     # or redis://localhost:6379/0
    celery --workdir examples/mixed -A tasks worker -Q python
    node --conditions=@apium/source examples/mixed/producer.ts      # in another terminal
"""
import os
import statistics

from celery import Celery

broker = os.environ.get("APIUM_BROKER_URL", "redis://localhost:6379/0")
# In Redis, or as messages to whoever sent the task.
results = os.environ.get("APIUM_RESULT_BACKEND", broker if broker.startswith("redis") else "rpc://")

app = Celery("tasks", broker=broker, backend=results)


@app.task(name="stats.describe")
def describe(numbers, digits=2):
    if not numbers:
        raise ValueError("there is nothing to describe")
    return {"mean": round(statistics.mean(numbers), digits), "median": statistics.median(numbers)}


@app.task(name="stats.progress", bind=True)
def progress(self, steps):
    for step in range(steps):
        self.update_state(state="PROGRESS", meta={"done": step})
    return "done"
