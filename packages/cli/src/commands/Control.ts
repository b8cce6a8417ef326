/** `apium control`: changes to workers (celery/bin/control.py `control`). */
import type { Arguments } from "@apium/hub/Exchange"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { untilSignal } from "../Interrupt.ts"
import * as Ask from "./Ask.ts"

const group = Command.make("control").pipe(Command.withSharedFlags(Ask.flags))

const asking = (method: string, args: Arguments) =>
  untilSignal(Effect.flatMap(group, (asked) => Ask.ask("control", method, args, asked)))

const ids = Argument.String("id").pipe(Argument.withDescription("Ids of tasks"), Argument.atLeast(1))

const task = Argument.String("task").pipe(Argument.withDescription("The name of a task"))

const limit = (name: string) =>
  Argument.Finite(name).pipe(
    Argument.filter(
      (value) => value > 0,
      () => "seconds, more than 0"
    )
  )

const revoke = Command.make("revoke", { ids }, ({ ids }) => asking("revoke", { task_id: ids })).pipe(
  Command.withDescription("Do not run these tasks; those that run go on")
)

const terminate = Command.make(
  "terminate",
  { signal: Argument.String("signal").pipe(Argument.withDescription("SIGTERM, SIGKILL")), ids },
  ({ ids, signal }) => asking("terminate", { signal, task_id: ids })
).pipe(Command.withDescription("Do not run these tasks, and end those that run"))

const rateLimit = Command.make(
  "rate_limit",
  { task, rate: Argument.String("rate").pipe(Argument.withDescription("10/s, 10/m, 10/h; 0 for no limit")) },
  ({ rate, task }) => asking("rate_limit", { task_name: task, rate_limit: rate })
).pipe(Command.withDescription("Start a task at most so often in each worker"))

const timeLimit = Command.make(
  "time_limit",
  {
    task,
    soft: limit("soft_secs").pipe(Argument.withDescription("Then it is interrupted")),
    hard: limit("hard_secs").pipe(Argument.withDescription("Then it is killed"), Argument.optional)
  },
  ({ hard, soft, task }) => asking("time_limit", { task_name: task, soft, hard: Option.getOrNull(hard) })
).pipe(Command.withDescription("Limit how long a task may run, from its next run on"))

const stamped = Command.make(
  "revoke_by_stamped_headers",
  { headers: Argument.String("header=value").pipe(Argument.withDescription("A stamp"), Argument.atLeast(1)) },
  ({ headers }) => asking("revoke_by_stamped_headers", { headers })
).pipe(Command.withDescription("Do not run tasks with one of these stamps; those that run go on"))

const slots = (method: "pool_grow" | "pool_shrink", description: string) =>
  Command.make(
    method,
    {
      n: Argument.Int("N").pipe(
        Argument.filter(
          (value) => value > 0,
          () => "at least 1"
        ),
        Argument.withDefault(1)
      )
    },
    ({ n }) => asking(method, { n })
  ).pipe(Command.withDescription(description))

const scale = Command.make(
  "autoscale",
  {
    max: Argument.Int("max").pipe(Argument.withDescription("How many tasks at once at most")),
    min: Argument.Int("min").pipe(Argument.withDescription("And at least"), Argument.optional)
  },
  ({ max, min }) => asking("autoscale", { max, min: Option.getOrNull(min) })
).pipe(Command.withDescription("Between how many slots workers scale themselves that were started with --autoscale"))

const queue = Argument.String("queue").pipe(Argument.withDescription("The name of a queue"))

const part = (name: string, description: string) =>
  Argument.String(name).pipe(Argument.withDescription(description), Argument.optional)

const addConsumer = Command.make(
  "add_consumer",
  {
    queue,
    exchange: part("exchange", "Default: called as the queue"),
    type: part("type", "Of the exchange; default: direct"),
    routingKey: part("routing_key", "Default: called as the queue")
  },
  ({ exchange, queue, routingKey, type }) =>
    asking("add_consumer", {
      queue,
      exchange: Option.getOrNull(exchange),
      exchange_type: Option.getOrNull(type),
      routing_key: Option.getOrNull(routingKey)
    })
).pipe(Command.withDescription("Consume this queue, too"))

const cancelConsumer = Command.make("cancel_consumer", { queue }, ({ queue }) =>
  asking("cancel_consumer", { queue })
).pipe(Command.withDescription("Do not consume this queue any more; what was taken of it is finished"))

const change = (method: string, description: string) =>
  Command.make(method, {}, () => asking(method, {})).pipe(Command.withDescription(description))

const shutdown = Command.make("shutdown", {}, () =>
  untilSignal(Effect.flatMap(group, (asked) => Ask.tell("shutdown", {}, asked)))
).pipe(Command.withDescription("Stop workers warmly: what runs is finished"))

export const command = group.pipe(
  Command.withDescription("Change workers. On memory:// it changes a worker of the module -A that it starts itself"),
  Command.withShortDescription("Change workers"),
  Command.withExamples([
    { command: "apium control revoke 0f8fad5b-d9cb-469f-a165-70867728950e", description: "Do not run a task" },
    { command: "apium control rate_limit proj.mail 10/m", description: "At most ten a minute in each worker" },
    { command: "apium control add_consumer mail -d celery@a", description: "Consume another queue" },
    { command: "apium control shutdown -d celery@a", description: "Stop one worker" }
  ]),
  Command.withSubcommands([
    revoke,
    terminate,
    rateLimit,
    timeLimit,
    stamped,
    addConsumer,
    cancelConsumer,
    slots("pool_grow", "Run so many tasks more at once; default: 1"),
    slots("pool_shrink", "Run so many tasks fewer at once; default: 1"),
    change("pool_restart", "A new pool, of Python's workers with worker_pool_restarts"),
    scale,
    change("heartbeat", "Send a heartbeat now"),
    change("enable_events", "Send task events from now on"),
    change("disable_events", "Send no task events any more"),
    shutdown
  ])
)
