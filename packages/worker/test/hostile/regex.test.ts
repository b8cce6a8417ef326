/**
 * Every regular expression of the protocol, the hub and the worker, through what uses it, on 100 kB that were made to make it
 * go back and try again. What is quadratic takes 5 to 60 s here, and what is linear a few milliseconds.
 */
import * as Routing from "@apium/hub/virtual/Routing"
import * as PythonRepr from "@apium/protocol/celery/PythonRepr"
import * as TaskMessage from "@apium/protocol/celery/TaskMessage"
import * as IsoTime from "@apium/protocol/kombu/IsoTime"
import * as Json from "@apium/protocol/kombu/Json"
import * as MailboxMessage from "@apium/protocol/kombu/MailboxMessage"
import { yaml } from "@apium/protocol/kombu/Yaml"
import * as Schedule from "@apium/worker/beat/Schedule"
import { signum } from "@apium/worker/execution/Signum"
import * as RateLimit from "@apium/worker/execution/RateLimit"
import { assert, describe, it } from "@effect/vitest"

const size = 100_000
const times = (text: string) => text.repeat(Math.ceil(size / text.length)).slice(0, size)

/** Long runs of everything that some pattern repeats, whole and with an end that fits nowhere. */
const hostile = [
  " ",
  "\n",
  "\t",
  "\r",
  "\u00a0",
  "0",
  "9",
  "a",
  "Z",
  "-",
  "- ",
  "\n- ",
  "\n- 1e3",
  "+",
  ".",
  ":",
  "e",
  "1e",
  "/",
  "*",
  "#",
  "[",
  "{",
  `"`,
  "'",
  "''",
  "\\",
  "\\\\",
  `\\"`,
  "_",
  "$",
  "%",
  "\u0000",
  "\ud800",
  "\ud83d\ude00",
  "T",
  "SIG",
  "1 ",
  " 1",
  "a ",
  "a: ",
  "a.",
  "*.",
  "#.",
  "NaN",
  "-Infinity",
  "[a]",
  "[!",
  "?",
  "1,",
  "1-"
].map(times)

const variants = hostile.flatMap((text) => [
  text,
  `${text}\u0001`,
  `1${text}x`,
  `a${text}x`,
  `2026-01-01T00:00:00${text}x`
])

const typed = (type: string) => (text: string) => Json.parse(JSON.stringify({ __type__: type, __value__: text }))

const encoder = new TextEncoder()

const functions: Readonly<Record<string, (text: string) => unknown>> = {
  "RateLimit.parse": (text) => RateLimit.parse(text),
  "PythonRepr.repr": (text) => PythonRepr.repr({ [text]: text }),
  "PythonRepr.safeRepr": (text) => PythonRepr.safeRepr([text, Number(text)]),
  "PythonRepr.exceptionRepr": (text) => PythonRepr.exceptionRepr(text, [text]),
  "Json.parse": (text) => Json.parse(text),
  "Json.parse of a list": (text) => Json.parse(`[${text}`),
  "Json.parse of a text": (text) => Json.parse(JSON.stringify(text)),
  "Json.stringify": (text) => Json.stringify({ [text]: { [text]: () => 1 } }),
  datetime: typed("datetime"),
  date: typed("date"),
  time: typed("time"),
  decimal: typed("decimal"),
  uuid: (text) => Json.parse(JSON.stringify({ __type__: "uuid", __value__: { hex: text } })),
  base64: typed("base64"),
  // Effect's parser takes 7 s for 100,000 digits that are no number; what is ours about YAML is its structure.
  yaml: (text) => (/\d{20}/.test(text) ? undefined : yaml.decode(encoder.encode(text))),
  "yaml of a list in a line": (text) => (/\d{20}/.test(text) ? undefined : yaml.decode(encoder.encode(`["${text}`))),
  "IsoTime.parse": IsoTime.parse,
  "TaskMessage.parseEta": TaskMessage.parseEta,
  "MailboxMessage.matches of a pattern": (text) =>
    MailboxMessage.matches({ destination: null, pattern: text, matcher: "pcre" }, "celery@host"),
  "MailboxMessage.matchesGlob": (text) => MailboxMessage.matchesGlob(text, "celery@host"),
  "MailboxMessage.matchesGlob of a long name": (text) => MailboxMessage.matchesGlob("*a*b?[a-z]*c", text),
  "Routing.topicMatches": (text) => Routing.topicMatches(text, "task.sent"),
  "Routing.topicMatches of a long key": (text) => Routing.topicMatches("#.a.*.#.b.#", text),
  "Schedule.crontab": (text) => Schedule.validate(Schedule.crontab(text)),
  "Schedule.crontab of a minute": (text) => Schedule.validate(Schedule.crontab({ minute: text })),
  signum
}

/** Milliseconds of the processor's time, for the machine has other things to do, too; of up to ten runs: what is slow is slow each time. */
const least = (run: () => unknown): number => {
  let millis = Number.POSITIVE_INFINITY
  for (let times = 0; times < 10 && millis >= bound; times++) {
    const began = process.cpuUsage()
    try {
      run()
    } catch {
      // A refusal is an end, too.
    }
    const { system, user } = process.cpuUsage(began)
    millis = Math.min(millis, (system + user) / 1000)
  }
  return millis
}

const bound = 1000

/** What it does with them is tested where it is at home; here only that it comes to an end. */
const slowest = (run: (text: string) => unknown) => {
  let worst = { millis: 0, text: "" }
  for (const text of variants) {
    const millis = least(() => run(text))
    if (millis > worst.millis)
      worst = { millis, text: `${JSON.stringify(text.slice(0, 24))}... ends with ${JSON.stringify(text.slice(-2))}` }
  }
  return worst
}

describe("100 kB of anything take no time to speak of", () => {
  for (const [name, run] of Object.entries(functions)) {
    it(`${name} comes to an end`, () => {
      const { millis, text } = slowest(run)
      assert.isBelow(millis, bound, text)
    })
  }
})
