/** A node of remote control without a worker behind it: the control step over a scripted `Requests`. */
import type { Connection } from "@apium/hub/Connection"
import type { HubError } from "@apium/hub/HubError"
import type { Queue } from "@apium/hub/Queue"
import * as TaskMessage from "@apium/protocol/celery/TaskMessage"
import { queueNamed } from "@apium/worker/client/Publisher"
import type * as Conf from "@apium/worker/control/Conf"
import type { Panel } from "@apium/worker/control/Panel"
import * as EventDispatcher from "@apium/worker/events/EventDispatcher"
import { LogicalClock } from "@apium/worker/events/LogicalClock"
import { Pool } from "@apium/worker/execution/Pool"
import type { Request } from "@apium/worker/execution/Request"
import { Requests } from "@apium/worker/execution/Requests"
import * as Shutdown from "@apium/worker/Shutdown"
import * as ControlStep from "@apium/worker/steps/Control"
import * as Task from "@apium/worker/task/Task"
import { Tasks } from "@apium/worker/task/Tasks"
import { Context, Effect, Layer, type Scope } from "effect"

export interface Script {
  active?: ReturnType<Requests["Service"]["active"]>
  reserved?: ReadonlyArray<Request>
  scheduled?: ReturnType<Requests["Service"]["scheduled"]>
  totals?: Readonly<Record<string, number>>
  revoked?: ReadonlyArray<string>
  queues?: ReadonlyArray<Queue>
  /** What `rateLimit` fails with. */
  badRate?: string
}

/** A worker's requests as the script says, and what was asked of them. */
export const requests = (script: Script = {}) => {
  const calls: Array<readonly [what: string, ...args: ReadonlyArray<unknown>]> = []
  let concurrency = 2
  const called = (...call: (typeof calls)[number]) => Effect.sync(() => void calls.push(call))
  const service: Requests["Service"] = {
    active: () => script.active ?? [],
    reserved: () => script.reserved ?? [],
    scheduled: () => script.scheduled ?? [],
    totals: () => new Map(Object.entries(script.totals ?? {})),
    prefetch: () => 8,
    concurrency: () => concurrency,
    resize: (wanted) => {
      concurrency = wanted
      return called("resize", wanted)
    },
    revoke: (ids, how) => called("revoke", ids, how),
    revokeByStampedHeaders: (headers, how) =>
      Effect.as(
        called("revokeByStampedHeaders", headers, how),
        (script.active ?? []).map(({ request }) => request.message.headers.id)
      ),
    revoked: () => script.revoked ?? [],
    revokedLately: () => script.revoked ?? [],
    rateLimit: (task, rate) =>
      script.badRate === undefined ? called("rateLimit", task, rate) : Effect.fail(script.badRate),
    timeLimit: (task, limits) => called("timeLimit", task, limits),
    queues: () => script.queues ?? [queueNamed("celery")],
    addConsumer: (queue) => Effect.as(called("addConsumer", queue), queue.name !== "celery"),
    cancelConsumer: (queue) => Effect.as(called("cancelConsumer", queue), true),
    drained: Effect.never
  }
  return { service, calls }
}

/** As it stands in a worker's hands; nothing here settles its delivery. */
export const request = (
  name: string,
  id: string,
  args: ReadonlyArray<number> = [],
  more: { readonly acknowledged?: boolean; readonly argsrepr?: string } = {}
): Request =>
  ({
    delivery: {
      route: { exchange: "", routingKey: "celery" },
      queue: "celery",
      redelivered: false,
      message: { properties: { priority: 0 } }
    },
    acknowledged: more.acknowledged ?? false,
    message: {
      protocol: 2,
      headers: TaskMessage.makeHeaders({ task: name, id, argsrepr: more.argsrepr ?? null, kwargsrepr: "{}" }),
      args,
      kwargs: {},
      embed: TaskMessage.emptyEmbed
    }
  }) as unknown as Request

export interface Options {
  readonly script?: Script
  readonly tasks?: ReadonlyArray<string>
  readonly events?: boolean
  readonly commands?: Layer.Layer<never, never, Panel>
  readonly settings?: Conf.Options
}

/** For as long as the caller's scope is open. */
export const node = (
  hostname: string,
  options: Options = {}
): Effect.Effect<
  ReturnType<typeof requests> & {
    readonly clock: LogicalClock["Service"]
    readonly shutdown: Shutdown.Shutdown["Service"]
    readonly events: EventDispatcher.EventDispatcher["Service"]
  },
  HubError,
  Connection | Scope.Scope
> =>
  Effect.gen(function* () {
    const scripted = requests(options.script)
    const shutdown = Shutdown.make({})
    const Base = Layer.mergeAll(
      Layer.provideMerge(EventDispatcher.layer({ hostname, events: options.events }), Layer.fresh(LogicalClock.layer)),
      Layer.succeed(Requests, scripted.service),
      Layer.succeed(Shutdown.Shutdown, shutdown),
      Layer.fresh(Tasks.layer),
      Layer.succeed(Pool, {
        name: "fiber",
        size: () => Number.POSITIVE_INFINITY,
        run: () => Effect.never,
        kill: () => Effect.void,
        resize: () => Effect.void,
        stats: () => ({ implementation: "fiber" })
      })
    )
    const Registered = Layer.mergeAll(
      Layer.empty,
      ...(options.tasks ?? []).map((name) => Tasks.handle(Task.raw(name), () => Effect.succeed(null)))
    )
    const Step = Layer.provideMerge(
      options.commands ?? Layer.empty,
      ControlStep.layer({ hostname, queues: [queueNamed("celery")], settings: options.settings })
    )
    const context = yield* Layer.build(Layer.provideMerge(Layer.mergeAll(Registered, Step), Base))
    return {
      ...scripted,
      shutdown,
      clock: Context.get(context, LogicalClock),
      events: Context.get(context, EventDispatcher.EventDispatcher)
    }
  })
