/**
 * What the demo prints at its end: what was found, what it took, what went wrong, and what to try next.
 */
import { percentile, type Kind } from "./tally.ts"
import * as Terms from "./terms.ts"
import { bytes, clip, columns, duration, integer, plural, printable } from "./text.ts"

export interface Page {
  readonly name: string
  readonly bytes: number
  readonly words: number
  readonly terms: ReadonlyArray<Terms.Term>
}

export interface Findings {
  readonly pages: ReadonlyArray<Page>
  /** A line each for what did not work. */
  readonly failures: ReadonlyArray<string>
  readonly kinds: ReadonlyArray<Kind>
  /** How many runs `demo.flaky` took; nothing if it never succeeded. */
  readonly flakyRuns: number | undefined
  /** By how much `demo.reminder` missed its ETA, in milliseconds. */
  readonly late: number | undefined
  /** From the first send to the last result, in seconds. */
  readonly elapsed: number
}

export type Style = (kind: "title" | "dim" | "bad", text: string) => string

export const plain: Style = (_kind, text) => text

const escape = { title: "1", dim: "2", bad: "31" }

export const coloured: Style = (kind, text) => `\u001B[${escape[kind]}m${text}\u001B[0m`

const mostTerms = 10
const mostFiles = 5
const mostFailures = 4

/** Folds what the files sent back: of each its commonest words, so a word that is rare everywhere counts for less. */
export const fold = (
  pages: ReadonlyArray<Page>
): ReadonlyArray<readonly [term: string, count: number, files: number]> => {
  const counts = new Map<string, number>()
  const files = new Map<string, number>()
  for (const { terms } of pages) {
    for (const [term, count] of terms) {
      counts.set(term, (counts.get(term) ?? 0) + count)
      files.set(term, (files.get(term) ?? 0) + 1)
    }
  }
  return Terms.top(counts, mostTerms).map(([term, count]) => [term, count, files.get(term)!])
}

const table = (
  style: Style,
  align: ReadonlyArray<"left" | "right">,
  rows: ReadonlyArray<ReadonlyArray<string>>
): ReadonlyArray<string> => {
  const [head, ...body] = columns(rows, align)
  return ["", style("title", head!), ...body]
}

const termsOf = (pages: ReadonlyArray<Page>, style: Style): ReadonlyArray<string> => {
  const terms = fold(pages)
  return terms.length === 0
    ? []
    : table(
        style,
        ["right", "right", "left"],
        [
          ["Count", "Files", "Top terms"],
          ...terms.map(([term, count, files]) => [integer(count), integer(files), term])
        ]
      )
}

const filesOf = (pages: ReadonlyArray<Page>, style: Style, width: number): ReadonlyArray<string> =>
  pages.length === 0
    ? []
    : table(
        style,
        ["right", "right", "left"],
        [
          ["Size", "Words", "Largest files"],
          ...pages
            .toSorted((a, b) => b.bytes - a.bytes)
            .slice(0, mostFiles)
            .map((page) => [
              bytes(page.bytes),
              integer(page.words),
              clip(printable(page.name), Math.max(12, width - 18))
            ])
        ]
      )

const tasksOf = (kinds: ReadonlyArray<Kind>, style: Style): ReadonlyArray<string> => {
  const time = (kind: Kind, share: number): string => {
    const value = percentile(kind.runtimes, share)
    return value === undefined ? "-" : duration(value)
  }
  return table(
    style,
    ["left", "right", "right", "right", "right", "right", "right"],
    [
      ["Tasks", "sent", "succeeded", "retried", "failed", "p50 run", "p95 run"],
      ...kinds.map((kind) => [
        kind.name,
        integer(kind.sent),
        integer(kind.succeeded),
        integer(kind.retried),
        integer(kind.failed),
        time(kind, 0.5),
        time(kind, 0.95)
      ])
    ]
  )
}

const failuresOf = (failures: ReadonlyArray<string>, style: Style): ReadonlyArray<string> => {
  if (failures.length === 0) return []
  const more = failures.length - mostFailures
  return [
    "",
    style("bad", "Failed"),
    ...failures.slice(0, mostFailures).map(printable),
    ...(more > 0 ? [`and ${integer(more)} more`] : [])
  ]
}

const storiesOf = ({ flakyRuns, late }: Findings): ReadonlyArray<string> => [
  ...(flakyRuns === undefined
    ? []
    : [
        `demo.flaky failed ${plural(flakyRuns - 1, "time")}, was retried as its policy says, and succeeded at run ${flakyRuns}.`
      ]),
  ...(late === undefined ? [] : [`demo.reminder ran ${integer(late)} ms after its ETA.`])
]

/** `width`: how much a terminal shows in one line; names of files are shortened to fit. */
export const render = (
  findings: Findings,
  style: Style = plain,
  width = Number.POSITIVE_INFINITY
): ReadonlyArray<string> => {
  const total = findings.kinds.reduce((sum, { sent }) => sum + sent, 0)
  const size = findings.pages.reduce((sum, page) => sum + page.bytes, 0)
  return [
    ...termsOf(findings.pages, style),
    ...filesOf(findings.pages, style, width),
    ...tasksOf(findings.kinds, style),
    ...failuresOf(findings.failures, style),
    "",
    ...storiesOf(findings),
    `${plural(total, "task")} over ${bytes(size)} of text in ${duration(findings.elapsed)}.`,
    "",
    style("dim", "Next: index a folder of your own with `pnpm demo <folder>`, then read apps/demo/src/tasks.ts.")
  ]
}
