/**
 * Where tasks go: the same queues and `task_routes` in Python and here, each sending to each other's workers, on both brokers. A worker answers
 * with how its task arrived: exchange, routing key and priority.
 */
import type { HubError } from "@apium/hub/HubError"
import * as Queue from "@apium/hub/Queue"
import type { KombuJson } from "@apium/protocol/kombu/Json"
import { Client } from "@apium/worker/client/Client"
import * as Retry from "@apium/worker/task/Retry"
import * as Task from "@apium/worker/task/Task"
import { TaskContext } from "@apium/worker/task/TaskContext"
import { Tasks } from "@apium/worker/task/Tasks"
import * as Worker from "@apium/worker/Worker"
import { assert, layer } from "@effect/vitest"
import { Context, Effect, Layer, Schema } from "effect"
import { print } from "../support/Figures.ts"
import type * as Process from "../support/Process.ts"
import * as Python from "../support/Python.ts"
import { RabbitMq } from "../support/RabbitMq.ts"
import { Redis } from "../support/Redis.ts"
import * as deployments from "./support/deployments.ts"
import * as routing from "./support/routing.ts"

const names = [...new Set(routing.cases("").map(({ name }) => name)), "r.reload"]

/** A worker of ours tells what ran on it, and so does Python's, line by line. */
interface Peers {
  readonly python: Process.Process
  readonly ran: (nodename: string, token: string) => number
  readonly client: (prefix: string) => Effect.Effect<Client["Service"], HubError>
  /** Runs code of Python's that prints its answer. */
  readonly ask: (prefix: string, code: string, args?: ReadonlyArray<string>) => Effect.Effect<unknown>
}

class Both extends Context.Service<Both, Peers>()("test/interop/Both") {}

const where = (node: string, told: (node: string, token: KombuJson) => void) =>
  names.map((name) =>
    Tasks.handle(Task.raw(name), ({ args }) =>
      Effect.map(TaskContext, ({ delivery: { exchange, priority, routingKey } }): KombuJson => {
        if (args.length > 0) told(node, args[0]!)
        return [exchange, routingKey, priority]
      })
    )
  )

/** Fails once on the second worker. */
const again = Task.make("ts.again", {
  params: { token: Schema.String },
  ignoreResult: true,
  retry: Retry.fixed({ maxRetries: 1, delay: "50 millis" })
})

const AgainLive = (node: string, told: (node: string, token: KombuJson) => void) =>
  Tasks.handle(again, ({ token }) =>
    Effect.flatMap(TaskContext, ({ retries }) => {
      told(node, `${token} ${retries}`)
      return retries === 0 && node === "ts2@routing" ? Effect.die(new Error("once more")) : Effect.void
    })
  )

const World = (deployment: typeof deployments.rabbitMq | typeof deployments.redis) =>
  Layer.unwrap(
    Effect.map(deployment as typeof deployments.rabbitMq, ({ backend, broker, connection, results }) => {
      const env = { BROKER: broker, BACKEND: backend }
      const told: Array<readonly [node: string, token: KombuJson]> = []
      const ours = ["ts1@routing", "ts2@routing"].map((name) => {
        const tell = (node: string, token: KombuJson): void => void told.push([node, token])
        const queues = [...routing.queues("ts."), Queue.broadcast("again")]
        return Worker.layer({ queues, concurrency: 4, name, direct: true }).pipe(
          Layer.provide([AgainLive(name, tell), ...where(name, tell)]),
          Layer.provide(Layer.fresh(Tasks.layer)),
          Layer.provide(results),
          Layer.provide(connection())
        )
      })
      const both = Effect.gen(function* () {
        const python = yield* Python.worker({
          code: `${routing.app("py.")}
app.conf.worker_direct = True
for name in ${JSON.stringify(names)}:
    as_task(name, {})
`,
          args: ["-n", "py@routing", "--pool", "solo", "--without-gossip", "--without-mingle"],
          env,
          // What ran is counted in them.
          kept: 100_000
        })
        const scope = yield* Effect.scope
        return Both.of({
          python,
          ran: (node, token) =>
            node === "py@routing"
              ? python.lines().filter((line) => line.endsWith(`ran ${token}`)).length
              : told.filter(([at, what]) => at === node && what === token).length,
          client: (prefix) =>
            Layer.buildWithScope(
              Client.layerWith({
                queues: [...routing.queues(prefix), Queue.broadcast("again", { routingKey: "celery" })],
                routes: routing.routes(prefix),
                defaultQueue: `${prefix}default`
              }).pipe(Layer.provide(results), Layer.provide(connection())),
              scope
            ).pipe(Effect.map((context) => Context.get(context, Client))),
          ask: (prefix, code, args = []) =>
            // Confirmed: what nobody answers is with the broker before its sender leaves.
            Python.run(`${routing.app(prefix)}\n${confirmed}\n${code}\nprint(json.dumps(answer))`, { env, args }).pipe(
              Effect.map((printed) => JSON.parse(printed.trim().split("\n").at(-1)!) as unknown),
              Effect.orDie
            )
        })
      })
      return Layer.mergeAll(Layer.effect(Both, both), ...ours)
    })
  )

const confirmed = `app.conf.broker_transport_options = {"confirm_publish": True}`

/** Python's sends, all of them first, and what their worker says. */
const pythonSends = `
answer, sent = [], []
for name, send, task in json.loads(sys.argv[1]):
    if task:
        app._tasks.pop(name, None)
        sent.append(as_task(name, task).apply_async(**send))
    else:
        sent.append(app.send_task(name, **send))
answer = [r.get(timeout=60) for r in sent]
`

const ourSends = (
  client: Client["Service"],
  cases: ReadonlyArray<routing.Case>
): Effect.Effect<ReadonlyArray<unknown>, HubError | Schema.SchemaError | Error> =>
  Effect.gen(function* () {
    const sent = yield* Effect.forEach(cases, ({ name, send, task }) =>
      client.send(Task.raw(name, task), { args: [], kwargs: {} }, send)
    )
    return yield* Effect.forEach(sent, ({ get }) => get)
  })

/** Real time: there are real brokers. */
const until = (what: () => boolean): Effect.Effect<void> =>
  Effect.suspend(() => (what() ? Effect.void : Effect.andThen(Effect.sleep("20 millis"), until(what))))

const nodes = ["py@routing", "ts1@routing", "ts2@routing"] as const

const deployed = [
  ["RabbitMQ", deployments.rabbitMq, Layer.merge(RabbitMq.shared, Redis.shared)],
  ["Redis", deployments.redis, Redis.shared]
] as const

for (const [broker, deployment, servers] of deployed) {
  const here = World(deployment).pipe(Layer.provide(servers as Layer.Layer<RabbitMq | Redis>))
  layer(here, { excludeTestServices: true })(`routing on ${broker}`, (it) => {
    it.effect(
      "queues, exchanges, routes and definitions send a task where Python sends it, in all four directions",
      () =>
        Effect.gen(function* () {
          const { ask, client } = yield* Both
          for (const prefix of ["py.", "ts."]) {
            const cases = routing.cases(prefix)
            const [python, ours] = yield* Effect.all(
              [
                ask(prefix, pythonSends, [routing.python(cases)]),
                Effect.flatMap(client(prefix), (client) => ourSends(client, cases))
              ],
              { concurrency: 2 }
            )
            const told = (arrived: unknown) => cases.map((one, index) => [one, (arrived as Array<unknown>)[index]])
            assert.deepStrictEqual(told(ours), told(python))
          }
          const directions = routing.cases("").length * 4
          yield* print(`routing on ${broker}: ${directions} tasks in four directions arrived as Python's`)
        })
    )

    it.effect("a task for one worker reaches that one: worker_direct", () =>
      Effect.gen(function* () {
        const { ask, client, ran } = yield* Both
        const to = (node: string) => ["", `${node}.dq2`, 0]
        const python = yield* ask(
          "py.",
          `answer = [app.send_task("none", args=("direct.py",), queue=worker_direct(n)).get(timeout=60) for n in sys.argv[1:]]
answer.append(app.send_task("none", exchange="C.dq2", routing_key=sys.argv[2]).get(timeout=60))`,
          nodes
        )
        assert.deepStrictEqual(python, [...nodes.map(to), ["C.dq2", "ts1@routing", 0]])
        const ours = yield* client("py.")
        for (const node of nodes) {
          const sent = yield* ours.sendTask("none", ["direct.ts"], {}, { queue: Queue.workerDirect(node) })
          assert.deepStrictEqual(yield* sent.get, to(node))
        }
        // Python's result may be here before the line that it has printed.
        yield* until(() => ran("py@routing", "direct.py") > 0 && ran("py@routing", "direct.ts") > 0)
        for (const node of nodes) assert.deepStrictEqual([ran(node, "direct.py"), ran(node, "direct.ts")], [1, 1])
      })
    )

    it.effect("a broadcast runs once on each worker, Python's and ours, whoever sends it", () =>
      Effect.gen(function* () {
        const { ask, client, ran } = yield* Both
        const ours = yield* client("py.")
        const send = (token: string) => ours.sendTask("r.reload", [token], {}, { ignoreResult: true })
        const everywhere = (token: string) => until(() => nodes.every((node) => ran(node, token) > 0))
        // On Redis who does not listen yet hears nothing, and nobody knows when the last one does.
        yield* Effect.raceFirst(
          everywhere("warm"),
          Effect.forever(Effect.andThen(send("warm"), Effect.sleep("200 millis")))
        )
        yield* send("by route")
        yield* ours.sendTask("none", ["by queue"], {}, { queue: "reload", ignoreResult: true })
        yield* ours.sendTask("none", ["by exchange"], {}, { exchange: "reload", ignoreResult: true })
        // Kombu on Redis takes an exchange that its connection did not declare for a direct one.
        yield* ask(
          "py.",
          `app.send_task("none", args=("undeclared",), queue="reload", ignore_result=True)
with app.producer_or_acquire() as producer:
    app.amqp.queues["reload"].exchange.bind(producer.channel).declare()
app.send_task("none", args=("from Python",), queue="reload", ignore_result=True)
app.send_task("r.reload", args=("by its route",), ignore_result=True)
answer = None`
        )
        const tokens = ["by route", "by queue", "by exchange", "from Python"]
        for (const token of tokens) yield* everywhere(token)
        const ourOwn = ["undeclared", "by its route"]
        // Python's workers on Redis hear neither what was undeclared nor what has no key, as a route to queue and exchange makes it.
        const deaf = (node: string, token: string) =>
          broker === "Redis" && node === "py@routing" && ourOwn.includes(token)
        yield* until(() => nodes.every((node) => ourOwn.every((token) => deaf(node, token) || ran(node, token) > 0)))
        // What comes behind them on the same way: by now nothing of them is to come.
        yield* send("last")
        yield* everywhere("last")
        for (const node of nodes) {
          for (const token of [...tokens, ...ourOwn, "last"]) {
            assert.strictEqual(ran(node, token), deaf(node, token) ? 0 : 1, `${token} on ${node}`)
          }
        }
      })
    )

    it.effect("a broadcast that failed on one worker of ours is tried again there, and there alone", () =>
      Effect.gen(function* () {
        const { client, ran } = yield* Both
        const ours = yield* client("ts.")
        const send = (token: string) => ours.send(again, { token }, { queue: "again" })
        const heard = (token: string) =>
          until(() => ran("ts1@routing", `${token} 0`) > 0 && ran("ts2@routing", `${token} 1`) > 0)
        yield* Effect.raceFirst(heard("warm"), Effect.forever(Effect.andThen(send("warm"), Effect.sleep("200 millis"))))
        yield* send("once")
        yield* heard("once")
        yield* send("last")
        yield* heard("last")
        const runs = ["ts1@routing", "ts2@routing"].map((node) => [ran(node, "once 0"), ran(node, "once 1")])
        assert.deepStrictEqual(runs, [
          [1, 0],
          [1, 1]
        ])
      })
    )
  })
}
