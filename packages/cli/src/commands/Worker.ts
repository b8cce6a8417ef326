/** `apium worker`: runs the tasks of a module until it is told to stop (celery/bin/worker.py). */
import { Host } from "@apium/hub/Host"
import type * as Beat from "@apium/worker/beat/Beat"
import * as FiberPool from "@apium/worker/execution/pools/FiberPool"
import * as InlinePool from "@apium/worker/execution/pools/InlinePool"
import type { Pool } from "@apium/worker/execution/Pool"
import * as TaskLog from "@apium/worker/execution/TaskLog"
import { launch } from "@apium/worker/node/launch"
import * as Profile from "@apium/worker/Profile"
import { Tasks } from "@apium/worker/task/Tasks"
import * as Router from "@apium/worker/client/Router"
import * as Worker from "@apium/worker/Worker"
import * as Command from "effect/cli/Command"
import type * as Flag from "effect/cli/Flag"
import * as Clock from "effect/Clock"
import * as Config from "effect/Config"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import * as AppModule from "../AppModule.ts"
import * as Banner from "../Banner.ts"
import * as Broker from "../Broker.ts"
import { Ended, type Expected, Failed, UsageError } from "../Errors.ts"
import * as Log from "../Log.ts"
import * as NodeName from "../NodeName.ts"
import { root } from "../Root.ts"
import * as Start from "../Start.ts"
import { flags } from "../WorkerFlags.ts"

type Flags = { readonly [K in keyof typeof flags]: (typeof flags)[K] extends Flag.Flag<infer A> ? A : never }

const profiles = { durable: Profile.durable, celery: Profile.celery, fast: Profile.fast }

/** Each is a thread or a process of its own, and dozens of megabytes. */
const maxChildren = 1000

/** Celery and other programs ignore what a pool cannot do; here nobody waits for what will not happen. */
const checkPool = ({ autoscale, concurrency, maxMemoryPerChild, maxTasksPerChild, pool }: Flags) => {
  const refuse = (flag: string, needs: string) =>
    Effect.fail(new UsageError({ text: `${flag} needs ${needs}, and the pool is ${pool}` }))
  if (Option.isSome(maxMemoryPerChild) && pool !== "process") return refuse("--max-memory-per-child", "-P process")
  if (Option.isSome(maxTasksPerChild) && pool !== "process" && pool !== "thread") {
    return refuse("--max-tasks-per-child", "-P process or -P thread")
  }
  const most = Math.max(
    Option.getOrElse(concurrency, () => 1),
    Option.match(autoscale, { onNone: () => 1, onSome: ({ max }) => max })
  )
  if ((pool === "process" || pool === "thread") && most > maxChildren) {
    return refuse(`More than ${maxChildren} tasks at once`, "-P fiber")
  }
  if (pool === "inline" && (Option.isSome(autoscale) || Option.exists(concurrency, (wanted) => wanted > 1))) {
    return refuse("More than one task at once", "-P fiber, -P thread or -P process")
  }
  return Effect.void
}

/** What few workers have is loaded for these: pools of children, a file for the state, a schedule. */
const node = Effect.promise(() => import("@apium/worker/node"))
const beat = Effect.promise(() => import("@apium/worker/beat/Beat"))

const poolOf = (
  { maxMemoryPerChild, maxTasksPerChild, pool }: Flags,
  module: URL,
  size: number
): Layer.Layer<Pool, unknown> => {
  const children = { module, size, maxTasksPerChild: Option.getOrUndefined(maxTasksPerChild) }
  switch (pool) {
    case "fiber":
      return FiberPool.layer
    case "inline":
      return InlinePool.layer
    case "thread":
      return Layer.unwrap(Effect.map(node, ({ layerThreadPool }) => layerThreadPool(children)))
    case "process":
      return Layer.unwrap(
        Effect.map(node, ({ layerProcessPool }) =>
          layerProcessPool({ ...children, maxMemoryPerChild: Option.getOrUndefined(maxMemoryPerChild) })
        )
      )
  }
}

/** Celery's variable, for supervisors that know SIGTERM only. */
const remapSigterm = Effect.gen(function* () {
  const wanted = Option.filter(
    yield* Effect.orDie(Config.option(Config.String("REMAP_SIGTERM"))),
    (name) => name !== ""
  )
  if (Option.isNone(wanted)) return undefined
  if (wanted.value === "SIGQUIT") return "SIGQUIT" as const
  return yield* new UsageError({ text: `REMAP_SIGTERM is ${wanted.value}, and takes SIGQUIT: unset it, or set it so` })
})

/** Ends when the worker begins to stop: who is leaving asks for nothing more. */
const periodic = (entries: ReadonlyArray<Beat.Entry>) =>
  Layer.effectDiscard(
    Effect.gen(function* () {
      const { shutdown } = yield* Worker.Worker
      const scope = yield* Effect.acquireRelease(Scope.make(), Scope.close)
      const { layer } = yield* beat
      yield* Layer.buildWithScope(layer({ entries }), scope)
      yield* shutdown.reached("warm").pipe(
        Effect.onExit((exit) => Scope.close(scope, exit)),
        Effect.forkScoped
      )
    })
  )

const ready = (broker: Broker.Broker, beat: boolean) =>
  Layer.effectDiscard(
    Effect.gen(function* () {
      const { nodename } = yield* Worker.Worker
      yield* Effect.logInfo(`${nodename} ready.`)
      if (!broker.local) return
      const senders = beat ? "its handlers and -B" : "its handlers (and -B)"
      yield* Effect.logInfo(`${broker.transport} lives inside this process: only ${senders} can send to this worker.`)
    })
  )

const banner = (
  flags: Flags,
  shown: Pick<Banner.Banner, "app" | "nodename" | "queues">,
  broker: Broker.Broker,
  size: number
) =>
  Layer.effectDiscard(
    Effect.gen(function* () {
      const { autoscale, events, pool } = flags
      const rendered = Banner.render({
        ...shown,
        transport: broker.transport,
        results: broker.results,
        concurrency: Option.match(autoscale, {
          onNone: () => String(size),
          onSome: ({ max, min }) => `{min=${min}, max=${max}}`
        }),
        pool,
        events,
        // Celery's own are of interest to who debugs (celery/apps/worker.py `tasklist`).
        tasks: (yield* (yield* Tasks).names).filter(
          (name) => !name.startsWith("celery.") || Log.shows(flags.loglevel, "debug")
        ),
        date: new Date(yield* Clock.currentTimeMillis)
      })
      yield* Console.log(rendered)
    })
  )

const sizeOf = ({ autoscale, concurrency, pool }: Flags, cpus: number): number => {
  const wanted = Option.getOrElse(concurrency, () => (pool === "inline" ? 1 : cpus))
  return Option.match(autoscale, {
    onNone: () => wanted,
    onSome: ({ max, min }) => (Option.isSome(concurrency) ? Math.max(min, Math.min(wanted, max)) : min)
  })
}

const stateOf = ({ statedb }: Flags, nodename: string) =>
  Option.match(statedb, {
    onNone: () => Layer.empty,
    onSome: (file) => Layer.unwrap(Effect.map(node, ({ layerStateDb }) => layerStateDb(NodeName.file(file, nodename))))
  })

/** Everything there is to do once it is known what is wanted; all of it ends by a signal. */
const worker = Effect.fnUntraced(function* (name: string, flags: Flags, broker: Broker.Broker) {
  const app = yield* AppModule.load(name)
  if (flags.beat && app.schedule.length === 0) {
    return yield* new UsageError({ text: `-B sends what the export schedule of ${name} says, and there is none` })
  }
  const { cpus, hostname } = yield* Host
  const nodename = NodeName.expand(flags.hostname, hostname)
  const queues = yield* AppModule.queuesOf(app, flags.queues)
  const size = sizeOf(flags, cpus)
  const live = Worker.layer({
    name: nodename,
    queues,
    otherQueues: app.queues,
    ...app.routing,
    direct: app.direct,
    concurrency: size,
    pool: poolOf(flags, app.url, size),
    events: flags.events,
    fetch: flags.fetch,
    profile: profiles[flags.profile],
    prefetchMultiplier: Option.getOrUndefined(flags.prefetchMultiplier),
    autoscale: Option.getOrUndefined(flags.autoscale),
    timeLimit: Option.getOrUndefined(flags.timeLimit),
    softTimeLimit: Option.getOrUndefined(flags.softTimeLimit),
    softTimeout: Option.getOrUndefined(flags.softShutdownTimeout),
    remapSigterm: yield* remapSigterm,
    mingle: flags.withoutMingle ? false : undefined,
    conf: { broker_url: broker.transport, result_backend: broker.results, worker_pool: flags.pool },
    middleware: Log.shows(flags.loglevel, "error") ? [TaskLog.middleware] : []
  })
  return ready(broker, flags.beat).pipe(
    Layer.provideMerge(flags.beat ? periodic(app.schedule) : Layer.empty),
    Layer.provideMerge(Layer.provide(live, stateOf(flags, nodename))),
    Layer.provide(
      banner(
        flags,
        { app: name, nodename, queues: Router.consumed(queues, { direct: app.direct, nodename }) },
        broker,
        size
      )
    ),
    Layer.provide(Start.tasks(app)),
    Layer.provide(Start.client(app, broker))
  )
})

/** A child has the registry and nothing else of the worker's. */
const explainChildren =
  ({ pool }: Flags) =>
  (error: Expected): Expected =>
    (pool === "thread" || pool === "process") && /Service not found: @apium\/worker\/Client/.test(error.message)
      ? new Failed({
          text: `${error.message}\nA ${pool} has no Client of the worker's: let the module provide one, or use -P fiber`
        })
      : error

export const command = Command.make(
  "worker",
  flags,
  Effect.fnUntraced(function* (flags) {
    const shared = yield* root
    const broker = yield* Broker.resolve(shared)
    yield* checkPool(flags)
    if (Option.isNone(shared.app)) {
      return yield* new UsageError({
        text: "A worker runs the tasks of a module, and needs it: apium worker -A ./tasks.ts"
      })
    }
    const explained = explainChildren(flags)
    const level = yield* Layer.unwrap(worker(shared.app.value, flags, broker)).pipe(
      launch,
      Start.orFail,
      Effect.mapError(explained),
      Effect.provide(Log.layer(flags.loglevel))
    )
    if (level === "cold") return yield* new Ended({ code: 1 })
  })
).pipe(
  Command.withDescription(
    "Run the tasks of a module. Ctrl-C finishes what runs, a second one interrupts it and gives it back"
  ),
  Command.withShortDescription("Run tasks"),
  Command.withExamples([
    { command: "apium worker -A ./tasks.ts", description: "Run what is sent to the queue celery" },
    {
      command: "apium worker -A ./tasks.ts -Q celery,mail -c 10 -n mail@%h",
      description: "Two queues, ten tasks at once"
    },
    { command: "apium worker -A ./tasks.ts -P process -c 4 --max-tasks-per-child 1000", description: "In processes" },
    { command: "apium worker -A ./tasks.ts -B", description: "Also send periodic tasks" }
  ])
)
