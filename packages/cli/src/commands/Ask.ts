/** What `apium inspect` and `apium control` have in common: who is asked, for how long, and how answers are printed. */
import type { Arguments } from "@apium/hub/Exchange"
import type * as Mailbox from "@apium/hub/Mailbox"
import * as Control from "@apium/worker/control/Control"
import * as Flag from "effect/cli/Flag"
import * as Console from "effect/Console"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { Failed, Unavailable } from "../Errors.ts"
import * as Local from "../Local.ts"
import * as Replies from "../Replies.ts"
import { root } from "../Root.ts"
import { messageOf } from "../Text.ts"
import * as Value from "../Value.ts"

export const flags = {
  destination: Value.list("destination").pipe(
    Flag.withAlias("d"),
    Flag.withDescription("The workers to ask, by their names; default: all"),
    Flag.optional
  ),
  timeout: Value.seconds("timeout", 0.001).pipe(
    Flag.withAlias("t"),
    Flag.withDescription("How long to wait for answers; default 1"),
    Flag.withDefault(Duration.seconds(1))
  ),
  json: Flag.Boolean("json").pipe(Flag.withAlias("j"), Flag.withDescription("Print JSON"), Flag.withDefault(false))
}

export interface Asked {
  readonly destination: Option.Option<ReadonlyArray<string>>
  readonly timeout: Duration.Duration
  readonly json: boolean
}

const target = ({ destination }: Asked) => ({ destination: Option.getOrUndefined(destination) })

/** Prints each answer as it comes. None is 69, as with Celery. */
export const ask = Effect.fnUntraced(function* (
  group: "inspect" | "control" | "status",
  method: string,
  args: Arguments,
  asked: Asked
) {
  const shared = yield* root
  const replies = yield* Local.provide(
    shared,
    { command: group === "status" ? group : `${group} ${method}` },
    ({ local }) => {
      const options = { ...target(asked), timeout: asked.timeout, limit: local ? 1 : undefined }
      const seen: Array<Mailbox.Reply> = []
      return Control.broadcast(method, args, options).pipe(
        Stream.runForEach((reply) => {
          seen.push(reply)
          return asked.json
            ? Effect.void
            : Console.log(group === "status" ? Replies.head(reply) : Replies.format(reply))
        }),
        Effect.mapError((error) => new Failed({ text: `The workers could not be asked: ${messageOf(error)}` })),
        Effect.as(seen)
      )
    }
  )
  if (replies.length === 0) return yield* new Unavailable({ text: "No nodes replied within time constraint" })
  if (asked.json) yield* Console.log(Replies.json(replies))
  else if (group !== "control") yield* Console.log(Replies.count(replies.length))
})

/** For what no worker answers. */
export const tell = Effect.fnUntraced(function* (method: string, args: Arguments, asked: Asked) {
  const shared = yield* root
  yield* Local.provide(shared, { command: `control ${method}` }, () =>
    Effect.mapError(
      Control.cast(method, args, target(asked)),
      (error) => new Failed({ text: `The workers could not be told: ${messageOf(error)}` })
    )
  )
  const destinations = Option.getOrElse(asked.destination, () => ["all workers"])
  yield* Console.log(`->  ${method} was sent to ${destinations.join(", ")}; workers do not answer it`)
})
