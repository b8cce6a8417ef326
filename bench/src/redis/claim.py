"""Kombu as its documentation has it: a consumer of one queue, prefetch 256, each message acknowledged. Takes as many as it is told to."""

import json
import os
import sys
import time

from kombu import Connection, Consumer, Queue

connection = Connection(os.environ["BENCH_URL"])
channel = connection.channel()
left = 0
octets = 0


def receive(body, message):
    global left, octets
    octets += len(message.body)
    message.ack()
    left -= 1


consumer = Consumer(channel, queues=[Queue("celery")], callbacks=[receive], accept=["json"], prefetch_count=256)
print("ready.", flush=True)
for line in sys.stdin:
    left = int(line)
    octets = 0
    began, used = time.perf_counter(), time.process_time()
    consumer.consume()
    while left > 0:
        connection.drain_events(timeout=10)
    spent, used = time.perf_counter() - began, time.process_time() - used
    consumer.cancel()
    print("done " + json.dumps({"time": spent * 1000, "cpu": used * 1e6 / int(line), "octets": octets}), flush=True)
