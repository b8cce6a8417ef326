import * as Schedule from "@apium/worker/beat/Schedule"
import { assert, describe, it } from "@effect/vitest"
import { Duration, Result } from "effect"
import { format } from "effect/Formatter"
import captured from "./fixtures/crontab.json" with { type: "json" }

const minute = 60_000

/** The runs of a schedule between the fixture's two dates, each counted from the one before. */
const runs = (schedule: Schedule.Schedule): ReadonlyArray<Date> => {
  const end = new Date(captured.end)
  const found: Array<Date> = []
  let last = new Date(captured.start)
  for (;;) {
    const due = Schedule.next(schedule, last, last)
    if (due >= end) return found
    found.push(due)
    last = due
  }
}

/** As `fixtures/regenerate.py` writes them. */
const shortened = (dates: ReadonlyArray<Date>): string => {
  const gaps: Array<[gap: number, times: number]> = []
  for (let index = 1; index < dates.length; index++) {
    const gap = (dates[index]!.getTime() - dates[index - 1]!.getTime()) / minute
    const last = gaps.at(-1)
    if (last?.[0] === gap) last[1]++
    else gaps.push([gap, 1])
  }
  return gaps.map(([gap, times]) => `${gap}x${times}`).join(" ")
}

const refusal = (schedule: Schedule.Schedule): Schedule.ScheduleError => {
  const result = Schedule.validate(schedule)
  assert.isTrue(Result.isFailure(result), "the schedule was taken")
  return (result as Result.Failure<void, Schedule.ScheduleError>).failure
}

/** The first due times after a moment, in UTC. */
const from = (schedule: Schedule.Schedule, start: string, count: number): ReadonlyArray<string> => {
  const found: Array<string> = []
  for (let last = new Date(start); found.length < count; found.push(last.toISOString())) {
    last = Schedule.next(schedule, last, last)
  }
  return found
}

/** The fields below one, so that 70 runs get to all of its values. */
const seldom: Readonly<Record<string, Schedule.Fields>> = {
  hour: { minute: 0 },
  dayOfMonth: { minute: 0, hour: 0 },
  dayOfWeek: { minute: 0, hour: 0 },
  monthOfYear: { minute: 0, hour: 0, dayOfMonth: 1 }
}

describe("a crontab", () => {
  for (const { count, expression, first, runs: expected, timezone } of captured.schedules) {
    it(`is due when Celery ${captured.celery} says, in two years of ${timezone}: ${expression}`, () => {
      const dates = runs(Schedule.crontab(expression, { timezone }))
      assert.strictEqual(dates.length, count)
      assert.strictEqual(dates[0] === undefined ? null : dates[0].getTime() / minute, first)
      assert.strictEqual(shortened(dates), expected)
    })
  }

  for (const { field, text } of captured.fields.filter(({ values }) => values === null)) {
    it(`refuses what Celery refuses: ${field} "${text}"`, () => {
      const error = refusal(Schedule.crontab({ [field]: text }))
      assert.strictEqual(error.field, field)
      assert.strictEqual(error.found, text)
      assert.include(error.message, `${field} is "${text}", and takes numbers from `)
    })
  }

  for (const { field, text, values } of captured.fields.filter(({ values }) => values !== null)) {
    it(`reads what Celery reads: ${field} "${text}"`, () => {
      const start = "2027-01-31T23:59:00Z"
      const listed = from(Schedule.crontab({ ...seldom[field], [field]: values! }), start, 70)
      assert.deepStrictEqual(from(Schedule.crontab({ ...seldom[field], [field]: text }), start, 70), listed)
    })
  }

  it("says which field is wrong, and what it takes", () => {
    assert.strictEqual(
      refusal(Schedule.crontab({ dayOfWeek: "someday" })).message,
      'dayOfWeek is "someday", and takes numbers from 0 to 6 or names (sun is 0): "*", "0", "0-6", with a step "*/2", "0-6/2", or several with commas'
    )
    assert.strictEqual(
      refusal(Schedule.crontab("* * * * *", { timezone: "Europe/Atlantis" })).message,
      'timezone is "Europe/Atlantis", and takes a name like "Europe/Berlin"'
    )
  })

  for (const name of ["mo", "mond-fri", "monkey", "jan", "__proto__", "constructor"]) {
    const taken = name === "mond-fri"
    it(`${taken ? "takes" : "does not take"} "${name}" for a day of the week`, () => {
      assert.strictEqual(Result.isSuccess(Schedule.validate(Schedule.crontab({ dayOfWeek: name }))), taken)
    })
  }

  for (const minute of [Number.NaN, -1, 1.5, 60, Number.POSITIVE_INFINITY, []]) {
    it(`refuses a minute that is none, as a number: ${JSON.stringify(minute)} (${String(minute)})`, () => {
      assert.strictEqual(refusal(Schedule.crontab({ minute })).field, "minute")
    })
  }

  it("refuses an expression with a field too few, and with one too many", () => {
    assert.strictEqual(refusal(Schedule.crontab("0 0 * *")).field, "dayOfWeek")
    assert.strictEqual(refusal(Schedule.crontab("0 0 0 1 1 *")).found, "0")
    assert.strictEqual(refusal(Schedule.crontab("0 0 * * * 2027")).found, "* 2027")
    assert.strictEqual(refusal(Schedule.crontab("")).field, "minute")
  })

  it("reads an expression in the order of cron", () => {
    assert.deepStrictEqual(
      Schedule.crontab(" 1  2 3 4 5 "),
      Schedule.crontab({ minute: 1, hour: 2, dayOfMonth: 3, monthOfYear: 4, dayOfWeek: 5 })
    )
  })

  it("refuses days that never come, and waits for those that rarely do", () => {
    for (const never of ["0 0 31 2 *", "0 0 30-31 feb *", "0 0 31 2,4,6,9,11 *"]) {
      assert.strictEqual(refusal(Schedule.crontab(never)).allowed, "a day that at least one of the months has")
    }
    assert.deepStrictEqual(from(Schedule.crontab("0 0 29 2 mon"), "2072-03-01T00:00:00Z", 1), [
      "2112-02-29T00:00:00.000Z"
    ])
    assert.deepStrictEqual(from(Schedule.crontab("0 0 31 2,4,5 *"), "2026-01-01T00:00:00Z", 1), [
      "2026-05-31T00:00:00.000Z"
    ])
  })

  it("runs once on the days the clocks change, and at all", () => {
    const nightly = Schedule.crontab("30 2 * * *", { timezone: "Europe/Berlin" })
    assert.deepStrictEqual(from(nightly, "2026-03-28T12:00:00Z", 2), [
      "2026-03-29T01:30:00.000Z", // 3:30: there is no 2:30
      "2026-03-30T00:30:00.000Z"
    ])
    assert.deepStrictEqual(from(nightly, "2026-10-24T12:00:00Z", 2), [
      "2026-10-25T00:30:00.000Z", // the first 2:30 of two
      "2026-10-26T01:30:00.000Z"
    ])
  })

  it("is overdue since the first run that was missed", () => {
    const due = Schedule.next(
      Schedule.crontab("0 * * * *"),
      new Date("2026-01-01T09:30:00Z"),
      new Date("2026-01-02T00:00:00Z")
    )
    assert.strictEqual(due.toISOString(), "2026-01-01T10:00:00.000Z")
  })

  it("does not run again what has run, when the clock is set back", () => {
    const due = Schedule.next(
      Schedule.crontab("0 * * * *"),
      new Date("2026-01-01T09:00:00Z"),
      new Date("2026-01-01T08:59:59Z")
    )
    assert.strictEqual(due.toISOString(), "2026-01-01T10:00:00.000Z")
  })
})

describe("an interval", () => {
  const next = (schedule: Schedule.Schedule, last: string, now = last) =>
    Schedule.next(schedule, new Date(last), new Date(now)).toISOString()

  it("is due so long after the last run", () => {
    assert.strictEqual(next(Schedule.every("30 seconds"), "2026-01-01T10:00:07.250Z"), "2026-01-01T10:00:37.250Z")
    assert.strictEqual(
      next(Schedule.every("1 hour"), "2026-01-01T10:00:07Z", "2026-01-03T00:00:00Z"),
      "2026-01-01T11:00:07.000Z"
    )
  })

  it("never waits longer than itself, though the clock is set back", () => {
    assert.strictEqual(
      next(Schedule.every("1 minute"), "2026-01-02T10:00:00Z", "2026-01-01T10:00:00Z"),
      "2026-01-01T10:01:00.000Z"
    )
  })

  const relative = [
    ["2 days", "2026-01-03T00:00:00.000Z"],
    ["90 minutes", "2026-01-01T23:00:00.000Z"],
    ["90 seconds", "2026-01-01T22:16:00.000Z"],
    ["2500 millis", "2026-01-01T22:14:36.000Z"],
    ["250 millis", "2026-01-01T22:14:34.050Z"]
  ] as const
  for (const [interval, due] of relative) {
    it(`rounds down what is relative: ${interval}`, () => {
      assert.strictEqual(next(Schedule.every(interval, { relative: true }), "2026-01-01T22:14:33.800Z"), due)
    })
  }

  const bad = [
    "0 seconds",
    "-1 seconds",
    "NaN seconds",
    "36501 days",
    "Infinity",
    Duration.millis(Number.NaN),
    Duration.infinity,
    Duration.nanos(999_999n),
    { seconds: Number.NaN },
    5n
  ] as unknown as ReadonlyArray<Parameters<typeof Schedule.every>[0]>
  for (const runEvery of bad) {
    it(`refuses to be ${format(runEvery)}`, () => {
      const error = refusal(Schedule.every(runEvery))
      assert.strictEqual(error.field, "runEvery")
      assert.strictEqual(error.allowed, "a duration from 1 millisecond to 36500 days")
      assert.throws(() => Schedule.next(Schedule.every(runEvery), new Date(0), new Date(0)), error.message)
    })
  }
})
