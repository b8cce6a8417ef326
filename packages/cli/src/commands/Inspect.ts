/** `apium inspect`: questions to workers (celery/bin/control.py `inspect`). They change nothing. */
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Effect from "effect/Effect"
import { untilSignal } from "../Interrupt.ts"
import * as Ask from "./Ask.ts"

const group = Command.make("inspect").pipe(Command.withSharedFlags(Ask.flags))

const asking = (method: string, args: Parameters<typeof Ask.ask>[2]) =>
  untilSignal(Effect.flatMap(group, (asked) => Ask.ask("inspect", method, args, asked)))

const question = (method: string, description: string) =>
  Command.make(method, {}, () => asking(method, {})).pipe(Command.withDescription(description))

const queryTask = Command.make(
  "query_task",
  { ids: Argument.String("id").pipe(Argument.withDescription("Ids of tasks"), Argument.atLeast(1)) },
  ({ ids }) => asking("query_task", { ids })
).pipe(Command.withDescription("Which worker has these tasks, and whether they run"))

export const command = group.pipe(
  Command.withDescription("Ask workers. On memory:// it asks a worker of the module -A that it starts itself"),
  Command.withShortDescription("Ask workers"),
  Command.withExamples([
    { command: "apium inspect ping -A ./tasks.ts", description: "Who is there" },
    { command: "apium inspect active -d celery@a,celery@b -t 5 -j", description: "What two workers run, as JSON" }
  ]),
  Command.withSubcommands([
    question("ping", "Who is there"),
    question("active", "The tasks that run"),
    question("reserved", "The tasks that were received, are due and have not begun"),
    question("scheduled", "The tasks that a worker holds until they are due"),
    question("registered", "The tasks that a worker can run"),
    question("stats", "Counts, the pool and the broker"),
    question("active_queues", "The queues that are consumed"),
    question("revoked", "The ids of tasks that are not to be run"),
    question("clock", "The logical clock"),
    queryTask
  ])
)
