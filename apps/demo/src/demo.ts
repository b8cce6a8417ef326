/**
 * `demo [folder]`: worker, producer and monitor in one process, over one broker; on a queue of its own, for results are kept in here.
 */
import { Host } from "@apium/hub/Host"
import type { HubError } from "@apium/hub/HubError"
import type { AsyncResult } from "@apium/worker/client/AsyncResult"
import { Client } from "@apium/worker/client/Client"
import * as EventReceiver from "@apium/worker/events/EventReceiver"
import * as TerminalCapabilities from "effect/cli/TerminalCapabilities"
import * as Command from "effect/cli/Command"
import * as Clock from "effect/Clock"
import * as Console from "effect/Console"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import * as Terminal from "effect/Terminal"
import * as Broker from "./broker.ts"
import * as Corpus from "./corpus.ts"
import * as Outcomes from "./outcomes.ts"
import * as Producer from "./producer.ts"
import * as Progress from "./progress.ts"
import * as Queues from "./queues.ts"
import * as Report from "./report.ts"
import * as Tally from "./tally.ts"
import { integer, plural, printable } from "./text.ts"
import * as Worker from "./worker.ts"

const introduction = (corpus: Corpus.Corpus, broker: string): ReadonlyArray<string> => {
  const { folder, files, capped } = corpus
  const first = capped ? "the first " : ""
  const leftOut = Corpus.leftOut(corpus)
  return [
    files.length === 0
      ? `There are no text files in ${printable(folder)}: only demo.flaky and demo.reminder are sent, over ${broker}.`
      : `Indexing ${first}${plural(files.length, "text file")} of ${printable(folder)} with ${Worker.threads} threads over ${broker}.`,
    ...(leftOut === "" ? [] : [`Left out: ${leftOut}.`])
  ]
}

/** An event may come so long after what it tells of: within milliseconds, but on a machine that has much else to do. */
const late = "10 seconds"

/** Sends everything and waits for every result. A task that failed is a finding too. */
const work = Effect.fnUntraced(function* (corpus: Corpus.Corpus, eta: number, tally: Tally.Tally) {
  const begun = yield* Clock.currentTimeMillis
  const sent = yield* Producer.send(
    corpus.files.map(({ path }) => path),
    eta
  )
  tally.sent("demo.index", sent.pages.length)
  tally.sent("demo.flaky", 1)
  tally.sent("demo.reminder", 1)
  yield* Progress.show(tally)

  const failures: Array<string> = []
  const outcome = <A, E extends Error>(what: string, result: AsyncResult<A, E>): Effect.Effect<A | undefined> =>
    Effect.match(Outcomes.patient(result.get), {
      onSuccess: (value) => value,
      onFailure: (error) => {
        failures.push(`${what} ${error.message}`)
        return undefined
      }
    }).pipe(Effect.tap(Effect.ignore(result.forget)))

  const pages: Array<Report.Page> = []
  for (const [index, result] of sent.pages.entries()) {
    const { name } = corpus.files[index]!
    const page = yield* outcome(`demo.index ${name}:`, result)
    if (page !== undefined) pages.push({ name, ...page })
  }
  const flakyRuns = yield* outcome("demo.flaky:", sent.flaky)
  const reminded = yield* outcome("demo.reminder:", sent.reminder)
  const elapsed = ((yield* Clock.currentTimeMillis) - begun) / 1000
  // A result may be here before the event that says so, and events may be lost.
  yield* Effect.timeoutOption(
    tally.until(() => tally.done() === tally.total()),
    late
  )
  return { pages, failures, flakyRuns, late: reminded === undefined ? undefined : reminded - sent.due, elapsed }
}, Effect.scoped)

/** Around the worker's end, when Ctrl-C asks for it: what runs is finished, what waits goes back to the queue. */
const warmly = (tally: Tally.Tally) => {
  let finished = 0
  return {
    begin: Effect.suspend(() => {
      finished = tally.done()
      return Console.log("Stopping: what is in flight will be finished first.")
    }),
    end: Effect.gen(function* () {
      if (tally.total() === 0) return yield* Console.log("Stopped before anything was sent.")
      yield* Effect.timeoutOption(
        tally.until(() => tally.running() === 0),
        late
      )
      yield* Console.log(
        `Stopped warmly: ${integer(finished)} finished before, ${integer(tally.done() - finished)} in flight were ` +
          `finished, ${integer(tally.total() - tally.done())} given back to the queue.`
      )
    })
  }
}

/** One run of the demo: others may use the same broker meanwhile. */
const own = Effect.map(Host, ({ hostname }) => {
  const run = crypto.randomUUID()
  const queue = Queues.own(run)
  return { queue, nodename: `demo-${run.slice(0, 8)}@${hostname}` }
})

export const command = Command.make(
  "demo",
  { folder: Producer.folder, eta: Producer.eta },
  Effect.fnUntraced(
    function* ({ folder, eta }) {
      const corpus = yield* Corpus.read(folder)
      for (const line of introduction(corpus, yield* Broker.shown)) yield* Console.log(line)
      const tally = Tally.make()
      const stop = warmly(tally)
      const { nodename, queue } = yield* own
      const listening = yield* Deferred.make<void, HubError>()
      yield* EventReceiver.stream({ onReady: Effect.asVoid(Deferred.succeed(listening, undefined)) }).pipe(
        Stream.filter(({ hostname }) => hostname === nodename),
        Stream.runForEach((event) => Effect.sync(() => tally.record(event))),
        Effect.catch((error) => Deferred.fail(listening, error)),
        Effect.forkScoped({ startImmediately: true })
      )
      yield* Deferred.await(listening)
      const findings = yield* work(corpus, eta, tally).pipe(
        Effect.onInterrupt(() => stop.begin),
        Effect.provide(
          Layer.provideMerge(
            Worker.layer(queue, nodename),
            Client.layerWith({ queues: [queue], defaultQueue: queue.name })
          )
        ),
        Effect.onInterrupt(() => stop.end)
      )
      const { canColor } = yield* TerminalCapabilities.TerminalCapabilities
      const style = canColor ? Report.coloured : Report.plain
      // None where there is no terminal.
      const width = (yield* (yield* Terminal.Terminal).columns) || Number.POSITIVE_INFINITY
      yield* Console.log(Report.render({ ...findings, kinds: tally.kinds() }, style, width).join("\n"))
    },
    Effect.scoped,
    Effect.provide(Broker.layer)
  )
).pipe(
  Command.withDescription(
    "Index a folder of text: a worker, a thread pool, retries, an ETA and a monitor in one process"
  )
)
