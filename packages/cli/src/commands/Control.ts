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
    { command: "apium control shutdown -d celery@a", description: "Stop one worker" }
  ]),
  Command.withSubcommands([
    revoke,
    terminate,
    rateLimit,
    timeLimit,
    change("enable_events", "Send task events from now on"),
    change("disable_events", "Send no task events any more"),
    shutdown
  ])
)
