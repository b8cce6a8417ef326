"""The Celery client of the benchmarks. It reads `number work count`, and says `number {"time": ..., "cpu": ..., "samples": [...], "result": ...}`."""
import json
import os
import sys
import time

import redis
from celery import Celery, chain, chord

app = Celery("bench", broker=os.environ["BENCH_BROKER"])
results = os.environ["BENCH_RESULTS"]
if results != "none":
    app.conf.result_backend = os.environ["BENCH_REDIS"] if results == "redis" else "rpc://"
app.conf.task_ignore_result = results == "none"
app.conf.update(json.loads(os.environ["BENCH_CONF"]))
client = redis.Redis.from_url(os.environ["BENCH_REDIS"])


def nothing(*_):
    pass


names = ("noop", "count", "mark", "one", "next", "sum")
tasks = {f"bench.{name}": app.task(nothing, name=f"bench.{name}") for name in names}


def trip():
    began = time.perf_counter()
    tasks["bench.noop"].apply_async().get()
    return (time.perf_counter() - began) * 1000


def mark():
    tasks["bench.mark"].apply_async((time.monotonic() * 1000,))
    return float(client.blpop("bench:marks")[1])


def a_chord(size):
    return chord(tasks["bench.one"].s() for _ in range(size))(tasks["bench.sum"].s())


def a_chain(size):
    return chain(tasks["bench.next"].s(0), *(tasks["bench.next"].s() for _ in range(size - 1))).apply_async()


print("producer ready.", flush=True)
for line in sys.stdin:
    number, work, count = line.split()
    samples = []
    result = None
    cpu, started = time.process_time(), time.monotonic()
    if work in ("mark", "trip"):
        for _ in range(int(count)):
            samples.append(mark() if work == "mark" else trip())
            time.sleep(0.02)
    elif work in ("chord", "chain"):
        result = (a_chord if work == "chord" else a_chain)(int(count)).get()
    else:
        for _ in range(int(count)):
            tasks[work].apply_async()
    spent = {"time": (time.monotonic() - started) * 1000, "cpu": (time.process_time() - cpu) * 1e6 / int(count)}
    print(number, json.dumps({**spent, "samples": samples, "result": result}), flush=True)
