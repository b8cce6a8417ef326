/** The door to the operating system: exit code out, and a reader that goes away. */
import * as NodeServices from "@effect/platform-node/NodeServices"
import { layerHost } from "@apium/worker/node/host"
import * as Cause from "effect/Cause"
import * as CliError from "effect/cli/CliError"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Runtime from "effect/Runtime"
import { Console as NodeConsole } from "node:console"

/** Help and mistakes have been shown by then: only the code is left to choose. */
export const teardown: Runtime.Teardown = (exit, onExit) => {
  const error = Exit.isFailure(exit) ? Cause.squash(exit.cause) : undefined
  if (CliError.isCliError(error) && error._tag === "ShowHelp") onExit(error.errors.length > 0 ? 64 : 0)
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

const written = (output: NodeJS.WriteStream): Promise<void> =>
  new Promise((resolve) => {
    if (output.destroyed || !output.writable) resolve()
    else output.write("", () => resolve())
  })

/** A module of the user's may have left something open: it does not keep a command that has ended. */
const exit = (code: number): void => {
  void Promise.all([written(process.stdout), written(process.stderr)]).then(() => process.exit(code))
}

/** Not NodeRuntime's, which would take the signals from the worker's shutdown ladder. */
const runMain = Runtime.makeRunMain(({ fiber, teardown }) => {
  // Until then, whatever the command waits for.
  const alive = setInterval(() => undefined, 2 ** 31 - 1)
  fiber.addObserver((ended) => {
    clearInterval(alive)
    teardown(ended, exit)
  })
})

export const run = <E>(
  command: (argv: ReadonlyArray<string>) => Effect.Effect<void, E, NodeServices.NodeServices>
): void => {
  const Live = Layer.mergeAll(NodeServices.layer, layerHost, Layer.succeed(Console.Console, console))
  runMain(command(process.argv.slice(2)).pipe(Effect.raceFirst(unread), Effect.provide(Live)), { teardown })
}
