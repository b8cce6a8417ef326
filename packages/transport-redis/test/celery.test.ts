/** Events and remote control, between Debian's Celery and us: its monitors see our worker, and ours see its. */
import * as Queue from "@apium/hub/Queue"
import * as Redis from "@apium/transport-redis/node"
import { Client, Control, EventReceiver, MemoryBackend, Task, Tasks, Worker } from "@apium/worker"
import { assert, layer } from "@effect/vitest"
import { Deferred, Effect, Layer, Queue as Heard, Schema, Stream } from "effect"
import * as Python from "../../../test/support/Python.ts"
import { Redis as Server } from "../../../test/support/Redis.ts"
import * as stores from "./support/stores.ts"

const add = Task.make("proj.add", { params: { x: Schema.Number, y: Schema.Number }, result: Schema.Number })
const hold = Task.make("proj.hold", { params: {}, result: Schema.Void })

const held = Deferred.makeUnsafe<void>()

/** A worker of ours on one connection, and a client on another; nobody else is on this server. */
const World = Layer.unwrap(
  Effect.map(Server, (server) => {
    const connection = () => Layer.fresh(Redis.layer(server.url()))
    return Layer.mergeAll(
      Worker.layer({ queues: [Queue.make("celery")], concurrency: 4, events: true, name: "ours@here" }).pipe(
        Layer.provide([
          Tasks.handle(add, ({ x, y }) => Effect.succeed(x + y)),
          Tasks.handle(hold, () => Effect.andThen(Deferred.succeed(held, undefined), Effect.never))
        ]),
        Layer.provide(Tasks.layer),
        Layer.provide(Client.layer),
        Layer.provide(connection())
      ),
      Client.layer.pipe(Layer.provideMerge(connection()))
    )
  })
).pipe(Layer.provide(Layer.suspend(() => MemoryBackend.layer)), Layer.provideMerge(Server.layer()))

/** The `celery` command, as a person types it. */
const command = `
import sys
from celery.__main__ import main
sys.argv = ["celery", "-b", sys.argv[1], *sys.argv[2:]]
main()
`

const celery = (...args: ReadonlyArray<string>) =>
  Effect.flatMap(Server, (server) => Python.run(command, { args: [server.url(), ...args] }))

layer(World, { excludeTestServices: true })("a worker of ours on Redis", (it) => {
  it.effect("is in what `celery events --dump` prints: its life, and that of its tasks, in order", () =>
    Effect.gen(function* () {
      const server = yield* Server
      const dump = yield* Python.start(command, { args: [server.url(), "events", "--dump"] })
      // It asks all workers for a heartbeat once it listens.
      yield* dump.line("ours@here")
      const result = yield* add.delay({ x: 2, y: 3 })
      assert.strictEqual(yield* result.get, 5)
      yield* dump.line(`task succeeded: proj.add(${result.id})`)
      const said = dump.lines().filter((line) => line.includes(result.id))
      const kinds = said.map((line) => /\] (task \w+):/.exec(line)?.[1])
      assert.deepStrictEqual(kinds, ["task received", "task started", "task succeeded"])
      assert.include(said[2]!, "result=5")
      assert.include(dump.lines().join("\n"), "sw_ident=apium")
      // Published, and kept in no list: who does not listen misses them.
      assert.deepStrictEqual(yield* server.command("KEYS", "celeryev*"), [])
    })
  )

  it.effect("answers `celery inspect ping` and `celery status`", () =>
    Effect.gen(function* () {
      const ping = yield* celery("inspect", "ping", "--timeout", "60", "--destination", "ours@here")
      assert.match(ping, /ours@here: OK\s+pong/)
      const status = yield* celery("status", "--timeout", "60", "--destination", "ours@here")
      assert.match(status, /ours@here: OK/)
      assert.include(status, "1 node online")
    })
  )

  it.effect("ends a task that Celery revokes with terminate", () =>
    Effect.gen(function* () {
      const result = yield* hold.delay({})
      yield* Deferred.await(held)
      const server = yield* Server
      yield* Python.run(
        `
import sys
from celery import Celery
Celery(broker=sys.argv[1]).control.revoke(sys.argv[2], terminate=True)
`,
        { args: [server.url(), result.id] }
      )
      const error = yield* Effect.flip(result.get)
      assert.include(String(error), "REVOKED: TaskRevokedError: terminated")
      const [answer] = yield* Control.inspect.revoked({ destination: ["ours@here"], timeout: "1 minute" })
      assert.deepStrictEqual(answer, { node: "ours@here", reply: [result.id] })
    })
  )
})

const app = `
import os
from celery import Celery
app = Celery("apium_app", broker=os.environ["BROKER"], backend=None)
app.conf.worker_send_task_events = True
app.conf.task_ignore_result = True

@app.task(name="theirs.add")
def add(x, y):
    return x + y

@app.task(name="theirs.sleep")
def sleep(seconds):
    import time
    time.sleep(seconds)
`

layer(Server.layer(), { excludeTestServices: true })("a worker of Celery's on Redis", (it) => {
  it.effect("is heard, asked and told by us", () =>
    Effect.gen(function* () {
      const server = yield* Server
      yield* Effect.gen(function* () {
        const heard = yield* Heard.unbounded<string>()
        yield* EventReceiver.stream().pipe(
          Stream.runForEach(({ fields, hostname, type }) =>
            Heard.offer(heard, `${hostname} ${type} ${JSON.stringify(fields.uuid ?? fields.sw_ident ?? "")}`)
          ),
          Effect.forkScoped
        )
        yield* stores.until(Effect.map(server.command("PUBSUB", "NUMPAT"), (open) => Number(open) > 0))
        const until = (text: string): Effect.Effect<string> =>
          Effect.flatMap(Heard.take(heard), (line) => (line.includes(text) ? Effect.succeed(line) : until(text)))
        yield* Python.worker({
          code: app,
          args: ["--pool", "solo", "--hostname", "theirs@here"],
          env: { BROKER: server.url() }
        })
        yield* until('theirs@here worker-online "py-celery"')
        // It says that it is ready, and listens a moment later: what is published until then nobody hears.
        const ping = Control.ping({ destination: ["theirs@here"], limit: 1, timeout: "5 seconds" })
        const replies = yield* Effect.repeat(ping, { while: (replies) => replies.length === 0, times: 20 })
        assert.deepStrictEqual(replies, [{ node: "theirs@here", reply: { ok: "pong" } }])
        const [registered] = yield* Control.inspect.registered({ limit: 1, timeout: "1 minute" })
        assert.deepStrictEqual(registered!.reply, ["theirs.add", "theirs.sleep"])
        const id = crypto.randomUUID()
        // Revoked before it comes: Celery keeps the id, and says so when it sees the task.
        yield* Control.revoke(id, { destination: ["theirs@here"], reply: true, timeout: "1 minute" })
        const send = (task: string, taskId: string, args: string) =>
          Python.run(
            `
import json, sys
from celery import Celery
Celery(broker=sys.argv[1]).send_task(sys.argv[2], task_id=sys.argv[3], args=json.loads(sys.argv[4]), ignore_result=True)
`,
            { args: [server.url(), task, taskId, args] }
          )
        yield* send("theirs.sleep", id, "[60]")
        yield* until(`task-revoked "${id}"`)
        const other = crypto.randomUUID()
        yield* send("theirs.add", other, "[2, 3]")
        for (const type of ["task-received", "task-started", "task-succeeded"]) {
          assert.strictEqual(yield* until(other), `theirs@here ${type} "${other}"`)
        }
      }).pipe(Effect.scoped, Effect.provide(Redis.layer(server.url())))
    })
  )
})
