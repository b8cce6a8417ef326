import * as Redis from "@apium/transport-redis/node"
import { RedisBackend, Task, Tasks } from "@apium/worker"
import { assert, layer } from "@effect/vitest"
import { Effect, Layer, Schema } from "effect"
import { keepTo, print, spread, timed, times, until } from "../../../test/support/Figures.ts"
import * as Python from "../../../test/support/Python.ts"
import { Redis as Server } from "../../../test/support/Redis.ts"
import * as worker from "../../../test/support/worker.ts"

const say = Task.make("proj.say", { params: { text: Schema.String }, result: Schema.Void })

const said: Array<string> = []
const SayLive = Tasks.handle(say, ({ text }) => Effect.sync(() => void said.push(text)))

/** Two programs, each with all its connections to the same Redis: for tasks, for results, and to listen with. */
const World = Layer.unwrap(
  Effect.map(Server, (server) =>
    worker.world(() => RedisBackend.layer.pipe(Layer.provideMerge(Layer.fresh(Redis.layerAll(server.url())))), SayLive)
  )
).pipe(Layer.provideMerge(Server.layer()))

layer(World, { excludeTestServices: true })("a worker and a client on Redis", (it) => {
  it.effect("a task is sent, run, and its result comes back", () =>
    Effect.gen(function* () {
      const result = yield* worker.add.delay({ x: 2, y: 3 })
      assert.strictEqual(yield* result.get, 5)
    })
  )

  it.effect("Python's Celery sends a task that runs here, and its ping is answered", () =>
    Effect.gen(function* () {
      const server = yield* Server
      const answer = yield* Python.run(
        `
import json, sys
from celery import Celery
app = Celery(broker=sys.argv[1])
app.send_task("proj.say", kwargs={"text": "from Python"})
print(json.dumps(app.control.ping(timeout=60, limit=1)))
`,
        { args: [server.url()] }
      )
      const replies = JSON.parse(answer) as ReadonlyArray<Record<string, unknown>>
      assert.deepStrictEqual(replies.flatMap(Object.values), [{ ok: "pong" }])
      yield* until(Effect.sync(() => said.length > 0))
      assert.deepStrictEqual(said, ["from Python"])
    })
  )

  it.effect("a thousand tasks run though all links are cut in the middle, and nothing is left in the queue", () =>
    Effect.flatMap(Server, (server) => worker.thousand(server.command("CLIENT", "KILL", "SKIPME", "yes")))
  )

  it.effect("each of their connections may be killed: results come again within two seconds, and none is missed", () =>
    Effect.gen(function* () {
      const server = yield* Server
      const kills = times(15, 30, 200)
      /** Of those that stay. */
      const connections = Effect.map(server.command("CLIENT", "LIST"), (list) =>
        Array.from(String(list).matchAll(/^id=(\d+) .* cmd=(\S+)/gm), ([, id = "", cmd = ""]) => ({ id, cmd }))
          .filter(({ cmd }) => !cmd.startsWith("client"))
          .toSorted((one, other) => one.cmd.localeCompare(other.cmd))
      )
      const killed = new Map<string, number>()
      const took: Array<number> = []
      let lost = 0
      for (let kill = 0; kill < kills; kill++) {
        const results = yield* worker.add.delay({ x: kill, y: 0 })
        assert.strictEqual(yield* results.get, kill)
        const all = yield* connections
        const { cmd, id } = all[kill % all.length]!
        killed.set(cmd, (killed.get(cmd) ?? 0) + 1)
        // Two that are under way, and one that is sent after.
        const before = yield* Effect.all([worker.add.delay({ x: kill, y: 1 }), worker.add.delay({ x: kill, y: 2 })])
        yield* server.command("CLIENT", "KILL", "ID", id)
        took.push(
          yield* timed(
            Effect.gen(function* () {
              const after = yield* worker.add.delay({ x: kill, y: 3 })
              const sums = yield* Effect.all(
                [...before, after].map(({ get }) => get),
                { concurrency: "unbounded" }
              )
              if (sums.join() !== [1, 2, 3].map((y) => kill + y).join()) lost++
            })
          )
        )
      }
      yield* print(
        `CLIENT KILL ID x${kills} (${Array.from(killed, ([cmd, count]) => `${cmd} ${count}`).join(", ")}): results lost=${lost}, all there after p50/p95/max=${spread(took)} ms`
      )
      assert.strictEqual(lost, 0)
      keepTo(2000, took)
    })
  )
})
