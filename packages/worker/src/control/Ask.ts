/** How workers are asked, and what kind of answers they give: for the commands of `Control`. */
import type { Connection } from "@apium/hub/Connection"
import type { Arguments } from "@apium/hub/Exchange"
import type { HubError } from "@apium/hub/HubError"
import * as Mailbox from "@apium/hub/Mailbox"
import * as ControlMessage from "@apium/protocol/celery/ControlMessage"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as LogicalClock from "../events/LogicalClock.ts"

/** Which workers are meant: those named, those whose name matches, or all. */
export interface Target {
  readonly destination?: ReadonlyArray<string> | undefined
  readonly pattern?: string | undefined
  /** How the pattern is read; default `glob`. */
  readonly matcher?: "glob" | "pcre" | undefined
  /** What the exchanges are named after (Celery's `control_exchange`). Default `celery`. */
  readonly namespace?: string | undefined
  /** Default: none. */
  readonly clock?: LogicalClock.LogicalClock["Service"] | undefined
}

export interface AskOptions extends Target {
  /** How long answers are waited for. Default 1 s. */
  readonly timeout?: Duration.Input | undefined
  /** No more answers than these. Default: as many as there are destinations. */
  readonly limit?: number | undefined
}

export interface ChangeOptions extends AskOptions {
  /** Wait for answers. Default `false`: there are none. */
  readonly reply?: boolean | undefined
}

/** What one worker answered. */
export interface Reply<A> {
  /** Its name. */
  readonly node: string
  readonly reply: A | Failed
}

export interface Failed {
  readonly error: string
}

export const isFailed = (reply: unknown): reply is Failed => ControlMessage.decodeReplyValue(reply)._tag === "Error"

export type Replies<A> = Effect.Effect<ReadonlyArray<Reply<A>>, HubError, Connection>

export interface Done {
  readonly ok: string
}

const commandFor = (method: string, args: Arguments, target: Target): Mailbox.Command => ({
  method,
  arguments: args,
  destination: target.destination,
  pattern: target.pattern,
  matcher: target.pattern === undefined ? undefined : (target.matcher ?? "glob")
})

const mailbox = ({ namespace, clock }: Target): Mailbox.Options => ({
  namespace,
  clock: clock === undefined ? undefined : LogicalClock.forMailbox(clock)
})

/** Any command, a worker's own ones too: the answers as they come, unread. */
export const broadcast = (
  method: string,
  args: Arguments = {},
  options: AskOptions = {}
): Stream.Stream<Mailbox.Reply, HubError, Connection> =>
  Mailbox.broadcast(commandFor(method, args, options), {
    ...mailbox(options),
    timeout: options.timeout ?? Duration.seconds(ControlMessage.defaultTimeout.other),
    limit: options.limit
  })

/** Any command, to which nobody is to answer. */
export const cast = (
  method: string,
  args: Arguments = {},
  target: Target = {}
): Effect.Effect<void, HubError, Connection> => Mailbox.cast(commandFor(method, args, target), mailbox(target))

/** What kind of answer a command has. */
export type Kind = "text" | "list" | "object" | "any"

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value)

const isOf = (kind: Kind, reply: unknown): boolean => {
  switch (kind) {
    case "text":
      return isObject(reply) && typeof reply.ok === "string"
    case "list":
      return Array.isArray(reply)
    case "object":
      return isObject(reply)
    case "any":
      return true
  }
}

export const ask = <A>(kind: Kind, method: string, args: Arguments, options: AskOptions): Replies<A> =>
  Effect.map(Stream.runCollect(broadcast(method, args, options)), (replies) =>
    replies.map(({ node, reply }): Reply<A> => {
      if (isFailed(reply)) return { node, reply }
      return isOf(kind, reply)
        ? { node, reply: reply as A }
        : { node, reply: { error: `The answer to ${method} should be of the kind ${kind}, and is not` } }
    })
  )

export const change = (method: string, args: Arguments, options: ChangeOptions): Replies<Done> =>
  options.reply === true ? ask("text", method, args, options) : Effect.as(cast(method, args, options), [])
