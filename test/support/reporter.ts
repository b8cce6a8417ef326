import type { Reporter } from "vitest/node"

/**
 * Closes a run with one line that people and machines read alike: `N passed, N failed, N skipped`.
 *
 * It is written when the process exits, so that it stays last when other reporters, or the coverage table, come later. What fails outside a
 * test counts as failed too: a file that does not load and an unhandled rejection would otherwise leave a clean line above a red exit code.
 */
export default class ClosingLine implements Reporter {
  readonly onTestRunEnd: NonNullable<Reporter["onTestRunEnd"]> = (modules, unhandledErrors) => {
    const count = { passed: 0, failed: unhandledErrors.length, skipped: 0, pending: 0 }
    for (const module of modules) {
      count.failed += module.errors().length
      for (const suite of module.children.allSuites()) count.failed += suite.errors().length
      for (const test of module.children.allTests()) count[test.result().state] += 1
    }
    process.once("exit", () => {
      process.stdout.write(`${count.passed} passed, ${count.failed} failed, ${count.skipped + count.pending} skipped\n`)
    })
  }
}
