/**
 * The door to the operating system: arguments in, exit code out. Ctrl-C interrupts the command, which closes its scopes and
 * ends as 130; a mistake on the command line ends as 64.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as CliConfig from "effect/cli/CliConfig"
import * as CliError from "effect/cli/CliError"
import * as Command from "effect/cli/Command"
import * as GlobalFlag from "effect/cli/GlobalFlag"
import * as Cause from "effect/Cause"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Runtime from "effect/Runtime"
import { Console as NodeConsole } from "node:console"

/** Help and mistakes have been shown by then: only the code is left to choose. */
const teardown: Runtime.Teardown = (exit, onExit) => {
  const error = Exit.isFailure(exit) ? Cause.squash(exit.cause) : undefined
  if (CliError.isCliError(error) && error._tag === "ShowHelp" && error.errors.length > 0) onExit(64)
  else Runtime.defaultTeardown(exit, onExit)
}

/**
 * Nobody reads any more, as behind `| head`: then there is nothing left to do, and that is no failure. The listeners stay, for
 * what is still written has nobody either.
 */
const unread = Effect.callback<void>((resume) => {
  for (const output of [process.stdout, process.stderr]) output.on("error", () => resume(Effect.void))
})

/** The one of Bun and the one of Deno write past `process.stdout`, and would not notice. */
const console = new NodeConsole({ stdout: process.stdout, stderr: process.stderr })

const Live = Layer.mergeAll(
  NodeServices.layer,
  Layer.succeed(Console.Console, console),
  CliConfig.layer({ builtIns: [GlobalFlag.Help, GlobalFlag.LogLevel] })
)

export const run = <Name extends string, Input, E, Context>(
  command: Command.Command<Name, Input, Context, E, Command.Environment>
): void =>
  NodeRuntime.runMain(Command.run(command, { version: "0.0.0" }).pipe(Effect.raceFirst(unread), Effect.provide(Live)), {
    teardown
  })
