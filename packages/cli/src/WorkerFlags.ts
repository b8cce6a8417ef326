/** The flags of `apium worker`: Celery's names and meanings (celery/bin/worker.py). */
import * as Flag from "effect/cli/Flag"
import * as Option from "effect/Option"
import * as Log from "./Log.ts"
import * as Value from "./Value.ts"

export type PoolName = "fiber" | "inline" | "thread" | "process"

/** With Celery's names for the nearest thing. */
const pools: ReadonlyArray<readonly [string, PoolName]> = [
  ["fiber", "fiber"],
  ["inline", "inline"],
  ["thread", "thread"],
  ["process", "process"],
  ["prefork", "process"],
  ["processes", "process"],
  ["threads", "thread"],
  ["solo", "inline"],
  ["gevent", "fiber"],
  ["eventlet", "fiber"]
]

/** More than this are no workers but a typing error. */
const maxConcurrency = 100_000

export const flags = {
  queues: Value.list("queues").pipe(
    Flag.withAlias("Q"),
    Flag.withDescription("The queues to consume; default: the module's, else celery"),
    Flag.withDefault([])
  ),
  hostname: Flag.String("hostname").pipe(
    Flag.withAlias("n"),
    Flag.withMetavar("name"),
    Flag.withDescription("The worker's name, as mail@%h: %h is the host, %n its first part, %d the rest"),
    Flag.withDefault("celery@%h")
  ),
  concurrency: Value.whole("concurrency", 1, maxConcurrency).pipe(
    Flag.withAlias("c"),
    Flag.withDescription("How many tasks run at once; default: as many as the machine has processors"),
    Flag.optional
  ),
  pool: Flag.ChoiceWithValue("pool", pools).pipe(
    Flag.withAlias("P"),
    Flag.withMetavar("fiber|inline|thread|process"),
    Flag.withDescription("Where tasks run; Celery's names work too. Default: fiber"),
    Flag.withDefault("fiber" as const)
  ),
  events: Flag.Boolean("events").pipe(
    Flag.withAlias("E"),
    Flag.withDescription("Send task events, for monitors"),
    Flag.withDefault(false)
  ),
  loglevel: Flag.String("loglevel").pipe(
    Flag.withAlias("l"),
    Flag.withMetavar(Log.levels.join("|")),
    Flag.withDescription("Log from this level on; default: info"),
    Flag.withDefault("info"),
    Flag.filterMap(
      (text) => Option.fromUndefinedOr(Log.levels.find((level) => level === text.toLowerCase())),
      () => `one of ${Log.levels.join(", ")}`
    )
  ),
  prefetchMultiplier: Value.whole("prefetch-multiplier", 1, 10_000).pipe(
    Flag.withDescription("How many tasks to take for each that runs; default: 4"),
    Flag.optional
  ),
  fetch: Flag.Literals("fetch", ["prefetch", "exact"]).pipe(
    Flag.withDescription("exact: take only what can begin at once"),
    Flag.withDefault("prefetch" as const)
  ),
  autoscale: Flag.String("autoscale").pipe(
    Flag.withMetavar("max,min"),
    Flag.withDescription("Run between so many tasks at once, as there is work"),
    Flag.filterMap(autoscaleOf, () => `two whole numbers from 1 to ${maxConcurrency}: the most and the least, as 10,2`),
    Flag.optional
  ),
  timeLimit: Value.seconds("time-limit", 0.001).pipe(
    Flag.withDescription("Kill tasks that run longer, unless they say otherwise"),
    Flag.optional
  ),
  softTimeLimit: Value.seconds("soft-time-limit", 0.001).pipe(
    Flag.withDescription("Interrupt tasks that run longer, unless they say otherwise"),
    Flag.optional
  ),
  maxTasksPerChild: Value.whole("max-tasks-per-child", 1).pipe(
    Flag.withDescription("Replace a thread or process that has run so many tasks"),
    Flag.optional
  ),
  maxMemoryPerChild: Value.whole("max-memory-per-child", 1).pipe(
    Flag.withMetavar("KiB"),
    Flag.withDescription("Replace a process that has more memory than this after a task"),
    Flag.optional
  ),
  profile: Flag.Literals("profile", ["durable", "celery", "fast"]).pipe(
    Flag.withDescription("How much a message is worth; celery is what Celery does"),
    Flag.withDefault("durable" as const)
  ),
  softShutdownTimeout: Value.seconds("soft-shutdown-timeout").pipe(
    Flag.withDescription("How long a second Ctrl-C lets tasks run on before they are interrupted; default: 0"),
    Flag.optional
  ),
  statedb: Flag.String("statedb").pipe(
    Flag.withAlias("S"),
    Flag.withMetavar("file"),
    Flag.withDescription("Remember revoked tasks there, as /var/lib/apium/%n.state; %n is the worker's name before @"),
    Flag.filter(
      (file) => file !== "",
      () => "a file; leave the flag out to remember nothing"
    ),
    Flag.optional
  ),
  withoutMingle: Flag.Boolean("without-mingle").pipe(
    Flag.withDescription("Do not ask other workers what was revoked"),
    Flag.withDefault(false)
  ),
  beat: Flag.Boolean("beat").pipe(
    Flag.withAlias("B"),
    Flag.withDescription("Also send the module's periodic tasks, its export schedule; in one worker only"),
    Flag.withDefault(false)
  )
}

/** In any order, as with Celery. */
function autoscaleOf(text: string): Option.Option<{ readonly max: number; readonly min: number }> {
  if (!/^\d{1,6},\d{1,6}$/.test(text)) return Option.none()
  const [one = 0, other = 0] = text.split(",").map(Number)
  const [min, max] = [Math.min(one, other), Math.max(one, other)]
  return min >= 1 && max <= maxConcurrency ? Option.some({ max, min }) : Option.none()
}
