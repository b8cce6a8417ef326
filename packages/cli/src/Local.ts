/**
 * `memory://` lives inside one process, and so does what a command may speak to: with `-A` it runs a worker of that module
 * itself, for as long as it takes. With a broker it is a client, and nothing more: of `-A` it takes the queues and routes.
 */
import type { Connection } from "@apium/hub/Connection"
import { Client } from "@apium/worker/client/Client"
import { queueNamed } from "@apium/worker/client/Publisher"
import type { ResultBackend } from "@apium/worker/client/ResultBackend"
import { Tasks } from "@apium/worker/task/Tasks"
import * as Worker from "@apium/worker/Worker"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as AppModule from "./AppModule.ts"
import * as Broker from "./Broker.ts"
import { UsageError } from "./Errors.ts"
import * as Log from "./Log.ts"
import * as Start from "./Start.ts"

export interface Flags extends Broker.Flags {
  readonly app: Option.Option<string>
}

/** What a command finds: the names of the worker's tasks, if there is one in here. */
export type Services = Connection | ResultBackend | Client

/** What a command is told. */
export interface Place {
  /** The worker is in here, and there is no other. */
  readonly local: boolean
  /** In here: what it can run. */
  readonly tasks: ReadonlyArray<string>
  /** Whether the results of what is sent can be waited for. */
  readonly results: boolean
}

interface Options {
  /** As the user wrote it, for texts. */
  readonly command: string
  /** Also consumed by the worker in here. */
  readonly queue?: Option.Option<string>
}

/** Of a handler that waits for others' results, and of these in turn: as many as there may be. */
const concurrency = 100

const worker = (app: AppModule.AppModule, broker: Broker.Broker, queue: string | undefined) => {
  const live = Layer.unwrap(
    Effect.gen(function* () {
      const tasks = yield* Tasks
      const names = new Set((yield* tasks.names).flatMap((name) => tasks.find(name)?.task.options.queue ?? []))
      if (queue !== undefined) names.add(queue)
      const queues = yield* AppModule.queuesOf(app, [])
      const others = [...names].filter((name) => !queues.some((queue) => queue.name === name))
      return Worker.layer({ queues: [...queues, ...others.map(queueNamed)], ...app.routing, concurrency })
    })
  )
  return live.pipe(Layer.provideMerge(Start.tasks(app)), Layer.provideMerge(Start.client(app, broker)))
}

/** Runs a command's part next to its worker, or against the broker. Interrupted, the worker does not wait for its tasks. */
export const provide = Effect.fnUntraced(
  function* <A, E>(
    flags: Flags,
    { command, queue = Option.none() }: Options,
    use: (place: Place) => Effect.Effect<A, E, Services>
  ) {
    const broker = yield* Broker.resolve(flags)
    if (!broker.local) {
      const place = { local: false, tasks: [], results: !broker.localResults }
      // What is more than a name, as a quorum queue, is declared as the module has it: the broker refuses any other way.
      const known = Option.isSome(flags.app) ? yield* AppModule.load(flags.app.value) : undefined
      return yield* Effect.provide(
        use(place),
        Layer.provideMerge(Client.layerWith({ queues: known?.queues, ...known?.routing }), Broker.connected(broker))
      )
    }
    if (Option.isNone(flags.app)) {
      return yield* new UsageError({
        text: [
          `apium ${command} has no worker to speak to: ${broker.transport} lives inside one process. Name the tasks with -A, and`,
          `it runs a worker of them itself:`,
          `  apium ${command} -A ./tasks.ts`
        ].join("\n")
      })
    }
    const app = yield* AppModule.load(flags.app.value)
    return yield* Effect.scoped(
      Effect.gen(function* () {
        const services = yield* Start.orFail(Layer.build(worker(app, broker, Option.getOrUndefined(queue))))
        return yield* Effect.gen(function* () {
          const { shutdown } = yield* Worker.Worker
          const tasks = yield* (yield* Tasks).names
          return yield* Effect.onInterrupt(use({ local: true, tasks, results: true }), () => shutdown.request("cold"))
        }).pipe(Effect.provide(services))
      })
    )
  },
  Effect.provide(Log.layer("warning"))
)
