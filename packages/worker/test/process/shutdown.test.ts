import { assert, layer } from "@effect/vitest"
import { Context, Effect, Layer, type Scope } from "effect"
import { random } from "../../../protocol/test/support/Random.ts"
import * as Program from "../../../../test/support/Program.ts"
import { times } from "../../../../test/support/Times.ts"
import type { Books, Script } from "./Books.ts"

/** The worker, bundled. */
class Bundle extends Context.Service<Bundle, string>()("test/Bundle") {
  static readonly layer = Layer.effect(Bundle, Program.bundle("packages/worker/test/process/program.ts"))
}

const many = times(20, 30, 200)

const start = (
  script: Script,
  env: Readonly<Record<string, string>> = {}
): Effect.Effect<Program.Program, never, Bundle | Scope.Scope> =>
  Effect.flatMap(Bundle, (file) => Program.start(file, { args: [JSON.stringify(script)], env }))

const booksOf = ({ last }: Program.Ended): Books => JSON.parse(last) as Books

/** Every task that was sent has had its effect once, or is in the queue. */
const addsUp = (books: Books, message: string) => {
  assert.deepStrictEqual(books.lost, [], message)
  assert.deepStrictEqual([books.dup, books.unknown, books.unsettled], [0, [], 0], message)
  assert.strictEqual(books.sent, books.finished + books.givenBack, message)
}

const sleep = (milliseconds: number) => Effect.sleep(milliseconds)

const percentile = (values: ReadonlyArray<number>, share: number) =>
  Math.round(values.toSorted((one, other) => one - other)[Math.floor((values.length - 1) * share)] ?? 0)

layer(Bundle.layer, { excludeTestServices: true })("a worker process", (it) => {
  it.effect(
    `${many} SIGTERMs at random moments under load: the books add up, and nothing begins after the signal`,
    () =>
      Effect.gen(function* () {
        const runs = yield* Effect.forEach(
          Array.from({ length: many }, (_, index) => index + 1),
          (seed) =>
            Effect.gen(function* () {
              const r = random(seed)
              // Some acknowledge early, and some take only what they can begin.
              const worker = yield* start({
                seed,
                flow: true,
                early: r.pick([0, 0.3]),
                fetch: r.pick(["prefetch", "exact"])
              })
              yield* worker.line("ready")
              yield* sleep(r.below(250))
              yield* worker.signal("SIGTERM")
              const ended = yield* worker.ended
              assert.strictEqual(ended.code, 0, `seed ${seed}: ${ended.stderr}${ended.lines.join("\n")}`)
              const books = booksOf(ended)
              addsUp(books, `seed ${seed}`)
              assert.deepStrictEqual([books.startedAfterSignal, books.interrupted], [[], []], `seed ${seed}`)
              // What was held and not begun is no delivery the more.
              assert.strictEqual(books.counted, 0, `seed ${seed}`)
              return books
            }).pipe(Effect.scoped),
          { concurrency: 2 }
        )
        const sum = (of: (books: Books) => number) => runs.reduce((total, books) => total + of(books), 0)
        const beyond = runs.map(({ took, longest }) => took - longest)
        // RELIABILITY A5, on a machine with other things to do: half of them say what the worker takes, all of them that none hangs.
        assert.isAtMost(percentile(beyond, times(0.5, 0.5, 0.95)), 1000)
        assert.isAtMost(percentile(beyond, 1), 30_000)
        console.log(
          [
            `${many} SIGTERMs: lost=${sum(({ lost }) => lost.length)} dup=${sum(({ dup }) => dup)} n=${sum(({ sent }) => sent)}`,
            `finished=${sum(({ finished }) => finished)} given back=${sum(({ givenBack }) => givenBack)}`,
            `started after the signal=${sum(({ startedAfterSignal }) => startedAfterSignal.length)}`,
            `exit beyond the longest task, ms: p50=${percentile(beyond, 0.5)} p95=${percentile(beyond, 0.95)} max=${percentile(beyond, 1)}`
          ].join(" ")
        )
      }),
    600_000
  )

  /** Runs a worker until tasks run, does this to it, and waits for its end. */
  const ending = (
    script: Script,
    signals: (worker: Program.Program) => Effect.Effect<unknown, Program.Unsaid>
  ): Effect.Effect<{ readonly ended: Program.Ended; readonly books: Books }, Program.Unsaid, Bundle> =>
    Effect.gen(function* () {
      const worker = yield* start(script)
      yield* worker.line("begun")
      yield* signals(worker)
      const ended = yield* worker.ended
      return { ended, books: booksOf(ended) }
    }).pipe(Effect.scoped)

  const said = ({ lines }: Program.Ended, text: string) => lines.filter((line) => line.includes(text)).length

  /** Eight of 20 tasks run, and would for ten minutes: who waited for one of them is out of time. */
  const long: Script = { tasks: 20, wait: [600_000, 600_000] }

  /** Eight of 20 tasks run until the signal has come, and a moment longer. */
  const held: Script = { tasks: 20, wait: [100, 100], held: true }

  /** What nobody waited ten minutes for, on a machine with other things to do. In milliseconds. */
  const soon = 60_000

  it.effect.each(["SIGTERM", "SIGINT", "SIGHUP"] as const)(
    "%s is warm: what runs is finished, the rest goes back",
    (signal) =>
      Effect.gen(function* () {
        const { ended, books } = yield* ending(held, (worker) => worker.signal(signal))
        assert.strictEqual(ended.code, 0)
        addsUp(books, signal)
        assert.deepStrictEqual([books.finished, books.givenBack, books.counted], [8, 12, 0])
        assert.strictEqual(said(ended, "Warm shutdown"), 1)
      })
  )

  it.effect("a SIGTERM that comes again while it finishes changes nothing", () =>
    Effect.gen(function* () {
      const { ended, books } = yield* ending({ ...held, wait: [1000, 1000] }, (worker) =>
        Effect.gen(function* () {
          yield* worker.signal("SIGTERM")
          yield* worker.line("Warm shutdown")
          yield* worker.signal("SIGTERM")
          yield* sleep(20)
          yield* worker.signal("SIGTERM")
        })
      )
      assert.strictEqual(ended.code, 0)
      addsUp(books, "")
      assert.deepStrictEqual([books.finished, books.interrupted.length], [8, 0])
    })
  )

  it.effect("a supervisor that repeats its SIGTERM when the worker is through does not make a failure of it", () =>
    Effect.gen(function* () {
      // What the program leaves running keeps the process for another second, which is when these come.
      const { ended, books } = yield* ending({ tasks: 20, wait: [50, 50], lingers: 600_000 }, (worker) =>
        Effect.repeat(Effect.andThen(worker.signal("SIGTERM"), sleep(10)), { times: 40 })
      )
      assert.deepStrictEqual([ended.code, ended.signal], [0, null])
      // On a machine that is slow to send the first signal, the next eight have begun.
      assert.isAtLeast(books.finished, 8)
      addsUp(books, "")
    })
  )

  it.effect("what a program leaves running does not keep the process for longer than a second", () =>
    Effect.gen(function* () {
      const { ended, books } = yield* ending({ tasks: 8, wait: [0, 0], lingers: 600_000 }, (worker) =>
        worker.signal("SIGTERM")
      )
      assert.strictEqual(ended.code, 0)
      assert.isBelow(books.took, soon)
    })
  )

  it.effect("remote control ends it as a SIGTERM does", () =>
    Effect.gen(function* () {
      const { ended, books } = yield* ending({ ...held, remote: true }, () => Effect.void)
      assert.deepStrictEqual([ended.code, said(ended, "Warm shutdown"), books.finished], [0, 1, 8])
      addsUp(books, "")
    })
  )

  it.effect("a worker that cannot start ends with 1, and says why", () =>
    Effect.gen(function* () {
      const worker = yield* start({ tasks: 20, fails: "no broker today" })
      const ended = yield* worker.ended
      assert.strictEqual(ended.code, 1)
      assert.strictEqual(said(ended, "The worker could not run"), 1)
      assert.isAbove(said(ended, "no broker today"), 0)
      assert.strictEqual(booksOf(ended).started, 0)
    })
  )

  it.effect("the second SIGINT interrupts what runs: it is back in the queue, and its finalizers have run", () =>
    Effect.gen(function* () {
      const { ended, books } = yield* ending(long, (worker) =>
        Effect.gen(function* () {
          yield* worker.signal("SIGINT")
          yield* worker.line("Warm shutdown")
          yield* worker.signal("SIGINT")
        })
      )
      assert.strictEqual(ended.code, 1)
      addsUp(books, "")
      assert.deepStrictEqual([books.finished, books.interrupted.length, books.givenBack], [0, 8, 20])
      assert.deepStrictEqual(books.finalizers, { opened: 8, closed: 8 })
      assert.isBelow(books.took, soon)
    })
  )

  it.effect("the third SIGINT ends a process whose tasks do not let themselves be interrupted", () =>
    Effect.gen(function* () {
      const { ended, books } = yield* ending({ ...long, stubborn: true }, (worker) =>
        Effect.gen(function* () {
          yield* worker.signal("SIGINT")
          yield* worker.line("Warm shutdown")
          yield* worker.signal("SIGINT")
          yield* worker.line("Cold shutdown")
          yield* worker.signal("SIGINT")
        })
      )
      assert.strictEqual(ended.code, 1)
      assert.strictEqual(said(ended, "Hard shutdown"), 1)
      assert.deepStrictEqual([books.finished, books.interrupted.length], [0, 0])
      assert.isBelow(books.took, soon)
    })
  )

  it.effect("a SIGQUIT ends a process with tasks that cannot be interrupted, and their messages are back", () =>
    Effect.gen(function* () {
      const { ended, books } = yield* ending({ ...long, stubborn: true }, (worker) => worker.signal("SIGQUIT"))
      assert.strictEqual(ended.code, 1)
      assert.deepStrictEqual([books.finished, books.givenBack, books.unsettled], [0, 20, 0])
      assert.strictEqual(said(ended, "and was abandoned"), 8)
      // The 5 s a handler has to end in, the second that what it left behind may keep the process, and other things to do.
      assert.isBelow(books.took, soon)
    })
  )

  it.effect(
    "a SIGQUIT gives back every task that acknowledges late, and says exactly which of the others are lost",
    () =>
      Effect.gen(function* () {
        const { ended, books } = yield* ending({ ...long, tasks: 60, early: 0.5, concurrency: 20, seed: 7 }, (worker) =>
          worker.signal("SIGQUIT")
        )
        assert.strictEqual(ended.code, 1)
        const reported = ended.lines.flatMap((line, index) =>
          line.includes("acknowledged early was interrupted, and is lost")
            ? (/[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/.exec(ended.lines.slice(index).join("\n")) ?? [])
            : []
        )
        assert.isAbove(books.lost.length, 0)
        assert.sameMembers(reported, [...books.lost])
        assert.deepStrictEqual([books.interrupted.length, books.dup, books.unsettled], [20, 0, 0])
        assert.strictEqual(books.givenBack, books.sent - books.lost.length)
        assert.deepStrictEqual(books.finalizers, { opened: 20, closed: 20 })
      })
  )

  it.effect("with a soft timeout a SIGQUIT lets finish what can in that time, and interrupts the rest", () =>
    Effect.gen(function* () {
      const { ended, books } = yield* ending(
        { tasks: 200, waits: [0, 600_000], held: true, softTimeout: 3000, concurrency: 40, seed: 3 },
        (worker) => worker.signal("SIGQUIT")
      )
      assert.strictEqual(ended.code, 1)
      addsUp(books, "")
      assert.deepStrictEqual([said(ended, "Soft shutdown"), said(ended, "Cold shutdown")], [1, 1])
      assert.isAbove(books.finished, 0)
      assert.isAbove(books.interrupted.length, 0)
      assert.isAtLeast(books.took, 2990)
      assert.isBelow(books.took, soon)
    })
  )

  it.effect("a soft shutdown that is through in time was no cold one", () =>
    Effect.gen(function* () {
      const { ended, books } = yield* ending({ ...held, softTimeout: 600_000 }, (worker) => worker.signal("SIGQUIT"))
      assert.strictEqual(ended.code, 0)
      addsUp(books, "")
      assert.deepStrictEqual([books.finished, books.interrupted.length], [8, 0])
    })
  )

  it.effect("a SIGTERM that is mapped to SIGQUIT interrupts at once", () =>
    Effect.gen(function* () {
      const { ended, books } = yield* ending({ ...long, remapSigterm: "SIGQUIT" }, (worker) => worker.signal("SIGTERM"))
      assert.strictEqual(ended.code, 1)
      addsUp(books, "")
      assert.deepStrictEqual([books.interrupted.length, books.givenBack], [8, 20])
    })
  )

  it.effect("a signal while it starts ends the start, and no task is touched", () =>
    Effect.gen(function* () {
      const runs = yield* Effect.forEach(
        Array.from({ length: 10 }, (_, seed) => seed),
        (seed) =>
          Effect.gen(function* () {
            const worker = yield* start({ tasks: 20, startup: 600_000 })
            yield* worker.line("loaded")
            yield* sleep(random(seed).below(30))
            yield* worker.signal("SIGTERM")
            return yield* worker.ended
          }).pipe(Effect.scoped),
        { concurrency: 2 }
      )
      for (const ended of runs) {
        const books = booksOf(ended)
        assert.deepStrictEqual([ended.code, books.started, books.givenBack], [0, 0, 20])
        assert.isBelow(books.took, soon)
      }
    })
  )

  it.effect("a SIGQUIT while tasks run and the worker is not ready interrupts them", () =>
    Effect.gen(function* () {
      // A step after the one that takes tasks does not come to an end.
      const { ended, books } = yield* ending({ ...long, unready: true }, (worker) => worker.signal("SIGQUIT"))
      assert.deepStrictEqual([ended.code, said(ended, "ready")], [1, 0])
      addsUp(books, "")
      assert.deepStrictEqual([books.interrupted.length, books.givenBack], [8, 20])
      assert.isBelow(books.took, soon)
    })
  )

  it.effect("a signal in the moment the worker is ready is not missed", () =>
    Effect.gen(function* () {
      // The start takes as long as the signal does: some come before it is through, some after.
      const runs = yield* Effect.forEach(
        Array.from({ length: 20 }, (_, index) => index),
        (startup) =>
          Effect.gen(function* () {
            const worker = yield* start({ tasks: 20, wait: [0, 5], startup })
            yield* worker.line("loaded")
            yield* sleep(10)
            yield* worker.signal("SIGTERM")
            return yield* worker.ended
          }).pipe(Effect.scoped),
        { concurrency: 2 }
      )
      for (const ended of runs) {
        assert.strictEqual(ended.code, 0)
        addsUp(booksOf(ended), "")
      }
    })
  )

  it.effect(
    "without acknowledgements a SIGTERM runs or sends back what was received, and a SIGQUIT loses what runs",
    () =>
      Effect.gen(function* () {
        for (const signal of ["SIGTERM", "SIGQUIT"] as const) {
          const { books } = yield* ending(
            { tasks: 100, wait: [50, 100], eta: 100, profile: "fast", delay: "worker" },
            (worker) => worker.signal(signal)
          )
          assert.sameMembers([...books.lost], signal === "SIGTERM" ? [] : [...books.interrupted])
          assert.deepStrictEqual([books.dup, books.unknown], [0, []])
          assert.strictEqual(books.sent, books.finished + books.givenBack + books.lost.length)
        }
      })
  )

  it.effect.each([
    ["the broker keeps", undefined],
    ["the worker holds", "worker"]
  ] as const)("10,000 tasks due in 60 days, which %s: none has begun, and a SIGTERM leaves all of them", ([, delay]) =>
    Effect.gen(function* () {
      const { ended, books } = yield* ending({ tasks: 8, wait: [0, 0], eta: 10_000, delay }, (worker) =>
        // Long enough for a timer of more than 2^31 ms to go off: Node.js runs such a one after 1 ms.
        sleep(300).pipe(Effect.andThen(worker.signal("SIGTERM")))
      )
      assert.strictEqual(ended.code, 0)
      addsUp(books, "")
      assert.deepStrictEqual([books.finished, books.givenBack, books.counted], [8, 10_000, 0])
      if (delay === "worker") assert.isAtLeast(books.mostUnsettled, 10_000)
      console.log(`10,000 tasks that are not due: the exit took ${Math.round(books.took)} ms`)
      assert.isBelow(books.took, soon)
    })
  )

  it.effect.each([
    ["after-accept", 4],
    ["after-run", 5],
    ["after-result-store", 5],
    ["after-ack", 5]
  ] as const)("dies where APIUM_FAILPOINT says: %s, the fifth time", ([step, finished]) =>
    Effect.gen(function* () {
      const worker = yield* start(
        { tasks: 20, wait: [0, 5], concurrency: 1, aloud: true },
        { APIUM_FAILPOINT: `${step}:5` }
      )
      const ended = yield* worker.ended
      assert.deepStrictEqual([ended.signal, said(ended, "finished ")], ["SIGKILL", finished])
    })
  )
})
