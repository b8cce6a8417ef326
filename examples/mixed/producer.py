"""A Python producer of tasks that a TypeScript worker runs: examples/mixed/worker.ts.

    export APIUM_BROKER_URL=amqp://guest:guest@localhost:5672//     # or redis://localhost:6379/0
    node --conditions=@apium/source examples/mixed/worker.ts        # in another terminal
    python3 examples/mixed/producer.py
"""
import os

from celery import Celery, chain

broker = os.environ.get("APIUM_BROKER_URL", "redis://localhost:6379/0")
# In Redis, or as messages to whoever sent the task.
results = os.environ.get("APIUM_RESULT_BACKEND", broker if broker.startswith("redis") else "rpc://")

app = Celery("shop", broker=broker, backend=results)
# There is no Python function of these names: a signature is made of the name and the queue. (`task_routes` would do for the first step of
# a chain; where the next one goes is the worker's to say, which does not know them.)
quote = app.signature("shop.quote", queue="typescript")
audit = app.signature("shop.audit", kwargs={"by": "ann"}, queue="typescript")

print("positional:", quote.delay("mug", 3).get(timeout=30))
print("by name:", quote.apply_async(kwargs={"sku": "mug", "quantity": 3, "express": True}).get(timeout=30))
print("in a second:", quote.apply_async(("lamp", 1), countdown=1).get(timeout=30))
print("a chain:", chain(quote.clone(("mug", 1)), audit).delay().get(timeout=30))

# A declared error of TypeScript is an exception of its name: its message, then its fields.
try:
    quote.delay("lamp", 5).get(timeout=30)
except Exception as error:
    print("refused:", type(error).__name__, *error.args)

# What does not bind is the TypeError that a Python function would have raised.
try:
    quote.delay("lamp").get(timeout=30)
except TypeError as error:
    print("refused:", error)
