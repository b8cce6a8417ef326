/** `apium status`: who is there (celery/bin/control.py `status`). */
import * as Command from "effect/cli/Command"
import { untilSignal } from "../Interrupt.ts"
import * as Ask from "./Ask.ts"

export const command = Command.make("status", Ask.flags, (asked) =>
  untilSignal(Ask.ask("status", "ping", {}, asked))
).pipe(
  Command.withDescription("Who is there. On memory:// it asks a worker of the module -A that it starts itself"),
  Command.withShortDescription("Who is there"),
  Command.withExamples([{ command: "apium status -b redis://localhost", description: "The workers of a broker" }])
)
