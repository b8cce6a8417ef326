import { assert, describe, it } from "@effect/vitest"
import * as Replies from "@apium/cli/Replies"
import { Effect } from "effect"
import { hostname } from "node:os"
import { apium, fixture } from "./support/Cli.ts"

const app = ["-A", fixture("tasks")]

const lines = (text: string) => text.split("\n")

describe("apium inspect", () => {
  it.effect("prints answers in Celery's layout, and how many there were", () =>
    Effect.gen(function* () {
      const { code, stderr, stdout } = yield* apium(["inspect", "ping", ...app])
      assert.strictEqual(code, 0)
      assert.strictEqual(stderr, "")
      assert.match(stdout, /^->  celery@\S+: OK\n {8}pong\n\n1 node online\.\n$/)
    })
  )

  it.effect("prints one object of all answers with -j", () =>
    Effect.gen(function* () {
      const { stdout } = yield* apium(["inspect", "registered", "-j", ...app])
      const [names] = Object.values(JSON.parse(stdout) as Record<string, ReadonlyArray<string>>)
      assert.include(names!, "proj.add")
    })
  )

  it.effect("takes its flags before the question and behind it, and those of all commands as Celery has them", () =>
    Effect.gen(function* () {
      for (const args of [
        [...app, "inspect", "-j", "ping"],
        ["inspect", "ping", "-j", ...app],
        ["inspect", "--json", ...app, "ping"]
      ]) {
        assert.match((yield* apium(args)).stdout, /^\{".*":\{"ok":"pong"\}\}\n$/)
      }
    })
  )

  it.effect.each([
    ["active", /- empty -/],
    ["reserved", /- empty -/],
    ["scheduled", /- empty -/],
    ["revoked", /- empty -/],
    ["registered", /\* proj\.add/],
    ["active_queues", /\* \{'name': 'celery'/],
    ["clock", /"clock": \d+/],
    ["stats", /"max-concurrency": \d+/]
  ] as const)("%s", ([question, answer]) =>
    Effect.gen(function* () {
      const { code, stdout } = yield* apium(["inspect", question, ...app])
      assert.strictEqual(code, 0)
      assert.match(stdout, answer)
      assert.strictEqual(lines(stdout).at(-2), "1 node online.")
    })
  )

  it.effect("asks for tasks by their ids", () =>
    Effect.gen(function* () {
      assert.include((yield* apium(["inspect", "query_task", "one", "two", ...app])).stdout, "{}")
      assert.include((yield* apium(["inspect", "query_task", ...app])).stderr, "id")
    })
  )

  it.live("ends with 69 when nobody replies", () =>
    Effect.gen(function* () {
      const { code, stderr, stdout } = yield* apium(["inspect", "ping", "-d", "celery@nobody", "-t", "0.01", ...app])
      assert.strictEqual(code, 69)
      assert.strictEqual(stdout, "")
      assert.include(stderr, "No nodes replied within time constraint")
    })
  )

  it.effect("asks those that are named", () =>
    Effect.gen(function* () {
      const { stdout } = yield* apium(["inspect", "ping", "-d", `celery@${hostname()},celery@nobody`, ...app])
      assert.include(stdout, "1 node online.")
    })
  )

  it.effect("knows a mistyped question", () =>
    Effect.gen(function* () {
      const { code, stderr } = yield* apium(["inspect", "pong"])
      assert.strictEqual(code, 64)
      assert.match(stderr, /Did you mean this\?\n +ping/)
    })
  )
})

describe("apium control", () => {
  it.effect.each([
    [["revoke", "an-id"], "an-id"],
    [["terminate", "SIGKILL", "an-id"], "terminate: tasks unknown"],
    [["rate_limit", "proj.add", "10/m"], "new rate limit set successfully"],
    [["time_limit", "proj.add", "1", "2"], "time limits set successfully"],
    [["enable_events"], "task events enabled"],
    [["disable_events"], "task events already disabled"]
  ] as const)("%j", ([args, answer]) =>
    Effect.gen(function* () {
      const { code, stdout } = yield* apium(["control", ...args, ...app])
      assert.strictEqual(code, 0)
      assert.match(stdout, /^->  celery@\S+: OK\n/)
      assert.include(stdout, answer)
      assert.notInclude(stdout, "online")
    })
  )

  it.effect("shows what a worker refuses", () =>
    Effect.gen(function* () {
      const { stdout } = yield* apium(["control", "rate_limit", "proj.nonesuch", "10/m", ...app])
      assert.match(stdout, /^->  celery@\S+: ERROR\n/)
    })
  )

  it.effect("does not take a variable that is empty for all workers", () =>
    Effect.gen(function* () {
      for (const destination of ["", ",", " "]) {
        const { code, stderr } = yield* apium(["control", "shutdown", "-d", destination, ...app])
        assert.strictEqual(code, 64)
        assert.include(stderr, "at least one name")
      }
    })
  )

  it.effect("waits for no answer to shutdown, for there is none", () =>
    Effect.gen(function* () {
      const { code, stdout } = yield* apium(["control", "shutdown", ...app])
      assert.strictEqual(code, 0)
      assert.include(stdout, "shutdown was sent to all workers")
    })
  )
})

describe("an answer", () => {
  it("cannot move the cursor, nor pretend to be another", () => {
    const shown = Replies.format({ node: "celery@a\u001B[2J", reply: { ok: "one\n->  celery@b: OK\u001B[1A" } })
    assert.notInclude(shown, "\u001B")
    assert.deepStrictEqual(
      lines(shown).filter((line) => line.startsWith("->")),
      [lines(shown)[0]!]
    )
  })
})
