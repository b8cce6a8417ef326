/**
 * Remote control across the border, on each broker: what t/integration/test_inspect.py of Celery asks, Python asks of our worker and of
 * its own, with the same answers; we ask Python's; the command line of Celery changes ours; and workers of both tell each other
 * what was revoked.
 */
import { Client } from "@apium/worker/client/Client"
import { queueNamed } from "@apium/worker/client/Publisher"
import * as Control from "@apium/worker/control/Control"
import { layerHost } from "@apium/worker/node"
import * as Profile from "@apium/worker/Profile"
import { Tasks } from "@apium/worker/task/Tasks"
import * as Worker from "@apium/worker/Worker"
import { assert, layer } from "@effect/vitest"
import { Context, Effect, Layer, Option, References } from "effect"
import * as Python from "../support/Python.ts"
import { RabbitMq } from "../support/RabbitMq.ts"
import { Redis } from "../support/Redis.ts"
import * as deployments from "./support/deployments.ts"
import * as Inspected from "./support/Inspected.ts"
import * as PythonClient from "./support/PythonClient.ts"
import { handlers } from "./support/tasks.ts"

const tasks = `
import os, time
from celery import Celery
app = Celery("proj", broker=os.environ["BROKER"], backend=os.environ["BACKEND"])

# One that starts hears its neighbours for a second: here until both have answered.
from celery.worker.consumer.mingle import Mingle
def hello(self, c):
    inspect = c.app.control.inspect(timeout=60, limit=2, connection=c.connection)
    return inspect.hello(c.hostname, c.controller.state.revoked._data) or {}
Mingle.send_hello = hello

@app.task(name="proj.add")
def add(x, y):
    return x + y

@app.task(name="proj.sleep")
def sleep(seconds):
    time.sleep(seconds)
    return seconds
`

interface Place extends deployments.Deployment {
  readonly env: Readonly<Record<string, string>>
}

const ours = ({ broker, backend, connection, results }: Place, name: string) =>
  Worker.layer({
    name,
    queues: [queueNamed(name.replace("celery@", ""))],
    concurrency: 1,
    profile: Profile.celery,
    conf: { broker_url: broker, result_backend: backend }
  }).pipe(
    Layer.provide(handlers),
    Layer.provide(Tasks.layer),
    Layer.provide(Client.layer),
    Layer.provide(Layer.provideMerge(results, connection())),
    // What it refuses is in the log, too.
    Layer.provide([layerHost, Layer.succeed(References.MinimumLogLevel, "None")]),
    Layer.fresh
  )

const python = ({ env }: Place, name: string, ...args: ReadonlyArray<string>) =>
  Python.worker({ code: tasks, args: ["-n", name, "-Q", name.replace("celery@", ""), "-c", "1", ...args], env })

class World extends Context.Service<World, { readonly place: Place; readonly client: PythonClient.PythonClient }>()(
  "test/interop/inspect"
) {}

/** A worker of each language, a client of each. */
const world = (deployment: Effect.Effect<deployments.Deployment, never, RabbitMq | Redis>) =>
  Layer.unwrap(
    Effect.map(deployment, (found) => {
      const place = { ...found, env: { BROKER: found.broker, BACKEND: found.backend } }
      return Layer.effect(
        World,
        Effect.gen(function* () {
          yield* Layer.build(ours(place, "celery@ours"))
          yield* python(place, "celery@python", "--without-gossip", "--without-mingle")
          return { place, client: yield* PythonClient.start(place.env) }
        })
      ).pipe(Layer.provideMerge(found.connection()))
    })
  ).pipe(Layer.provide(Layer.merge(RabbitMq.shared, Redis.shared)))

/** `celery <args>`, in the client: what it prints, and the code it ends with. */
const celery = (...args: ReadonlyArray<string>) =>
  Effect.flatMap(World, ({ client }) =>
    Effect.map(
      client.ask(`
from click.testing import CliRunner
from celery.bin.celery import celery
done = CliRunner().invoke(celery, ["-b", os.environ["BROKER"], *${JSON.stringify(args)}], obj={})
answer = [done.exit_code, done.output]`),
      (answer) => answer as readonly [code: number, output: string]
    )
  )

const timeout = "60 seconds"
const asked = { destination: ["celery@python"], timeout } as const

const answer = <A>(replies: Control.Replies<A>) =>
  Effect.map(replies, ([only]) => {
    if (only === undefined || Control.isFailed(only.reply)) assert.fail(JSON.stringify(only))
    return only.reply
  })

for (const [name, deployment] of [
  ["RabbitMQ", deployments.rabbitMq],
  ["Redis", deployments.redis]
] as const) {
  layer(world(deployment), { excludeTestServices: true })(`remote control on ${name}`, (it) => {
    // That Python's worker passes shows what the checks are worth, and once is enough.
    for (const node of name === "Redis" ? ["celery@ours"] : ["celery@ours", "celery@python"]) {
      it.effect.each(Object.entries(Inspected.checks))(`Celery asks ${node}: %s`, ([, check]) =>
        Effect.flatMap(World, ({ client }) => client.ask(Inspected.prelude(node, node.replace("celery@", "")) + check))
      )
    }

    it.effect("we ask Python's worker", () =>
      Effect.gen(function* () {
        const { inspect } = Control
        assert.deepStrictEqual(yield* answer(inspect.ping(asked)), { ok: "pong" })
        assert.isAbove((yield* answer(inspect.clock(asked))).clock, 0)
        const names = (yield* answer(inspect.registered(asked))).map((shown) => shown.split(" ")[0])
        assert.includeMembers(names, ["proj.add", "proj.sleep"])
        assert.deepStrictEqual(yield* answer(inspect.active(asked)), [])
        assert.deepStrictEqual(yield* answer(inspect.reserved(asked)), [])
        assert.deepStrictEqual(yield* answer(inspect.scheduled(asked)), [])
        assert.deepStrictEqual(yield* answer(inspect.queryTask(["nobody"], asked)), {})
        assert.deepStrictEqual(
          (yield* answer(inspect.activeQueues(asked))).map((queue) => [queue.name, queue.exchange.type]),
          [["python", "direct"]]
        )
        const stats = yield* answer(inspect.stats(asked))
        assert.deepStrictEqual([stats.pool["max-concurrency"], stats.prefetch_count], [1, 4])
        const conf = yield* answer(inspect.conf({ ...asked, withDefaults: true }))
        assert.strictEqual(conf.worker_prefetch_multiplier, 4)
        assert.include((yield* answer(inspect.report(asked))).ok, "software -> celery:5")
        assert.match(String(yield* answer(inspect.memsample(asked))), /^(null|\d.*B)$/)
        assert.match(yield* answer(inspect.memdump(asked)), /^- rss/)
      })
    )

    it.effect("we change Python's worker", () =>
      Effect.gen(function* () {
        const to = { ...asked, reply: true }
        assert.deepStrictEqual(yield* answer(Control.poolGrow(1, to)), { ok: "pool will grow" })
        const [refused] = yield* Control.autoscale(2, 1, to)
        assert.deepStrictEqual(refused?.reply, { error: "ValueError('Autoscale not enabled')" })
        assert.deepStrictEqual(yield* answer(Control.addConsumer("more", to)), { ok: "add consumer more" })
        assert.deepStrictEqual(yield* answer(Control.cancelConsumer("more", to)), {
          ok: "no longer consuming from more"
        })
        const [restart] = yield* Control.poolRestart(to)
        assert.deepStrictEqual(restart?.reply, { error: "ValueError('Pool restarts not enabled')" })
      })
    )

    it.effect("the command line of Celery sees our worker, and changes it", () =>
      Effect.gen(function* () {
        const to = ["-d", "celery@ours", "-t", "60"]
        const told = (...args: ReadonlyArray<string>) =>
          Effect.map(celery("control", ...to, ...args), ([code, output]) => {
            assert.strictEqual(code, 0, output)
            assert.match(output, /celery@ours: OK/)
            return output.trim().split("\n").at(-1)!.trim()
          })
        assert.strictEqual(yield* told("add_consumer", "x"), "add consumer x")
        assert.match((yield* celery("inspect", ...to, "active_queues"))[1], /'name': 'x'/)
        assert.strictEqual(yield* told("cancel_consumer", "x"), "no longer consuming from x")
        assert.strictEqual(yield* told("pool_grow", "2"), "pool will grow")
        assert.strictEqual(yield* told("pool_shrink", "2"), "pool will shrink")
        const [code, status] = yield* celery("status", "-t", "60", "-d", "celery@ours,celery@python")
        assert.strictEqual(code, 0, status)
        assert.match(status, /celery@ours: OK/)
        assert.include(status, "2 nodes online.")
        assert.match((yield* celery("inspect", ...to, "ping"))[1], /celery@ours: OK\s+pong/)
        assert.match((yield* celery("inspect", ...to, "report"))[1], /software -> apium:/)
        // Nobody of that name: 69, as `apium status` has it.
        assert.strictEqual((yield* celery("status", "-t", "0.1", "-d", "celery@nobody"))[0], 69)
      })
    )

    it.effect("celery events --dump prints our worker's heartbeats", () =>
      Effect.gen(function* () {
        const { place } = yield* World
        const code = "import sys; from celery.__main__ import main; sys.argv[0] = 'celery'; main()"
        const args = ["-b", place.broker, "events", "--dump"]
        const dump = yield* Python.start(code, { args, env: place.env })
        assert.match(yield* dump.line("celery@ours ["), /\] (heartbeat|started): active=\d+, .*sw_ident=apium/)
      })
    )

    it.effect("workers of both languages tell each other what was revoked when they start", () =>
      Effect.gen(function* () {
        const { place } = yield* World
        const tell = (id: string, node: string) =>
          answer(Control.revoke(id, { destination: [node], reply: true, timeout }))
        const revoked = (node: string) => answer(Control.inspect.revoked({ destination: [node], timeout }))
        yield* tell("known-to-ours", "celery@ours")
        yield* tell("known-to-python", "celery@python")
        // Python's asks while it starts, and is ready when it knows.
        yield* python(place, "celery@late", "--without-gossip")
        assert.includeMembers([...(yield* revoked("celery@late"))], ["known-to-ours", "known-to-python"])
        yield* tell("known-to-late", "celery@late")
        // Ours is ready at once, and knows when it was told. It hears answers for five seconds: one that starts when the machine is held up for
        // longer goes without them, and the next does not.
        const all = ["known-to-ours", "known-to-python", "known-to-late"]
        const learned = Effect.scoped(
          Effect.gen(function* () {
            yield* Layer.build(ours(place, "celery@later"))
            const ids = Effect.delay(revoked("celery@later"), "50 millis")
            const told = Effect.repeat(ids, { until: (ids) => all.every((id) => ids.includes(id)) })
            return Option.isSome(yield* Effect.timeoutOption(told, "8 seconds"))
          })
        )
        assert.isTrue(yield* Effect.repeat(learned, { until: (all) => all, times: 8 }))
      })
    )
  })
}
