import { ConnectionLost, HubError } from "@apium/hub/HubError"
import * as Beat from "@apium/worker/beat/Beat"
import * as Schedule from "@apium/worker/beat/Schedule"
import { Client, type SendOptions } from "@apium/worker/client/Client"
import * as Task from "@apium/worker/task/Task"
import { assert, describe, it } from "@effect/vitest"
import { Clock, Duration, Effect, Exit, Layer, Logger, Schema, Scope } from "effect"
import { TestClock } from "effect/testing"
import { bodyOf, takeAll, test as testInWorld } from "../support/World.ts"

const start = Date.parse("2026-03-01T00:00:00Z")

interface Sent {
  readonly at: string
  readonly task: string
  readonly options: SendOptions
}

/** What Beat asked for; `answer` says how a send ends. */
class Sends {
  readonly tried: Array<Sent> = []
  answer: (sent: Sent) => Effect.Effect<void, HubError> = () => Effect.void

  readonly #send = (task: string, options: SendOptions = {}): Effect.Effect<never, HubError> =>
    Effect.gen({ self: this }, function* () {
      const sent = { at: new Date(yield* Clock.currentTimeMillis).toISOString(), task, options }
      this.tried.push(sent)
      yield* this.answer(sent)
      return undefined as never
    })

  readonly layer = Layer.succeed(
    Client,
    Client.of({
      send: (task, _payload, options) => this.#send(task.name, options),
      sendAll: () => Effect.die("Beat sends one by one"),
      apply: () => Effect.die("Beat sends tasks"),
      restoreGroup: () => Effect.die("Beat sends, and asks for nothing"),
      sendTask: (name, _args, _kwargs, options) => this.#send(name, options)
    })
  )

  /** When a task was sent, or tried. */
  times(task?: string): ReadonlyArray<string> {
    return this.tried.filter((sent) => task === undefined || sent.task === task).map(({ at }) => at)
  }
}

const lost = Effect.fail(new HubError({ reason: new ConnectionLost({ cause: "closed", text: "gone" }) }))

const refresh = (schedule: Schedule.Schedule, more: Partial<Beat.EntryOptions> = {}) =>
  Beat.entryNamed("refresh", { task: "proj.refresh", schedule, ...more })

/** A test that starts on a Sunday at midnight. */
const test = <E>(name: string, body: (sends: Sends) => Effect.Effect<void, E, Scope.Scope>) =>
  it.effect(name, () =>
    Effect.scoped(
      Effect.andThen(
        TestClock.setTime(start),
        Effect.suspend(() => body(new Sends()))
      )
    )
  )

const run = (sends: Sends, entries: ReadonlyArray<Beat.Entry>, options: Omit<Beat.Options, "entries"> = {}) =>
  Effect.gen(function* () {
    const services = yield* Layer.build(Beat.layer({ entries, ...options }).pipe(Layer.provide(sends.layer)))
    return yield* Effect.provide(Beat.Beat, services)
  })

const clockLike = (clock: Clock.Clock, changes: Partial<Clock.Clock>): Clock.Clock =>
  Object.assign(Object.create(clock), changes)

describe("Beat", () => {
  test("sends an interval's task each time it has passed, for hours", (sends) =>
    Effect.gen(function* () {
      const beat = yield* run(sends, [refresh(Schedule.every("30 seconds"))])
      assert.deepStrictEqual(sends.tried, [])
      yield* TestClock.adjust("29999 millis")
      assert.deepStrictEqual(sends.tried, [])
      yield* TestClock.adjust("1 millis")
      assert.deepStrictEqual(sends.times(), ["2026-03-01T00:00:30.000Z"])
      yield* TestClock.adjust("6 hours")
      assert.strictEqual(sends.tried.length, 721)
      assert.strictEqual(new Set(sends.tried.map(({ options }) => options.taskId)).size, 721)
      const [state] = yield* beat.entries
      assert.deepStrictEqual(state, {
        name: "refresh",
        task: "proj.refresh",
        enabled: true,
        lastRunAt: new Date("2026-03-01T06:00:30Z"),
        totalRunCount: 721
      })
    }))

  test("sends a crontab's task by the clock on the wall, where clocks change too", (sends) =>
    Effect.gen(function* () {
      const nightly = Schedule.crontab("30 2 * * *", { timezone: "Europe/Berlin" })
      yield* run(sends, [refresh(nightly)], { maxInterval: "1 day" })
      yield* TestClock.setTime(Date.parse("2026-03-28T12:00:00Z"))
      sends.tried.length = 0
      yield* TestClock.adjust("2 days")
      assert.deepStrictEqual(sends.times(), ["2026-03-29T01:30:00.000Z", "2026-03-30T00:30:00.000Z"])
      yield* TestClock.setTime(Date.parse("2026-10-24T12:00:00Z"))
      sends.tried.length = 0
      yield* TestClock.adjust("2 days")
      assert.deepStrictEqual(sends.times(), ["2026-10-25T00:30:00.000Z", "2026-10-26T01:30:00.000Z"])
    }))

  test("sends all entries that are due at once, and the options of each", (sends) =>
    Effect.gen(function* () {
      const noon = Schedule.crontab("0 12 * * *")
      yield* run(sends, [
        Beat.entryNamed("a", { task: "proj.a", schedule: noon, options: { queue: "slow", priority: 3 } }),
        Beat.entryNamed("b", { task: "proj.b", schedule: Schedule.every("12 hours") }),
        Beat.entryNamed("a again", { task: "proj.a", schedule: noon })
      ])
      yield* TestClock.adjust("12 hours")
      assert.deepStrictEqual(sends.tried.map(({ task }) => task).toSorted(), ["proj.a", "proj.a", "proj.b"])
      assert.deepStrictEqual(new Set(sends.times()), new Set(["2026-03-01T12:00:00.000Z"]))
      const { taskId, ...options } = sends.tried.find(({ options }) => options.queue !== undefined)!.options
      assert.isString(taskId)
      assert.deepStrictEqual(options, { queue: "slow", priority: 3 })
    }))

  test("does not wait for one entry with another", (sends) =>
    Effect.gen(function* () {
      sends.answer = ({ task }) => (task === "proj.stuck" ? Effect.never : Effect.void)
      yield* run(sends, [
        Beat.entryNamed("stuck", { task: "proj.stuck", schedule: Schedule.every("1 second") }),
        refresh(Schedule.every("1 minute"))
      ])
      yield* TestClock.adjust("1 hour")
      assert.strictEqual(sends.times("proj.stuck").length, 1)
      assert.strictEqual(sends.times("proj.refresh").length, 60)
    }))

  test("tries again what could not be sent, less and less often, under the same id", (sends) =>
    Effect.gen(function* () {
      sends.answer = ({ task }) => (task === "proj.refresh" ? lost : Effect.void)
      const beat = yield* run(sends, [
        refresh(Schedule.crontab({ minute: 0 })),
        Beat.entryNamed("other", { task: "proj.other", schedule: Schedule.crontab({ minute: 0 }) })
      ])
      yield* TestClock.adjust("1 hour")
      yield* TestClock.adjust("10 minutes")
      const offsets = sends.times("proj.refresh").map((at) => (Date.parse(at) - start) / 1000 - 3600)
      assert.deepStrictEqual(offsets, [0, 1, 3, 7, 15, 31, 63, 123, 183, 243, 303, 363, 423, 483, 543])
      assert.deepStrictEqual(sends.times("proj.other"), ["2026-03-01T01:00:00.000Z"])
      assert.deepStrictEqual(
        (yield* beat.entries).map(({ totalRunCount }) => totalRunCount),
        [0, 1]
      )

      sends.answer = () => Effect.void
      yield* TestClock.adjust("1 minute")
      const ids = sends.tried.filter(({ task }) => task === "proj.refresh").map(({ options }) => options.taskId)
      assert.strictEqual(ids.length, 16)
      assert.strictEqual(new Set(ids).size, 1)
      const [state] = yield* beat.entries
      assert.deepStrictEqual([state!.totalRunCount, state!.lastRunAt.toISOString()], [1, "2026-03-01T01:10:03.000Z"])

      yield* TestClock.adjust("50 minutes")
      assert.strictEqual(sends.times("proj.refresh").at(-1), "2026-03-01T02:00:00.000Z")
      assert.notStrictEqual(sends.tried.at(-1)!.options.taskId, ids[0])
      assert.strictEqual(sends.times("proj.refresh").length, 17)
    }))

  test("survives a send that throws, and says so without the arguments", (sends) => {
    const lines: Array<string> = []
    const logger = Logger.make(({ logLevel, message }) => void lines.push(`${logLevel} ${JSON.stringify(message)}`))
    return Effect.gen(function* () {
      const refused = Schema.decodeUnknownEffect(Schema.Number)("s3cret").pipe(Effect.asVoid)
      const failures = [refused, Effect.die(new Error("a bug")), lost, Effect.interrupt]
      sends.answer = () => (failures.shift() ?? Effect.void) as Effect.Effect<void, HubError>
      yield* run(sends, [refresh(Schedule.every("1 minute"))])
      yield* TestClock.adjust("75 seconds")
      assert.deepStrictEqual(failures, [])
      assert.strictEqual(sends.tried.length, 5)
      const warnings = lines.filter((line) => line.startsWith("Warn"))
      assert.strictEqual(warnings.length, 4)
      assert.include(warnings[0], "The payload does not fit the parameters of the task")
      assert.include(warnings[1], "a bug")
      assert.include(warnings[2], "Connection lost")
      assert.include(warnings[2], '"entry":"refresh"')
      assert.include(warnings[2], '"retryIn":"4s"')
      assert.notInclude(lines.join(), "s3cret")
    }).pipe(Effect.provide(Logger.layer([logger])))
  })

  test("runs once what was missed before it started, if somebody remembers the last run", (sends) =>
    Effect.gen(function* () {
      const lastRunAt = new Date("2026-02-20T10:00:00Z")
      yield* run(sends, [
        Beat.entryNamed("hourly", { task: "proj.hourly", schedule: Schedule.crontab("0 * * * *"), lastRunAt }),
        Beat.entryNamed("often", { task: "proj.often", schedule: Schedule.every("1 minute"), lastRunAt }),
        Beat.entryNamed("new", { task: "proj.new", schedule: Schedule.crontab("0 * * * *") })
      ])
      yield* TestClock.adjust(0)
      assert.deepStrictEqual(sends.times(), ["2026-03-01T00:00:00.000Z", "2026-03-01T00:00:00.000Z"])
      yield* TestClock.adjust("1 hour")
      assert.strictEqual(sends.times("proj.hourly").length, 2)
      assert.strictEqual(sends.times("proj.often").length, 61)
      assert.strictEqual(sends.times("proj.new").length, 1)
    }))

  test("leaves out a crontab's run that was missed by more than the deadline", (sends) =>
    Effect.gen(function* () {
      const lastRunAt = new Date("2026-02-20T10:00:00Z")
      const entry = (name: string, expression: string) =>
        Beat.entryNamed(name, { task: name, schedule: Schedule.crontab(expression), lastRunAt })
      yield* run(
        sends,
        [
          entry("just in time", "55 * * * *"),
          entry("too late", "54 * * * *"),
          Beat.entryNamed("interval", { task: "interval", schedule: Schedule.every("3 days"), lastRunAt })
        ],
        { cronStartingDeadline: "5 minutes" }
      )
      yield* TestClock.adjust(0)
      assert.deepStrictEqual(sends.tried.map(({ task }) => task).toSorted(), ["interval", "just in time"])
      yield* TestClock.adjust("1 hour")
      assert.deepStrictEqual(sends.times("too late"), ["2026-03-01T00:54:00.000Z"])
    }))

  test("catches up once when the clock jumps ahead, and sends nothing twice when it is set back", (sends) =>
    Effect.gen(function* () {
      const clock = yield* Clock.Clock
      let ahead = 0
      const wall = clockLike(clock, { currentTimeMillis: Effect.map(clock.currentTimeMillis, (now) => now + ahead) })
      const stepWallClock = (by: Duration.Input) => Effect.sync(() => void (ahead += Duration.toMillis(by)))
      yield* run(sends, [
        Beat.entryNamed("cron", { task: "cron", schedule: Schedule.crontab("0 * * * *") }),
        Beat.entryNamed("interval", { task: "interval", schedule: Schedule.every("1 hour") })
      ]).pipe(Effect.provideService(Clock.Clock, wall))
      yield* TestClock.adjust("1 hour")
      assert.deepStrictEqual([sends.times("cron").length, sends.times("interval").length], [1, 1])

      yield* stepWallClock("3 days")
      yield* TestClock.adjust("5 minutes")
      assert.deepStrictEqual([sends.times("cron").length, sends.times("interval").length], [2, 2])

      yield* stepWallClock("-2 days")
      yield* TestClock.adjust("2 hours")
      assert.strictEqual(sends.times("cron").length, 2)
      assert.strictEqual(sends.times("interval").length, 3)
    }))

  test("never sends an entry that is disabled", (sends) =>
    Effect.gen(function* () {
      const lastRunAt = new Date(0)
      const beat = yield* run(sends, [refresh(Schedule.every("1 second"), { enabled: false, lastRunAt })])
      yield* TestClock.adjust("1 day")
      assert.deepStrictEqual(sends.tried, [])
      assert.deepStrictEqual(
        (yield* beat.entries).map(({ enabled }) => enabled),
        [false]
      )
    }))

  test("stops with its scope, in the middle of a send too", (sends) =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      let interrupted = 0
      sends.answer = () => Effect.onInterrupt(Effect.never, () => Effect.sync(() => void interrupted++))
      const schedule = Schedule.every("1 minute")
      yield* run(sends, [
        refresh(schedule),
        Beat.entryNamed("b", { task: "b", schedule: Schedule.every("1 hour") })
      ]).pipe(Scope.provide(scope))
      yield* TestClock.adjust("2 minutes")
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual(interrupted, 1)
      yield* TestClock.adjust("1 day")
      assert.strictEqual(sends.tried.length, 1)
    }))

  test("sleeps until the next run, and no longer than it may", (sends) =>
    Effect.gen(function* () {
      const sleeps: Array<number> = []
      const clock = yield* Clock.Clock
      const counting = clockLike(clock, {
        sleep: (duration) => {
          sleeps.push(Duration.toMillis(duration))
          return clock.sleep(duration)
        }
      })
      yield* run(sends, [refresh(Schedule.every("25 minutes"))], { maxInterval: "10 minutes" }).pipe(
        Effect.provideService(Clock.Clock, counting)
      )
      yield* TestClock.adjust("26 minutes")
      assert.deepStrictEqual(sleeps, [600_000, 600_000, 300_000, 600_000])
    }))

  const good = refresh(Schedule.every("1 second"))
  const refusals: ReadonlyArray<readonly [what: string, options: Beat.Options, message: string]> = [
    [
      "two entries of one name",
      { entries: [good, good] },
      'Beat: entry "refresh", name is "refresh", and takes a name that no other entry has'
    ],
    [
      "an interval of nothing",
      { entries: [refresh(Schedule.every("0 seconds"))] },
      'runEvery is "0 seconds", and takes a duration from 1 millisecond'
    ],
    [
      "an interval below nothing",
      { entries: [refresh(Schedule.every("-1 seconds"))] },
      'entry "refresh", runEvery is "-1 seconds"'
    ],
    [
      "an interval that is none",
      { entries: [refresh(Schedule.every(Duration.millis(Number.NaN)))] },
      'entry "refresh", runEvery is'
    ],
    [
      "a wrong field",
      { entries: [refresh(Schedule.crontab({ hour: 24 }))] },
      'entry "refresh", hour is "24", and takes numbers from 0 to 23'
    ],
    [
      "the 31st of February",
      { entries: [refresh(Schedule.crontab("0 0 31 2 *"))] },
      "a day that at least one of the months has"
    ],
    [
      "a last run at no time",
      { entries: [{ ...good, lastRunAt: new Date(Number.NaN) }] },
      'lastRunAt is "Invalid Date", and takes a time'
    ],
    [
      "a disabled entry that is wrong",
      { entries: [refresh(Schedule.crontab("x"), { enabled: false })] },
      'minute is "x"'
    ],
    [
      "a sleep of nothing",
      { entries: [], maxInterval: "0 seconds" },
      'Beat: maxInterval is "0 seconds", and takes a duration from 1 millis to 1 day'
    ],
    ["a deadline that nothing can keep", { entries: [], cronStartingDeadline: "5 millis" }, "a duration from 1 second"]
  ]
  for (const [what, options, message] of refusals) {
    test(`does not start with ${what}`, (sends) =>
      Effect.gen(function* () {
        const error = yield* Effect.flip(Layer.build(Beat.layer(options).pipe(Layer.provide(sends.layer))))
        assert.strictEqual(error._tag, "BeatError")
        assert.include(error.message, message)
      }))
  }
})

describe("Beat on a broker", () => {
  const cleanUp = Task.make("proj.clean_up", { params: { olderThan: Schema.Number }, queue: "nightly" })

  testInWorld(
    "sends typed tasks and plain names as a client does",
    Effect.gen(function* () {
      yield* TestClock.setTime(start)
      const schedule = Schedule.crontab("0 4 * * *")
      yield* Layer.build(
        Beat.layer({
          entries: [
            Beat.entry("clean up", {
              task: cleanUp,
              payload: { olderThan: 30 },
              schedule,
              options: { expires: "1 hour" }
            }),
            Beat.entryNamed("refresh", { task: "proj.refresh", args: [1], kwargs: { deep: true }, schedule })
          ]
        })
      )
      yield* TestClock.adjust("4 hours")
      const [typed, ...more] = yield* takeAll("nightly")
      const [named, ...others] = yield* takeAll("celery")
      assert.deepStrictEqual([more, others], [[], []])
      assert.strictEqual(typed!.message.headers.task, "proj.clean_up")
      assert.strictEqual(typed!.message.headers.expires, "2026-03-01T05:00:00+00:00")
      assert.strictEqual(typed!.message.headers.eta, null)
      assert.deepStrictEqual(((yield* bodyOf(typed!)) as Array<unknown>).slice(0, 2), [[], { olderThan: 30 }])
      assert.strictEqual(named!.message.headers.task, "proj.refresh")
      assert.deepStrictEqual(((yield* bodyOf(named!)) as Array<unknown>).slice(0, 2), [[1], { deep: true }])
    })
  )

  const misused = (schedule: Schedule.Schedule) => [
    // @ts-expect-error: the payload is the task's
    Beat.entry("a", { task: cleanUp, payload: { olderThan: "30" }, schedule }),
    // @ts-expect-error: an eta is right only once
    Beat.entry("b", { task: cleanUp, payload: { olderThan: 30 }, schedule, options: { eta: new Date(0) } })
  ]
  void misused
})
