/** Debian's Celery with a worker (`py@here`, queue `py`), one of ours beside it (`ts@here`, queue `ts`), and a backend, on one Redis. */
import * as Queue from "@apium/hub/Queue"
import * as Result from "@apium/protocol/celery/ResultMessage"
import * as Redis from "@apium/transport-redis/node"
import { Client, RedisBackend, Task, Tasks, Worker } from "@apium/worker"
import { Effect, Layer, Schema } from "effect"
import * as Python from "../../../../test/support/Python.ts"
import { Redis as Server } from "../../../../test/support/Redis.ts"

const app = `
import json, os
from celery import Celery, chord, group
from celery.result import AsyncResult, GroupResult
app = Celery("proj", broker=os.environ["URL"], backend=os.environ["URL"])
app.conf.update(task_default_queue="py", worker_prefetch_multiplier=1)

@app.task(name="proj.add")
def add(x, y):
    return x + y

@app.task(name="proj.bad")
def bad():
    raise ValueError("bad", 1)

@app.task(name="proj.text")
def text(times):
    return "ü世🎉" * times

@app.task(name="proj.progress", bind=True)
def progress(self):
    for done in range(3):
        self.update_state(state="PROGRESS", meta={"done": done})
    return "done"

@app.task(name="proj.again", bind=True, max_retries=1)
def again(self):
    if self.request.retries == 0:
        raise self.retry(exc=KeyError("k"), countdown=0)
    return "ok"

@app.task(name="proj.parent")
def parent():
    add.delay(1, 2)
    return group(add.s(i, i) for i in range(2)).delay().id

@app.task(name="proj.collect")
def collect(values):
    return values
`

class OutOfStock extends Schema.TaggedError<OutOfStock>()("OutOfStock", { sku: Schema.String }) {}

const multiply = Task.make("ts.multiply", { params: { x: Schema.Number, y: Schema.Number }, result: Schema.Number })
const refuse = Task.make("ts.refuse", { params: {}, error: OutOfStock })

export const World = Layer.unwrap(
  Effect.map(Server, (server) => {
    const worker = Layer.effectDiscard(
      Python.worker({
        code: app,
        args: [
          "--pool",
          "solo",
          "-Q",
          "py",
          "-n",
          "py@here",
          "--without-gossip",
          "--without-mingle",
          "--without-heartbeat"
        ],
        env: { URL: server.url() }
      })
    )
    const backend = RedisBackend.layer.pipe(Layer.provide(Redis.layerRedis(server.url())))
    const ours = Worker.layer({ queues: [Queue.make("ts")], name: "ts@here", concurrency: 4 }).pipe(
      Layer.provide([
        Tasks.handle(multiply, ({ x, y }) => Effect.succeed(x * y)),
        Tasks.handle(refuse, () => Effect.fail(new OutOfStock({ sku: "ü" })))
      ]),
      Layer.provide(Tasks.layer),
      Layer.provide(Client.layer),
      Layer.provide(RedisBackend.layerWith({ extended: true })),
      Layer.provide(Redis.layerAll(server.url()))
    )
    return Layer.mergeAll(worker, ours, backend)
  })
).pipe(Layer.provideMerge(Server.shared))

/** What the program prints, as JSON. */
export const python = <A>(code: string, ...args: ReadonlyArray<unknown>) =>
  Effect.gen(function* () {
    const server = yield* Server
    const out = yield* Python.run(`${app}\nimport sys\nargs = json.loads(sys.argv[1])\n${code}`, {
      args: [JSON.stringify(args)],
      env: { URL: server.url() }
    })
    return JSON.parse(out) as A
  })

export const failure = (excType: string, excMessage: ReadonlyArray<string | number>, excModule: string) =>
  Result.encodeFailure({ excType, excMessage, excModule })
