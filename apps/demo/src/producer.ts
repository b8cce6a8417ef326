/**
 * `demo producer`: sends one task per file of a folder, and one each of the others, and tells what becomes of them.
 */
import { Client } from "@apium/worker/client/Client"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Clock from "effect/Clock"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Broker from "./broker.ts"
import * as Corpus from "./corpus.ts"
import * as Outcomes from "./outcomes.ts"
import * as Queues from "./queues.ts"
import { run } from "./run.ts"
import * as tasks from "./tasks.ts"
import { bytes, integer, plural, printable } from "./text.ts"

/** Everything the demo asks for. What returns is in the queue. */
export const send = Effect.fnUntraced(function* (paths: ReadonlyArray<string>, eta: number) {
  const client = yield* Client
  const due = (yield* Clock.currentTimeMillis) + eta * 1000
  return {
    // First, so that they wait while the files are read.
    reminder: yield* client.send(tasks.reminder, { text: "Stand up" }, { eta: new Date(due) }),
    due,
    flaky: yield* client.send(tasks.flaky, { failures: 2 }),
    // One batch, one wait for all.
    pages: yield* client.sendAll(
      tasks.index,
      paths.map((path) => ({ path }))
    )
  }
})

export const folder = Argument.String("folder").pipe(
  Argument.withDescription("The folder to index; left out: the sources and docs of Apium itself"),
  Argument.optional
)

export const eta = Flag.Int("eta").pipe(
  Flag.withSchema(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 3600 }))),
  Flag.withDescription("Seconds until demo.reminder is due"),
  Flag.withDefault(1)
)

export const command = Command.make(
  "producer",
  { folder, eta },
  Effect.fnUntraced(
    function* ({ folder, eta }) {
      const corpus = yield* Corpus.read(folder)
      const byResults = yield* Broker.sharesResults
      const outcomes = yield* byResults ? Outcomes.none : Outcomes.listen
      const sent = yield* send(
        corpus.files.map(({ path }) => path),
        eta
      )
      if (byResults) {
        yield* Outcomes.follow(outcomes, sent.reminder, (ran) => `${integer(ran - sent.due)} ms after its ETA`)
        yield* Outcomes.follow(outcomes, sent.flaky, (runs) => `at run ${runs}`)
        for (const page of sent.pages)
          yield* Outcomes.follow(outcomes, page, (found) => `${plural(found.words, "word")} in ${bytes(found.bytes)}`)
      }
      const names = new Map([
        [sent.reminder.id, "demo.reminder"],
        [sent.flaky.id, "demo.flaky"],
        ...sent.pages.map(({ id }, index) => [id, printable(corpus.files[index]!.name)] as const)
      ])
      const where = `the queue ${Queues.shared.name} of ${yield* Broker.shown}`
      yield* Console.log(
        `Sent ${plural(names.size, "task")} to ${where}. ${byResults ? "Their results" : "Their workers tell"}:`
      )
      yield* Outcomes.tell(outcomes, names)
    },
    Effect.scoped,
    Effect.provide(
      Layer.provideMerge(
        Client.layerWith({ queues: [Queues.shared], defaultQueue: Queues.shared.name }),
        Broker.shared("producer")
      )
    )
  )
).pipe(Command.withDescription("Send a task for each file of a folder, and tell what becomes of them"))

if (import.meta.main) run(command)
