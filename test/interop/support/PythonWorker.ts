/** A Celery worker of Debian's, with the tasks of `tasks.ts` in Python. */
import * as Python from "../../support/Python.ts"

const code = `
import os, time
from celery import Celery, chain
from celery.exceptions import Ignore, Reject
app = Celery("proj", broker=os.environ["BROKER"], backend=os.environ["BACKEND"])
app.conf.update(worker_prefetch_multiplier=4, task_default_queue="celery", worker_hijack_root_logger=False)

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

@app.task(name="proj.retry", bind=True, max_retries=5)
def retry(self, times):
    if self.request.retries < times:
        raise self.retry(countdown=0)
    return self.request.retries

@app.task(name="proj.progress", bind=True)
def progress(self):
    self.update_state(state="PROGRESS", meta={"done": 1, "of": 2})
    time.sleep(0.5)
    return "done"

@app.task(name="proj.sleep")
def sleep(seconds):
    time.sleep(seconds)
    return seconds

@app.task(name="proj.ignored", ignore_result=True)
def ignored():
    return None

@app.task(name="proj.replaced", bind=True)
def replaced(self, x):
    raise self.replace(chain(add.s(x, 1), add.s(10)))

@app.task(name="proj.info", bind=True)
def info(self, *args, **kwargs):
    request = self.request
    return {"id": request.id, "name": self.name, "retries": request.retries, "rootId": request.root_id,
            "headers": {"x-tenant": (request.headers or {}).get("x-tenant") or request.get("x-tenant")},
            "priority": request.delivery_info["priority"]}

@app.task(name="proj.tell")
def tell(*args, **kwargs):
    return None

@app.task(name="proj.oops")
def oops(id):
    return id
`

export const start = (env: Readonly<Record<string, string>>) =>
  Python.worker({ code, args: ["--pool", "prefork", "-c", "2", "--without-gossip", "--without-mingle"], env })
