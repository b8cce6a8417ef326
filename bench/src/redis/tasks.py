"""The Celery worker of the benchmarks: prefork, as it comes, with what it logs of each task turned off."""
import os
import time

import redis
from celery import Celery
from celery.signals import worker_ready

url = os.environ["BENCH_URL"]
app = Celery("bench", broker=url)
if os.environ["BENCH_RESULTS"] == "yes":
    app.conf.result_backend = url
client = redis.Redis.from_url(url)


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


@worker_ready.connect
def told(**_):
    print(f"pid {os.getpid()} ready.", flush=True)
