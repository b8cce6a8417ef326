/** `apium call`: sends a task by name (celery/bin/call.py). */
import { HubError } from "@apium/hub/HubError"
import { Client } from "@apium/worker/client/Client"
import * as Json from "@apium/protocol/kombu/Json"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { Failed, UsageError } from "../Errors.ts"
import { untilSignal } from "../Interrupt.ts"
import * as Local from "../Local.ts"
import { root } from "../Root.ts"
import { didYouMean } from "@apium/protocol/Suggest"
import { messageOf, printable, printableJson } from "../Text.ts"
import * as Value from "../Value.ts"

const flags = {
  task: Argument.String("task").pipe(Argument.withDescription("The name of the task: proj.add")),
  args: Flag.String("args").pipe(
    Flag.withAlias("a"),
    Flag.withMetavar("json"),
    Flag.withDescription("Positional arguments, a JSON array"),
    Flag.withDefault("[]")
  ),
  kwargs: Flag.String("kwargs").pipe(
    Flag.withAlias("k"),
    Flag.withMetavar("json"),
    Flag.withDescription("Keyword arguments, a JSON object"),
    Flag.withDefault("{}")
  ),
  countdown: Value.seconds("countdown").pipe(Flag.withDescription("Not before so many seconds"), Flag.optional),
  eta: Value.time("eta").pipe(Flag.withDescription("Not before this time"), Flag.optional),
  expires: Value.timeOrSeconds("expires").pipe(Flag.withDescription("Revoked if not begun by then"), Flag.optional),
  queue: Flag.String("queue").pipe(Flag.withAlias("Q"), Flag.withDescription("Default: celery"), Flag.optional),
  priority: Value.whole("priority", 0, 255).pipe(
    Flag.withDescription("Higher is sooner, but on Redis, where 0 is the first"),
    Flag.optional
  ),
  wait: Flag.Boolean("wait").pipe(
    Flag.withDescription("Wait for the result and print it as JSON, instead of the task's id"),
    Flag.withDefault(false)
  )
}

const notRegistered = (task: string, known: ReadonlyArray<string>): UsageError =>
  new UsageError({
    text: [
      `NotRegistered: there is no task ${printable(task)}.${didYouMean(task, known)}`,
      known.length === 0 ? "The module has no tasks." : "The module has",
      ...known.slice(0, 20).map((name) => `  . ${printable(name)}`),
      ...(known.length > 20 ? [`  and ${known.length - 20} more`] : [])
    ].join("\n")
  })

const nowhere = new UsageError({
  text: [
    "--wait waits for a result, and memory:// keeps those of this process alone: the worker's never come here.",
    "Leave --wait out: the task is sent, and its id is printed; or name where its worker keeps results: --result-backend redis://..."
  ].join("\n")
})

/** JavaScript's traceback begins with the message, which has been said by then. */
const failed = (error: Error & { readonly traceback?: Option.Option<string> }): Failed => {
  const { message } = error
  const traceback = error.traceback === undefined ? "" : Option.getOrElse(error.traceback, () => "")
  const [head = ""] = traceback.split(/\n +at /, 1)
  return new Failed({ text: message + (message.endsWith(head) ? traceback.slice(head.length) : `\n${traceback}`) })
}

const notSent = (task: string, error: unknown): Failed => {
  const text = `${task} could not be sent: ${messageOf(error)}`
  const otherwise =
    error instanceof HubError && error.reason._tag === "ChannelClosed" && error.reason.replyCode === 406
      ? "\nThe queue is there with other properties: name the module that exports it as it is, -A ./tasks.ts"
      : ""
  return new Failed({ text: text + otherwise })
}

export const command = Command.make(
  "call",
  flags,
  Effect.fnUntraced(function* ({ args: argsText, kwargs: kwargsText, task, wait, ...options }) {
    const shared = yield* root
    const args = yield* Value.args(argsText)
    const kwargs = yield* Value.kwargs(kwargsText)
    if (Option.isSome(options.countdown) && Option.isSome(options.eta)) {
      return yield* new UsageError({ text: "--countdown and --eta both say when: leave one out" })
    }
    yield* Local.provide(shared, { command: `call ${task}`, queue: options.queue }, ({ local, results, tasks }) =>
      Effect.gen(function* () {
        if (wait && !results) return yield* nowhere
        if (local && !tasks.includes(task)) {
          return yield* notRegistered(
            task,
            tasks.filter((name) => !name.startsWith("celery."))
          )
        }
        const client = yield* Client
        const result = yield* client
          .sendTask(task, args, kwargs, {
            countdown: Option.getOrUndefined(options.countdown),
            eta: Option.getOrUndefined(options.eta),
            expires: Option.getOrUndefined(options.expires),
            queue: Option.getOrUndefined(options.queue),
            priority: Option.getOrUndefined(options.priority)
          })
          .pipe(Effect.mapError((error) => notSent(task, error)))
        if (!local && !wait) return yield* Console.log(result.id)
        const value = yield* Effect.mapError(result.get, (error) => failed(error))
        yield* Console.log(printableJson(Json.stringify(value)))
      })
    )
  }, untilSignal)
).pipe(
  Command.withDescription(
    "Send a task by name. On memory:// it runs in this process, by a worker of the module -A, and its result is printed"
  ),
  Command.withShortDescription("Send a task"),
  Command.withExamples([
    { command: "apium call proj.add -A ./tasks.ts --args='[2,3]'", description: "Try a task out" },
    {
      command: `apium call proj.add -A ./tasks.ts --kwargs='{"x":2,"y":3}' --countdown 10`,
      description: "In ten seconds"
    }
  ])
)
