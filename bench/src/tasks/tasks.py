"""The Celery worker of the benchmarks: prefork, as it comes, with what it logs of each task turned off."""
import json
import os
import time

import redis
from celery import Celery
from celery.signals import worker_ready

app = Celery("bench", broker=os.environ["BENCH_BROKER"])
results = os.environ["BENCH_RESULTS"]
if results != "none":
    app.conf.result_backend = os.environ["BENCH_REDIS"] if results == "redis" else "rpc://"
app.conf.update(json.loads(os.environ["BENCH_CONF"]))
client = redis.Redis.from_url(os.environ["BENCH_REDIS"])


@app.task(name="bench.noop")
def noop():
    pass


@app.task(name="bench.count")
def count():
    client.incr("bench:count")


@app.task(name="bench.mark")
def mark(at):
    late = time.monotonic() * 1000 - at
    client.rpush("bench:marks", repr(late))


@app.task(name="bench.one")
def one():
    return 1


@app.task(name="bench.next")
def following(x):
    return x + 1


@app.task(name="bench.sum")
def total(xs):
    return sum(xs)


@worker_ready.connect
def told(**_):
    print(f"pid {os.getpid()} ready.", flush=True)
