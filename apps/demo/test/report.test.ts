import { assert, describe, it } from "@effect/vitest"
import * as Report from "#demo/report"
import { bytes, duration, printable } from "#demo/text"

const page = (name: string, terms: Report.Page["terms"], size = 10): Report.Page => ({
  name,
  bytes: size,
  words: 2,
  terms
})

const findings: Report.Findings = {
  pages: [
    page("a.md", [["stalk", 2]]),
    page(
      "b.md",
      [
        ["stalk", 3],
        ["leaf", 9]
      ],
      2048
    )
  ],
  failures: [],
  kinds: [{ name: "demo.index", sent: 1200, succeeded: 2, retried: 0, failed: 1, runtimes: [0.001, 0.2] }],
  flakyRuns: 3,
  late: 4,
  elapsed: 1.25
}

describe("the report", () => {
  it("folds the terms of all files, the commonest first", () => {
    assert.deepStrictEqual(Report.fold(findings.pages), [
      ["leaf", 9, 1],
      ["stalk", 5, 2]
    ])
  })

  it("orders equal terms by the alphabet", () => {
    const terms = Report.fold([
      page("a", [
        ["beta", 1],
        ["alpha", 1]
      ])
    ])
    assert.deepStrictEqual(
      terms.map(([term]) => term),
      ["alpha", "beta"]
    )
  })

  it("is made of aligned columns with units", () => {
    assert.deepStrictEqual(Report.render(findings), [
      "",
      "Count  Files  Top terms",
      "    9      1  leaf",
      "    5      2  stalk",
      "",
      "   Size  Words  Largest files",
      "2.0 KiB      2  b.md",
      "   10 B      2  a.md",
      "",
      "Tasks        sent  succeeded  retried  failed  p50 run  p95 run",
      "demo.index  1,200          2        0       1   1.0 ms   200 ms",
      "",
      "demo.flaky failed 2 times, was retried as its policy says, and succeeded at run 3.",
      "demo.reminder ran 4 ms after its ETA.",
      "1,200 tasks over 2.0 KiB of text in 1.3 s.",
      "",
      "Next: index a folder of your own with `pnpm demo <folder>`, then read apps/demo/src/tasks.ts."
    ])
  })

  it("keeps the end of a long path where a line is short", () => {
    const lines = Report.render({ ...findings, pages: [page("a/long/way/down.md", [])] }, Report.plain, 32)
    assert.include(lines, "10 B      2  …g/way/down.md")
  })

  it("leaves out what there is none of", () => {
    const text = Report.render({ ...findings, pages: [], kinds: [], flakyRuns: undefined, late: undefined }).join("\n")
    assert.notInclude(text, "Top terms")
    assert.notInclude(text, "Largest files")
    assert.notInclude(text, "demo.flaky")
    assert.notInclude(text, "demo.reminder")
  })

  it("shows a few failures, and how many more there are", () => {
    const failures = Array.from({ length: 6 }, (_, index) => `demo.index ${index}.txt: is not UTF-8 text`)
    const lines = Report.render({ ...findings, failures })
    assert.include(lines, "Failed")
    assert.include(lines, failures[3])
    assert.notInclude(lines, failures[4])
    assert.include(lines, "and 2 more")
  })

  it("stays short whatever it is about", () => {
    const words = Array.from({ length: 100 }, (_, index) => [`word${index}`, index] as const)
    const pages = Array.from({ length: 100 }, (_, index) => page(`${index}.md`, words))
    const failures = Array.from({ length: 100 }, (_, index) => `${index}`)
    assert.isAtMost(Report.render({ ...findings, pages, failures }).length, 36)
  })

  it("has colours only when asked for", () => {
    assert.notInclude(Report.render(findings).join(""), "\u001B")
    assert.include(Report.render(findings, Report.coloured).join(""), "\u001B[1m")
  })
})

describe("text for people", () => {
  it("has units", () => {
    assert.deepStrictEqual([0, 999, 1024, 10_240, 1_048_575, 1_048_576].map(bytes), [
      "0 B",
      "999 B",
      "1.0 KiB",
      "10 KiB",
      "1,024 KiB",
      "1.0 MiB"
    ])
    assert.deepStrictEqual(
      [0.000_123, 0.000_997, 0.0042, 0.009_97, 0.042, 0.9994, 0.9996, 1.25, 75, 120].map(duration),
      ["0.12 ms", "1.0 ms", "4.2 ms", "10 ms", "42 ms", "999 ms", "1.0 s", "1.3 s", "75.0 s", "120 s"]
    )
  })

  it("cannot move the cursor", () => {
    assert.strictEqual(printable("a\u001B[2J\r\nb\u202Ec é 空"), "a\u{FFFD}[2J\u{FFFD}\u{FFFD}b\u{FFFD}c é 空")
  })
})
