/**
 * How a command ends when it does not end well: a text for people, and an exit code (those of sysexits.h, as Celery's).
 */
import * as CliError from "effect/cli/CliError"
import * as Runtime from "effect/Runtime"
import * as Schema from "effect/Schema"
import { printableLines } from "./Text.ts"

/** All lines as deep as the first one is shown. */
const shown = (text: string): string => printableLines(text).replaceAll("\n", "\n  ")

/** 64: the command line or the environment asks for what cannot be done. */
export class UsageError extends Schema.TaggedError<UsageError>()("UsageError", { text: Schema.String }) {
  override readonly [Runtime.errorExitCode] = 64
  override readonly [CliError.userMessage] = shown(this.text)
  override get message() {
    return this.text
  }
}

/** 66: there is nothing to read at that path. */
export class NoInput extends Schema.TaggedError<NoInput>()("NoInput", { text: Schema.String }) {
  override readonly [Runtime.errorExitCode] = 66
  override readonly [CliError.userMessage] = shown(this.text)
  override get message() {
    return this.text
  }
}

/** 69: no worker replied, or there is no broker to ask by. */
export class Unavailable extends Schema.TaggedError<Unavailable>()("Unavailable", { text: Schema.String }) {
  override readonly [Runtime.errorExitCode] = 69
  override readonly [CliError.userMessage] = shown(this.text)
  override get message() {
    return this.text
  }
}

/** 1: what was asked for was tried, and failed. */
export class Failed extends Schema.TaggedError<Failed>()("Failed", { text: Schema.String }) {
  override readonly [Runtime.errorExitCode] = 1
  override readonly [CliError.userMessage] = shown(this.text)
  override get message() {
    return this.text
  }
}

/** Everything has been said: only the code is left. */
export class Ended extends Schema.TaggedError<Ended>()("Ended", { code: Schema.Int }) {
  override readonly [Runtime.errorExitCode] = this.code
  override readonly [Runtime.errorReported] = false
}

/** Any other error is one of those above by the time it gets to the user. */
export type Expected = UsageError | NoInput | Unavailable | Failed | Ended

export const isExpected = (error: unknown): error is Expected =>
  error instanceof UsageError ||
  error instanceof NoInput ||
  error instanceof Unavailable ||
  error instanceof Failed ||
  error instanceof Ended
