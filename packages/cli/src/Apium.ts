/** The command `apium` and how it is run: on the arguments it is given, with errors that are masked. */
import * as CliConfig from "effect/cli/CliConfig"
import * as CliOutput from "effect/cli/CliOutput"
import * as Command from "effect/cli/Command"
import * as GlobalFlag from "effect/cli/GlobalFlag"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as TerminalCapabilities from "effect/cli/TerminalCapabilities"
import * as Argv from "./Argv.ts"
import * as BrokerUrl from "./BrokerUrl.ts"
import { root } from "./Root.ts"
import { version } from "./Version.ts"

const named = root.pipe(
  Command.withDescription("Tasks in the wire format of Python's Celery: run workers, send tasks, see what they do"),
  Command.withExamples([
    { command: "apium call proj.add -A ./tasks.ts --args='[2,3]'", description: "Try a task out" },
    { command: "apium worker -A ./tasks.ts -c 10 -l info", description: "Run a worker" },
    { command: "apium inspect ping -A ./tasks.ts", description: "Who is there" }
  ])
)

/** In the order of the help. */
const commands = {
  worker: () => import("./commands/Worker.ts"),
  call: () => import("./commands/Call.ts"),
  status: () => import("./commands/Status.ts"),
  inspect: () => import("./commands/Inspect.ts"),
  control: () => import("./commands/Control.ts"),
  events: () => import("./commands/Events.ts")
}

const isName = (word: string | undefined): word is keyof typeof commands =>
  word !== undefined && Object.hasOwn(commands, word)

/** Those that these arguments may be for: who begins with the name of one needs no other's modules, unless it is to be completed. */
const commandFor = (argv: ReadonlyArray<string>) => {
  const [first] = argv
  const loads =
    isName(first) && !argv.some((word) => word.startsWith("--completions"))
      ? [commands[first]]
      : Object.values(commands)
  return Effect.map(
    Effect.promise(() => Promise.all(loads.map((load) => load()))),
    (modules) =>
      Command.withSubcommands(
        named,
        modules.map(({ command }) => command)
      )
  )
}

/** What is wrong with a command line is said with its words, and one of them may be a URL with a password. */
const masked = (plain: CliOutput.Formatter): CliOutput.Formatter => ({
  formatHelpDoc: (doc) => plain.formatHelpDoc(doc),
  formatVersion: (name, version) => plain.formatVersion(name, version),
  formatCliError: (error) => BrokerUrl.maskWithin(plain.formatCliError(error)),
  formatError: (error) => BrokerUrl.maskWithin(plain.formatError(error)),
  formatErrors: (errors) => BrokerUrl.maskWithin(plain.formatErrors(errors))
})

/** A mistake is shown by itself: the help is long, and would have it scroll away. */
const presenter: CliOutput.Presenter = {
  present: Effect.fnUntraced(function* (event) {
    if (event._tag !== "InvalidInvocation") return yield* CliOutput.defaultPresenter.present(event)
    const text = (yield* CliOutput.Formatter).formatErrors(event.errors)
    yield* Console.error(`${text}\n\n  ${event.commandPath.join(" ")} --help shows what there is`)
  })
}

const formatter = Layer.effect(
  CliOutput.Formatter,
  Effect.map(TerminalCapabilities.TerminalCapabilities, ({ canColor }) =>
    masked(CliOutput.defaultFormatter({ colors: canColor }))
  )
)

const config = CliConfig.layer({ builtIns: [GlobalFlag.Help, GlobalFlag.Version, GlobalFlag.Completions] })

export const run = (argv: ReadonlyArray<string>) =>
  Effect.provide(
    Effect.flatMap(commandFor(argv), (command) => Command.runWith(command, { version })(Argv.split(argv))),
    Layer.mergeAll(formatter, CliOutput.layerPresenter(presenter), config)
  )
