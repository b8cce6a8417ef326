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

const registered = Command.make(
  "registered",
  {
    items: Argument.String("attribute").pipe(
      Argument.withDescription("Show these attributes, as rate_limit, where they are set"),
      Argument.variadic()
    )
  },
  ({ items }) => asking("registered", { taskinfoitems: items })
).pipe(Command.withDescription("The tasks that a worker can run"))

/** Those that Celery takes. */
const words = [
  ...["true", "yes", "on", "1"].map((word) => [word, true] as const),
  ...["false", "no", "off", "0"].map((word) => [word, false] as const)
]

const conf = Command.make(
  "conf",
  {
    withDefaults: Argument.ChoiceWithValue("with_defaults", words).pipe(
      Argument.withDescription("true: also what nobody has said"),
      Argument.withDefault(false)
    )
  },
  ({ withDefaults }) => asking("conf", { with_defaults: withDefaults })
).pipe(Command.withDescription("The settings by Celery's names, passwords covered"))

const memdump = Command.make(
  "memdump",
  {
    samples: Argument.Int("n_samples").pipe(
      Argument.filter(
        (value) => value > 0,
        () => "at least 1"
      ),
      Argument.withDefault(10)
    )
  },
  ({ samples }) => asking("memdump", { samples })
).pipe(Command.withDescription("The samples of memsample since the last time, and the memory now"))

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
    registered,
    question("stats", "Counts, the pool and the broker"),
    question("active_queues", "The queues that are consumed"),
    question("revoked", "The ids of tasks that are not to be run"),
    question("clock", "The logical clock"),
    queryTask,
    conf,
    question("report", "Versions, the platform and the settings, for a bug report"),
    question("memsample", "Resident memory now"),
    memdump,
    question("objgraph", "A graph of objects, of Python's workers that have the library")
  ])
)
