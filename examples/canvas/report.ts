/**
 * A workflow: pages are counted side by side, once all are counted a report is made of them, and the report is sent.
 *
 * ```text
 *   count(a) ─┐
 *   count(b) ─┼─▶ report ──▶ send
 *   count(c) ─┘
 * ```
 *
 * Run it with `node --conditions=@apium/source examples/canvas/report.ts`. With a broker and a result backend that others share, the
 * workers may be in Python.
 */
import { Connection } from "@apium/hub/Connection"
import * as MemoryTransport from "@apium/hub/memory/MemoryTransport"
import * as Queue from "@apium/hub/Queue"
import { Canvas, Client, MemoryBackend, Task, Tasks, Worker } from "@apium/worker"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"

const count = Task.make("site.count", { params: { page: Schema.String }, result: Schema.Number })
const report = Task.make("site.report", {
  params: { words: Schema.Array(Schema.Number), title: Schema.String },
  result: Schema.String
})
const send = Task.make("site.send", { params: { text: Schema.String, to: Schema.String }, result: Schema.String })

const Handlers = Layer.mergeAll(
  Tasks.handle(count, ({ page }) => Effect.succeed(page.split(" ").length)),
  Tasks.handle(report, ({ words, title }) =>
    Effect.succeed(`${title}: ${words.join(" + ")} = ${words.reduce((all, n) => all + n, 0)} words`)
  ),
  Tasks.handle(send, ({ text, to }) => Effect.succeed(`to ${to}: ${text}`))
)

const Live = Worker.layer({ queues: [Queue.make("celery")], concurrency: 4 }).pipe(
  Layer.provide(Handlers),
  Layer.provide(Tasks.layer),
  Layer.provideMerge(Client.layer),
  Layer.provide([MemoryBackend.layer, Connection.layer.pipe(Layer.provide(MemoryTransport.layer))])
)

const pages = ["one two three", "four five", "six"]

/** A string, says its type: what `send` gives. */
const workflow = Canvas.chain(
  Canvas.group(pages.map((page) => count.s({ page }))),
  report.partial({ title: "Today" }),
  send.partial({ to: "ann@example.org" })
)

export const program = Effect.gen(function* () {
  const sent = yield* Canvas.delay(workflow)
  yield* Console.log(yield* sent.get)
  const before = Option.getOrThrow(sent.parent)
  yield* Console.log(yield* before.get)
}).pipe(Effect.provide(Live))

if (import.meta.main) await Effect.runPromise(program)

// prints:
// to ann@example.org: Today: 3 + 2 + 1 = 6 words
// Today: 3 + 2 + 1 = 6 words
