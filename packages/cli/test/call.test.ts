import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { apium, fixture, written } from "./support/Cli.ts"

const tasks = fixture("tasks")

const call = (...args: ReadonlyArray<string>) => apium(["call", "-A", tasks, ...args])

describe("apium call", () => {
  it.effect("runs a task of the module in here, and prints its result as JSON", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* call("proj.add", "--args=[2,3]"), { code: 0, stdout: "5\n", stderr: "" })
      assert.strictEqual((yield* call("proj.add", "-a[2]", "-k", `{"y":40}`)).stdout, "42\n")
    })
  )

  it.effect("gives handlers the client that they ask for", () =>
    Effect.gen(function* () {
      assert.strictEqual((yield* call("proj.twice", "-a", "[21]")).stdout, "42\n")
    })
  )

  it.effect("consumes the queues of the tasks, and the one that is named", () =>
    Effect.gen(function* () {
      assert.strictEqual((yield* call("proj.mail", "-k", `{"to":"x"}`)).stdout, "null\n")
      assert.strictEqual((yield* call("proj.add", "-a[1,1]", "-Q", "elsewhere")).stdout, "2\n")
    })
  )

  it.effect("says what a task failed with, and where", () =>
    Effect.gen(function* () {
      const { code, stderr, stdout } = yield* call("proj.boom")
      assert.strictEqual(code, 1)
      assert.strictEqual(stdout, "")
      assert.match(stderr, /Task [\da-f-]{36} ended as FAILURE: Error: boom at last\n +at .*tasks\.ts/)
    })
  )

  it.effect("prints what a terminal would obey as JSON writes it", () =>
    Effect.gen(function* () {
      const { stdout } = yield* call("proj.echo", "-a", `["\u009b2J\u202e\u{e0001}"]`)
      assert.strictEqual(stdout, String.raw`"\u009b2J\u202e\udb40\udc01"` + "\n")
    })
  )

  it.effect("prints a result of nothing as null", () =>
    Effect.gen(function* () {
      const { code, stdout } = yield* call("proj.echo", "-a", "[null]")
      assert.deepStrictEqual([code, stdout.trim()], [0, "null"])
    })
  )

  it.effect("says which arguments are wrong", () =>
    Effect.gen(function* () {
      assert.include((yield* call("proj.add", "-a[2]")).stderr, "add() missing 1 required positional argument: 'y'")
      assert.include((yield* call("proj.add", "-a", `["2",3]`)).stderr, `Expected number`)
    })
  )

  it.effect("knows a task that is not registered, and what was meant", () =>
    Effect.gen(function* () {
      const { code, stderr } = yield* call("proj.ad")
      assert.strictEqual(code, 64)
      assert.include(stderr, "NotRegistered: there is no task proj.ad. Did you mean proj.add?")
      assert.include(stderr, ". proj.twice")
    })
  )

  it.effect("points at what is no JSON", () =>
    Effect.gen(function* () {
      const { code, stderr } = yield* call("proj.add", "--args=[2,x]")
      assert.strictEqual(code, 64)
      assert.match(stderr, /--args is no JSON: .* at offset 3\n +\[2,x\]\n {5,}\^\n/)
      assert.include((yield* call("proj.add", "-a{}")).stderr, "--args takes a JSON array")
      assert.include((yield* call("proj.add", "-k", "[]")).stderr, "--kwargs takes a JSON object")
    })
  )

  it.effect("refuses times that are none, and two at once", () =>
    Effect.gen(function* () {
      assert.include((yield* call("proj.add", "--eta", "soon")).stderr, "a time in ISO 8601")
      assert.include((yield* call("proj.add", "--countdown", "-1")).stderr, "seconds, from 0")
      assert.include((yield* call("proj.add", "--expires", "soon")).stderr, "seconds, or a time in ISO 8601")
      const both = yield* call("proj.add", "--eta", "2030-01-01T00:00:00Z", "--countdown", "1")
      assert.include(both.stderr, "leave one out")
    })
  )

  it.effect("revokes what has expired before it is sent", () =>
    Effect.gen(function* () {
      const { code, stderr } = yield* call("proj.add", "-a[1,2]", "--expires", "1960-01-01T00:00:00Z")
      assert.strictEqual(code, 1)
      assert.include(stderr, "ended as REVOKED")
    })
  )

  it.effect("over memory:// and without a module says what to do", () =>
    Effect.gen(function* () {
      const { code, stderr } = yield* apium(["call", "proj.add"])
      assert.strictEqual(code, 64)
      assert.include(stderr, "apium call proj.add -A ./tasks.ts")
    })
  )
})

describe("a module that cannot be used", () => {
  it.effect("because it is not there: the nearest one is", () =>
    Effect.gen(function* () {
      const { code, stderr } = yield* apium(["call", "x", "-A", tasks.replace("tasks.ts", "task.ts")])
      assert.strictEqual(code, 66)
      assert.include(stderr, "Did you mean tasks.ts?")
      assert.strictEqual((yield* apium(["call", "x", "-A", "."])).code, 66)
    })
  )

  it.effect("because it throws, or imports what is not there", () =>
    Effect.gen(function* () {
      const thrown = yield* apium(["call", "x", "-A", written(`throw new Error("no database")`)])
      assert.strictEqual(thrown.code, 1)
      assert.match(thrown.stderr, /app\.mjs could not be loaded: Error: no database/)
      const missing = yield* apium(["call", "x", "-A", written(`import "./nowhere.mjs"`)])
      assert.strictEqual(missing.code, 1)
      assert.match(missing.stderr, /could not be loaded: .*nowhere/)
    })
  )

  it.effect("because it exports no layer: says what it is, and shows one", () =>
    Effect.gen(function* () {
      const cases = [
        ["export const x = 1", "there is none"],
        ["export default 42", "it is a number"],
        ["export default null", "it is null"],
        ["export default []", "it is an array"],
        ["export default { }", "it is an object"]
      ] as const
      for (const [text, kind] of cases) {
        const { code, stderr } = yield* apium(["call", "x", "-A", written(text)])
        assert.strictEqual(code, 64)
        assert.include(stderr, `is a layer of handlers, and ${kind}`)
        assert.include(stderr, "export default Layer.mergeAll(Tasks.handle(")
      }
    })
  )

  it.effect("because its layer fails: the reason without its password", () =>
    Effect.gen(function* () {
      const { code, stderr } = yield* apium(["call", "x", "-A", fixture("fails")])
      assert.strictEqual(code, 1)
      assert.include(stderr, "The worker could not start: amqp://u:**@host/ is down")
      assert.notInclude(stderr, "hunter2")
    })
  )
})
