/**
 * The door to the operating system: arguments in, exit code out. Ctrl-C interrupts the command, which closes its scopes and
 * ends as 130; a mistake on the command line ends as 64.
 */
import { untilSignal } from "@apium/cli/Interrupt"
import * as Cli from "@apium/cli/run"
import type * as NodeServices from "@effect/platform-node/NodeServices"
import * as CliConfig from "effect/cli/CliConfig"
import * as Command from "effect/cli/Command"
import * as GlobalFlag from "effect/cli/GlobalFlag"
import * as Effect from "effect/Effect"
import * as Broker from "./broker.ts"

const config = CliConfig.layer({ builtIns: [GlobalFlag.Help, GlobalFlag.LogLevel] })

export const run = <Name extends string, Input, E, Context>(
  command: Command.Command<Name, Input, Context, E, NodeServices.NodeServices>
): void =>
  Cli.run((argv) =>
    untilSignal(Broker.explained(Effect.provide(Command.runWith(command, { version: "0.0.0" })(argv), config)))
  )
