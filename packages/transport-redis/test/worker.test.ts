import * as Queue from "@apium/hub/Queue"
import * as Redis from "@apium/transport-redis/node"
import { Client, MemoryBackend, Task, Tasks, Worker } from "@apium/worker"
import { assert, layer } from "@effect/vitest"
import { Deferred, Effect, Fiber, Layer, Schema } from "effect"
import * as Python from "../../../test/support/Python.ts"
import { Redis as Server } from "../../../test/support/Redis.ts"

const add = Task.make("proj.add", { params: { x: Schema.Number, y: Schema.Number }, result: Schema.Number })
const say = Task.make("proj.say", { params: { text: Schema.String }, result: Schema.Void })

const said: Array<string> = []

/** Two connections, as two programs would have, and a place for results that they share. */
const World = Layer.unwrap(
  Effect.map(Server, (server) => {
    const connection = () => Layer.fresh(Redis.layer(server.url()))
    const AddLive = Tasks.handle(add, ({ x, y }) => Effect.succeed(x + y))
    const SayLive = Tasks.handle(say, ({ text }) => Effect.sync(() => void said.push(text)))
    return Layer.mergeAll(
      Worker.layer({ queues: [Queue.make("celery")], concurrency: 8 }).pipe(
        Layer.provide([AddLive, SayLive]),
        Layer.provide(Tasks.layer),
        Layer.provide(Client.layer),
        Layer.provide(connection())
      ),
      Client.layer.pipe(Layer.provideMerge(connection()))
    )
  })
).pipe(Layer.provide(Layer.suspend(() => MemoryBackend.layer)), Layer.provideMerge(Server.layer()))

layer(World, { excludeTestServices: true, timeout: "60 seconds" })("a worker and a client on Redis", (it) => {
  it.effect("a task is sent, run, and its result comes back", () =>
    Effect.gen(function* () {
      const result = yield* add.delay({ x: 2, y: 3 })
      assert.strictEqual(yield* result.get, 5)
    })
  )

  it.effect(
    "Python's Celery sends a task that runs here, and its ping is answered",
    () =>
      Effect.gen(function* () {
        const server = yield* Server
        const answer = yield* Python.run(
          `
import json, sys
from celery import Celery
app = Celery(broker=sys.argv[1])
app.send_task("proj.say", kwargs={"text": "from Python"})
print(json.dumps(app.control.ping(timeout=3)))
`,
          { args: [server.url()] }
        )
        const replies = JSON.parse(answer) as ReadonlyArray<Record<string, unknown>>
        assert.deepStrictEqual(replies.flatMap(Object.values), [{ ok: "pong" }])
        assert.deepStrictEqual(said, ["from Python"])
      }),
    30_000
  )

  it.effect(
    "a thousand tasks run though all links are cut in the middle, and nothing is left in the queue",
    () =>
      Effect.gen(function* () {
        const server = yield* Server
        const some = yield* Deferred.make<void>()
        const running = yield* Effect.forkChild(
          Effect.forEach(
            Array.from({ length: 1000 }, (_, index) => index),
            (index) =>
              Effect.gen(function* () {
                const result = yield* add.delay({ x: index, y: 1 })
                if (index === 300) yield* Deferred.succeed(some, undefined)
                return yield* result.get
              }),
            { concurrency: 50 }
          )
        )
        yield* Deferred.await(some)
        yield* server.command("CLIENT", "KILL", "TYPE", "normal")
        const results = yield* Fiber.join(running)
        assert.deepStrictEqual(
          results,
          results.map((_, index) => index + 1)
        )
        assert.strictEqual(yield* server.command("LLEN", "celery"), 0)
      }),
    60_000
  )
})
