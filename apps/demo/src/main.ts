/**
 * `pnpm demo [folder]`, `pnpm demo worker | producer | monitor`.
 */
import * as Command from "effect/cli/Command"
import * as Demo from "./demo.ts"
import * as Monitor from "./monitor.ts"
import * as Producer from "./producer.ts"
import { run } from "./run.ts"
import * as Worker from "./worker.ts"

run(Demo.command.pipe(Command.withSubcommands([Worker.command, Producer.command, Monitor.command])))
