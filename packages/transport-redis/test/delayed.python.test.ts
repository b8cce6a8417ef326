/** Tasks with an ETA on real Redis, between Python's Celery and us (RELIABILITY D12). */
import { assert, layer } from "@effect/vitest"
import { Clock, Effect, Exit, Scope } from "effect"
import { print } from "../../../test/support/Figures.ts"
import * as Python from "../../../test/support/Python.ts"
import { Redis as Server } from "../../../test/support/Redis.ts"
import * as etas from "./support/etas.ts"
import { renewed } from "./support/lapse.ts"
import * as stores from "./support/stores.ts"

layer(etas.World, { excludeTestServices: true })("a task that is not due, beside Python", (it) => {
  it.effect("from Python, in either protocol, waits in Redis and runs here when it is due", () =>
    Effect.gen(function* () {
      const server = yield* Server
      const ran: Array<etas.Ran> = []
      yield* etas.start(ran)
      yield* Python.run(
        `
import sys, time
from celery import Celery
at = time.time() + 10
for protocol in (1, 2):
    app = Celery(broker=sys.argv[1])
    app.conf.task_protocol = protocol
    app.send_task("proj.due", kwargs={"n": protocol, "at": at * 1000}, countdown=at - time.time(), ignore_result=True)
`,
        { args: [server.url()] }
      )
      yield* etas.untilParked(2)
      assert.deepStrictEqual([yield* etas.waiting, yield* server.command("HLEN", "unacked"), ran.length], [0, 0, 0])
      yield* stores.until(Effect.sync(() => ran.length === 2))
      assert.sameMembers(
        ran.map(({ n }) => n),
        [1, 2]
      )
      // A countdown counts from when Celery reads its own clock, a little later; its clock has parts of a millisecond, and ours none.
      for (const { late } of ran) assert.isAbove(late, -1)
      yield* stores.until(Effect.map(server.command("HLEN", "unacked"), (left) => left === 0))
      yield* etas.nothingLeft
    }).pipe(Effect.scoped)
  )

  it.effect(
    "for five times the visibility timeout, beside a Python worker that gives back what is overdue, runs once",
    () =>
      Effect.gen(function* () {
        const server = yield* Server
        const ran: Array<etas.Ran> = []
        yield* etas.start(ran, { visibilityTimeout: "2 seconds" })
        // Kombu looks every 100 s or so; here five times a second.
        yield* Python.worker({
          code: `
import threading, time
from celery import Celery
app = Celery("sweeper", broker=${JSON.stringify(server.url())})
app.conf.broker_transport_options = {"visibility_timeout": 2}
app.conf.task_default_queue = "python"
def sweep():
    channel = app.connection().default_channel
    while True:
        channel.qos.restore_visible(interval=1)
        time.sleep(0.2)
threading.Thread(target=sweep, daemon=True).start()
`,
          args: ["--pool", "solo", "--without-gossip", "--without-mingle"]
        })
        const books = yield* renewed(2000, () =>
          Effect.gen(function* () {
            ran.length = 0
            const at = (yield* Clock.currentTimeMillis) + 10_000
            yield* Python.run(
              `
import sys, datetime
from celery import Celery
app = Celery(broker=sys.argv[1])
at = float(sys.argv[2])
eta = datetime.datetime.fromtimestamp(at / 1000, datetime.timezone.utc)
for n in range(100, 150):
    app.send_task("proj.due", kwargs={"n": n, "at": at}, eta=eta, ignore_result=True)
`,
              { args: [server.url(), String(at)] }
            )
            yield* etas.send(50, () => at)
            yield* stores.until(Effect.sync(() => ran.length >= 100))
            // Nothing is anywhere that could come twice.
            yield* stores.until(
              Effect.map(server.command("EXISTS", "unacked", "celery", "celery.delayed"), (left) => left === 0)
            )
            return etas.book(ran, 100)
          })
        )
        const { dup, early, line, lost } = books
        yield* print(`D12 eta=5 visibility timeouts ${line}`)
        assert.deepStrictEqual([lost, dup, early], [0, 0, 0])
        yield* etas.nothingLeft
      }).pipe(Effect.scoped)
  )

  it.effect("is Python's to hold and run when the last of us has stopped", () =>
    Effect.gen(function* () {
      const server = yield* Server
      const scope = yield* Scope.make()
      const ran: Array<etas.Ran> = []
      yield* Scope.provide(etas.start(ran), scope)
      const at = (yield* Clock.currentTimeMillis) + 8000
      yield* etas.send(20, () => at)
      yield* etas.untilParked(20)
      yield* Scope.close(scope, Exit.void)
      assert.deepStrictEqual([yield* etas.waiting, yield* etas.parked], [20, 0])
      const python = yield* Python.worker({
        code: `
import time
from celery import Celery
app = Celery("gone", broker=${JSON.stringify(server.url())})
@app.task(name="proj.due", ignore_result=True)
def due(n, at):
    print(f"ran {n} {int(time.time() * 1000 - at)}", flush=True)
`,
        args: ["--pool", "solo", "--without-gossip", "--without-mingle"]
      })
      const lines: Array<string> = []
      for (let n = 0; n < 20; n++) {
        const line = yield* python.line(`ran ${n} `)
        lines.push(line.slice(line.indexOf("ran ")))
      }
      const { dup, early, line, lost } = etas.book(etas.said(lines), 20)
      yield* print(`run by Python after a warm stop ${line}`)
      assert.deepStrictEqual([lost, dup, early, ran.length], [0, 0, 0, 0])
      yield* stores.until(Effect.map(server.command("HLEN", "unacked"), (left) => left === 0))
    }).pipe(Effect.scoped)
  )
})
