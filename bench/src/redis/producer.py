"""The Celery client of the benchmarks. It reads `number work count`, and says `number {"time": ..., "cpu": ..., "samples": [...]}`."""
import json
import os
import sys
import time

import redis
from celery import Celery

url = os.environ["BENCH_URL"]
app = Celery("bench", broker=url)
app.conf.task_ignore_result = os.environ["BENCH_RESULTS"] != "yes"
client = redis.Redis.from_url(url)


def nothing(*_):
    pass


tasks = {name: app.task(nothing, name=name) for name in ("bench.noop", "bench.count", "bench.mark")}

print("producer ready.", flush=True)
for line in sys.stdin:
    number, work, count = line.split()
    samples = []
    cpu, started = time.process_time(), time.monotonic()
    if work == "mark":
        for _ in range(int(count)):
            tasks["bench.mark"].apply_async((time.monotonic() * 1000,))
            samples.append(float(client.blpop("bench:marks")[1]))
            time.sleep(0.02)
    else:
        for _ in range(int(count)):
            tasks[work].apply_async()
    spent = {"time": (time.monotonic() - started) * 1000, "cpu": (time.process_time() - cpu) * 1e6 / int(count)}
    print(number, json.dumps({**spent, "samples": samples}), flush=True)
