/** A Celery worker of Debian's, with the tasks of `tasks.ts` and `Visits.ts` in Python. */
import * as Python from "../../support/Python.ts"

const code = `
import json, os, sys, time, types
from celery import Celery, chain, chord, group, signature
from celery.exceptions import Ignore, Reject, SoftTimeLimitExceeded
from kombu import Queue
app = Celery("proj", broker=os.environ["BROKER"], backend=os.environ["BACKEND"])
app.conf.update(worker_prefetch_multiplier=4, task_default_queue="celery", worker_hijack_root_logger=False)
app.conf.update(json.loads(os.environ.get("CONF", "{}")))
if "HURRIED" in os.environ:
    # Kombu looks for what is overdue each tenth time of once in ten seconds (kombu#2558).
    from kombu.asynchronous.hub import Hub
    from kombu.transport.redis import QoS
    visible, repeatedly = QoS.restore_visible, Hub.call_repeatedly
    QoS.restore_visible = lambda self, start=0, num=10, interval=10: visible(self, start, 100, 1)
    Hub.call_repeatedly = lambda self, delay, callback, *args: repeatedly(
        self, 0.2 if callback.__name__ == "maybe_restore_messages" else delay, callback, *args)
if "PRIORITIES" in os.environ:
    app.conf.task_queues = [Queue(os.environ["PRIORITIES"], queue_arguments={"x-max-priority": 10})]

@app.task(name="proj.add")
def add(x, y):
    return x + y

@app.task(name="proj.sum")
def sum_(of):
    return sum(of)

@app.task(name="proj.echo")
def echo(*args, **kwargs):
    return [args, kwargs]

@app.task(name="proj.fail")
def fail(text):
    raise ValueError(text)

# A module of that name, for a class is pickled by the name of its module on the way out of the pool.
apium = sys.modules["apium"] = types.ModuleType("apium")
apium.OutOfStock = type("OutOfStock", (Exception,), {"__module__": "apium"})

@app.task(name="proj.order")
def order(left):
    raise apium.OutOfStock("%d left" % left, {"_tag": "OutOfStock", "left": left})

@app.task(name="proj.retry", bind=True, max_retries=5)
def retry(self, times):
    if self.request.retries < times:
        raise self.retry(countdown=0)
    return self.request.retries

@app.task(name="proj.exhausted", bind=True, max_retries=1)
def exhausted(self):
    # Not at once: the run after this one may have stored its FAILURE by then, which the RETRY of this one would write over.
    raise self.retry(countdown=0.5, exc=KeyError("again"))

@app.task(name="proj.progress", bind=True)
def progress(self):
    self.update_state(state="PROGRESS", meta={"done": 1, "of": 2})
    time.sleep(1)
    return "done"

@app.task(name="proj.sleep")
def sleep(seconds):
    time.sleep(seconds)
    return seconds

@app.task(name="proj.patient")
def patient(seconds):
    try:
        time.sleep(seconds)
    except SoftTimeLimitExceeded:
        return "in time"

@app.task(name="proj.ignored", ignore_result=True)
def ignored():
    return None

@app.task(name="proj.ignores")
def ignores():
    raise Ignore()

@app.task(name="proj.rejects")
def rejects():
    raise Reject("no", requeue=False)

@app.task(name="proj.replaced", bind=True)
def replaced(self, x):
    raise self.replace(chain(add.s(x, 1), add.s(10)))

@app.task(name="proj.spread", bind=True)
def spread(self, x):
    raise self.replace(group(add.s(x, 1), add.s(x, 2)))

@app.task(name="proj.twice", bind=True)
def twice(self, x):
    raise self.replace(replaced.s(x + 1))

@app.task(name="proj.more", bind=True)
def more(self, x):
    self.add_to_chord(add.s(x, 100))
    return x

@app.task(name="proj.info", bind=True)
def info(self, *args, **kwargs):
    request = self.request
    return {"id": request.id, "name": self.name, "retries": request.retries, "rootId": request.root_id,
            "parentId": request.parent_id, "group": request.group,
            "headers": {"x-tenant": (request.headers or {}).get("x-tenant") or request.get("x-tenant")},
            "timelimit": request.timelimit, "shadow": request.get("shadow"), "origin": request.origin,
            "argsrepr": request.argsrepr, "kwargsrepr": request.kwargsrepr,
            "priority": request.delivery_info["priority"]}

@app.task(name="proj.tell")
def tell(*args, **kwargs):
    return None

@app.task(name="proj.oops")
def oops(id):
    return ["python", id]

# What ran, and in which order: a list of Redis' that has the name of the test's choice.
@app.task(name="proj.note", acks_late=True)
def note(list, what, until=None):
    app.backend.client.rpush(list, what)
    if until:
        app.backend.client.blpop(until, 100)

# Who was here: each adds its name to the path.
@app.task(name="proj.visit")
def visit(path=(), *more):
    return [*path, "python", *more]

@app.task(name="proj.traced", bind=True)
def traced(self, path=()):
    return [*path, "python", self.request.get("traceparent")]

@app.task(name="proj.visits")
def visits(paths):
    return ["/".join(path) for path in paths] + ["python"]

@app.task(name="proj.moves", bind=True)
def moves(self, path, queue):
    raise self.replace(app.signature("proj.visit", args=[[*path, "python"]], queue=queue))

@app.task(name="proj.grows", bind=True)
def grows(self, queue):
    self.add_to_chord(app.signature("proj.visit", args=[["added"]], queue=queue))
    return ["python"]

@app.task(name="proj.counted")
def counted(of, list):
    app.backend.client.rpush(list, sum(of))
    return sum(of)
`

export interface Options {
  /** More arguments of `celery worker`. */
  readonly args?: ReadonlyArray<string>
  /** Default 2. */
  readonly concurrency?: number
}

export const start = (env: Readonly<Record<string, string>>, { args = [], concurrency = 2 }: Options = {}) =>
  Python.worker({
    code,
    args: ["--pool", "prefork", "-c", String(concurrency), "--without-gossip", "--without-mingle", ...args],
    env
  })
