/**
 * Celery's commands (celery/worker/control.py, WIRE 4.8), with its texts and in its shapes. Commands that ask change nothing.
 * Arguments that they do not know are ignored; to `add_consumer` all but the name describe the queue, and are read as one.
 */
import { Connection } from "@apium/hub/Connection"
import * as Mailbox from "@apium/hub/Mailbox"
import { Host } from "@apium/hub/Host"
import type { Queue } from "@apium/hub/Queue"
import * as ControlMessage from "@apium/protocol/celery/ControlMessage"
import * as PythonRepr from "@apium/protocol/celery/PythonRepr"
import * as TaskMessage from "@apium/protocol/celery/TaskMessage"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import * as Option from "effect/Option"
import { EventDispatcher } from "../events/EventDispatcher.ts"
import * as Heartbeat from "../events/Heartbeat.ts"
import { LogicalClock } from "../events/LogicalClock.ts"
import { Pool } from "../execution/Pool.ts"
import type { Request } from "../execution/Request.ts"
import { Requests } from "../execution/Requests.ts"
import { valuesOf } from "../execution/Revoked.ts"
import * as Results from "../execution/Results.ts"
import { Shutdown } from "../Shutdown.ts"
import { Tasks } from "../task/Tasks.ts"
import { Autoscaler } from "../steps/Autoscale.ts"
import * as AboutCommands from "./AboutCommands.ts"
import { ArgumentError, type Reader } from "./Arguments.ts"
import { type Command, command, inspect } from "./Command.ts"
import * as Conf from "./Conf.ts"
import * as PoolCommands from "./PoolCommands.ts"
import * as QueueCommands from "./QueueCommands.ts"
import * as Builtins from "../execution/Builtins.ts"
import * as Shown from "./Shown.ts"
import { StateDb } from "./StateDb.ts"

const { error, ok, texts } = ControlMessage

export interface Options {
  /** The node name: `celery@host`. */
  readonly hostname: string
  /** Those that it knows by their names: what it was started with, and what else was described. */
  readonly queues: ReadonlyArray<Queue>
  /** What `conf`, `report` and `stats` show of its settings. */
  readonly settings?: Conf.Options | undefined
}

/** Seconds: what Celery says of a heartbeat that was asked for. */
const askedInterval = 5

export const make = Effect.fnUntraced(function* (
  options: Options
): Effect.fn.Return<
  ReadonlyArray<Command>,
  never,
  Connection | Requests | Tasks | Pool | EventDispatcher | LogicalClock | Shutdown
> {
  const requests = yield* Requests
  const tasks = yield* Tasks
  const pool = yield* Pool
  const events = yield* EventDispatcher
  const clock = yield* LogicalClock
  const shutdown = yield* Shutdown
  const { transport } = yield* Connection
  const autoscaler = Option.getOrUndefined(yield* Effect.serviceOption(Autoscaler))
  const kept = yield* StateDb
  const settings: Conf.Options = {
    ...options.settings,
    conf: { worker_state_db: kept?.place, ...options.settings?.conf }
  }
  const { pid, resourceUsage } = yield* Host
  const started = yield* Clock.currentTimeMillis
  const node = { hostname: options.hostname, pid }
  /** By task; there are no more than are registered. */
  const changed = new Map<string, Shown.Changed>()
  const change = (task: string, what: Shown.Changed) => void changed.set(task, { ...changed.get(task), ...what })

  const held = (): ReadonlyArray<Request> => [
    ...requests.active().map(({ request }) => request),
    ...requests.reserved(),
    ...requests.scheduled().map(({ request }) => request)
  ]

  const revoke = (ids: ReadonlyArray<string>, terminate: boolean, signal: string) => {
    if (!terminate) return Effect.as(requests.revoke(ids), ok(texts.revoked(ids)))
    const wanted = new Set(ids)
    const found = new Set(held().flatMap(({ message: { headers } }) => (wanted.has(headers.id) ? [headers.id] : [])))
    return Effect.as(requests.revoke(ids, { terminate, signal }), ok(texts.terminated([...found])))
  }

  const stats = Effect.gen(function* () {
    const now = yield* Clock.currentTimeMillis
    const { count: resultsLost } = yield* Metric.value(Results.lost)
    return {
      total: Object.fromEntries(requests.totals()),
      pid,
      clock: String(clock.value()),
      uptime: Math.round((now - started) / 1000),
      pool: {
        "max-concurrency": requests.concurrency(),
        processes: [pid],
        "max-tasks-per-child": "N/A",
        "put-guarded-by-semaphore": false,
        timeouts: [0, 0],
        ...pool.stats()
      },
      ...(autoscaler === undefined ? {} : { autoscaler: autoscaler.info() }),
      broker: Conf.broker(settings, transport),
      // No bound is 0 in Celery, and nothing that JSON could say.
      prefetch_count: Number.isFinite(requests.prefetch()) ? requests.prefetch() : 0,
      // Apium's own.
      results_lost: resultsLost,
      // Python's word where the platform has none.
      rusage: resourceUsage === undefined ? "N/A" : yield* resourceUsage
    }
  })

  return [
    inspect("ping", () => ControlMessage.pong),
    inspect("clock", () => ({ clock: clock.value() })),
    command("stats", () => stats),
    inspect("active", (args) => {
      const safe = args.flag("safe")
      return requests.active().map(({ request, timeStart }) => Shown.request(request, node, { timeStart, safe }))
    }),
    inspect("reserved", () => requests.reserved().map((request) => Shown.request(request, node))),
    inspect("scheduled", () =>
      requests.scheduled().map(({ request, until }): ControlMessage.ScheduledInfo => ({
        eta: shownEta(request, until),
        priority: 6,
        request: Shown.request(request, node)
      }))
    ),
    inspect("revoked", () => requests.revoked()),
    inspect("query_task", (args) => {
      const wanted = new Set(args.texts("ids"))
      const found = (state: string, request: Request, timeStart?: number) =>
        wanted.has(request.message.headers.id)
          ? [[request.message.headers.id, [state, Shown.request(request, node, { timeStart })]] as const]
          : []
      return Object.fromEntries([
        ...requests.reserved().flatMap((request) => found("reserved", request)),
        ...requests.active().flatMap(({ request, timeStart }) => found("active", request, timeStart))
      ])
    }),
    command("registered", (args) => {
      const items = args.get("taskinfoitems") === undefined ? [] : args.texts("taskinfoitems")
      const builtins = args.flag("builtins")
      return Effect.map(tasks.names, (names) =>
        (builtins ? [...new Set([...names, ...Builtins.names])].toSorted() : names)
          .filter((name) => builtins || !name.startsWith("celery."))
          .map((name) => {
            const registered = tasks.find(name)
            return registered === undefined ? name : Shown.task(registered.task, changed.get(name), items, settings)
          })
      )
    }),
    inspect("active_queues", () => requests.queues().map(Shown.queue)),

    command("revoke", (args) =>
      revoke(args.brief("task_id", args.texts("task_id")), args.flag("terminate"), args.signal("signal"))
    ),
    command("terminate", (args) => {
      args.required("signal")
      return revoke(args.brief("task_id", args.texts("task_id")), true, args.signal("signal"))
    }),
    command("revoke_by_stamped_headers", (args) => {
      const headers = stampsOf(args)
      const values = Object.fromEntries(Object.entries(headers).map(([header, stamps]) => [header, valuesOf(stamps)]))
      args.brief("headers", Object.entries(values).flat(2))
      const terminate = args.flag("terminate")
      const shown = PythonRepr.repr(headers)
      return Effect.map(
        requests.revokeByStampedHeaders(values, terminate ? { terminate, signal: args.signal("signal") } : {}),
        (ids) => {
          if (!terminate) return ok(`headers ${shown} flagged as revoked, but not terminated`)
          return ok(ids.length === 0 ? `headers ${shown} were not terminated` : `headers ${shown} revoked`)
        }
      )
    }),
    command("rate_limit", (args) => {
      const task = args.text("task_name")
      const rate = args.required("rate_limit")
      if (rate !== null && typeof rate !== "string" && typeof rate !== "number") {
        throw args.wrong("rate_limit", "a number, a text as 10/m, or null")
      }
      if (tasks.find(task) === undefined) return Effect.succeed(error("unknown task"))
      const lifted = rate === null || rate === "" || rate === 0
      return Effect.match(requests.rateLimit(task, lifted ? null : rate), {
        onFailure: (text) => error(`Invalid rate limit string: ${PythonRepr.exceptionRepr("ValueError", [text])}`),
        onSuccess: () => {
          change(task, { rate_limit: rate })
          return ok(lifted ? texts.rateLimitDisabled : texts.rateLimitSet)
        }
      })
    }),
    command("time_limit", (args) => {
      const task = args.get("task_name") ?? null
      if (task !== null && typeof task !== "string") throw args.wrong("task_name", "a string")
      const [hard, soft] = [args.seconds("hard"), args.seconds("soft")]
      if (task === null || tasks.find(task) === undefined) return Effect.succeed(error("unknown task"))
      return Effect.map(requests.timeLimit(task, { hard, soft }), () => {
        change(task, { time_limit: hard, soft_time_limit: soft })
        return ok(texts.timeLimitSet)
      })
    }),
    inspect("enable_events", () => ok(events.enable() ? texts.eventsEnabled : texts.eventsAlreadyEnabled)),
    inspect("disable_events", () => ok(events.disable() ? texts.eventsDisabled : texts.eventsAlreadyDisabled)),
    command("heartbeat", () =>
      Effect.map(Heartbeat.fields(requests, askedInterval), (fields) => {
        events.send("worker-heartbeat", fields)
        return null
      })
    ),
    command("shutdown", () =>
      Effect.logWarning("Got shutdown from remote").pipe(
        Effect.andThen(shutdown.request("warm")),
        Effect.as(Mailbox.noReply)
      )
    ),
    ...QueueCommands.make(requests, options.queues),
    ...PoolCommands.make(requests, pool, autoscaler),
    ...(yield* AboutCommands.make({ hostname: options.hostname, settings, transport, requests, clock }))
  ]
})

/** As its sender wrote it, with its microseconds, which we have not. One without an offset is UTC. */
const shownEta = ({ message: { headers } }: Request, until: number): string => {
  const [, utc] = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{6})?)(?:\+00:00)?$/.exec(headers.eta ?? "") ?? []
  return utc === undefined ? TaskMessage.formatEta(until) : `${utc}+00:00`
}

/** What a stamp is compared by is its text. */
type Stamp = string | number | boolean

type Stamps = Readonly<Record<string, Stamp | ReadonlyArray<Stamp>>>

const isStamp = (value: unknown): value is Stamp => ["string", "number", "boolean"].includes(typeof value)

/** `{"header": "value"}`, `{"header": ["one", 2]}`, or `["header=value"]` as the command line sends it. */
const stampsOf = (args: Reader): Stamps => {
  const given = args.required("headers")
  const wrong = () => args.wrong("headers", "an object of a value or a list of values each, or a list of header=value")
  const isText = (value: unknown): value is string => typeof value === "string"
  if (Array.isArray(given)) {
    return Object.fromEntries(
      given.map((pair: unknown) => {
        if (!isText(pair)) throw wrong()
        const at = pair.indexOf("=")
        if (at < 0)
          throw new ArgumentError("ValueError", `${PythonRepr.repr(pair.slice(0, 80))} should be header=value`)
        return [pair.slice(0, at), pair.slice(at + 1)]
      })
    )
  }
  if (typeof given !== "object" || given === null) throw wrong()
  return Object.fromEntries(
    Object.entries(given).map(([header, value]: [string, unknown]) => {
      if (isStamp(value) || (Array.isArray(value) && value.every(isStamp))) return [header, value]
      throw wrong()
    })
  )
}
