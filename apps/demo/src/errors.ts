/**
 * What goes wrong before any task is sent: a text for people, and the exit code that sysexits.h has for it.
 */
import * as CliError from "effect/cli/CliError"
import * as Runtime from "effect/Runtime"
import * as Schema from "effect/Schema"

/** All lines as deep as the first one is shown. */
const indented = (text: string): string => text.replaceAll("\n", "\n  ")

/** The command line or the environment asks for what cannot be done. */
export class UsageError extends Schema.TaggedError<UsageError>()("UsageError", { text: Schema.String }) {
  override readonly [Runtime.errorExitCode] = 64
  override readonly [CliError.userMessage] = indented(this.text)
  override get message() {
    return this.text
  }
}

/** There is nothing to read at that path. */
export class NoInput extends Schema.TaggedError<NoInput>()("NoInput", { text: Schema.String }) {
  override readonly [Runtime.errorExitCode] = 66
  override readonly [CliError.userMessage] = indented(this.text)
  override get message() {
    return this.text
  }
}
