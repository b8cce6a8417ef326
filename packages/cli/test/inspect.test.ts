import { assert, describe, it } from "@effect/vitest"
import * as Events from "@apium/cli/commands/Events"
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
    ["stats", /"max-concurrency": \d+/],
    ["conf", /"worker_concurrency": \d+/],
    ["report", /software -> apium:/],
    ["memsample", /\d+(\.\d+)?MB/],
    ["memdump", /- rss \(end\): \d/]
  ] as const)("%s", ([question, answer]) =>
    Effect.gen(function* () {
      const { code, stdout } = yield* apium(["inspect", question, ...app])
      assert.strictEqual(code, 0)
      assert.match(stdout, answer)
      assert.strictEqual(lines(stdout).at(-2), "1 node online.")
    })
  )

  it.effect("shows what nobody has said on request, and attributes of tasks", () =>
    Effect.gen(function* () {
      for (const word of ["true", "1"]) {
        assert.include((yield* apium(["inspect", "conf", word, ...app])).stdout, '"worker_prefetch_multiplier": 4')
      }
      assert.notInclude((yield* apium(["inspect", "conf", "no", ...app])).stdout, "worker_prefetch_multiplier")
      assert.strictEqual((yield* apium(["inspect", "conf", "maybe", ...app])).code, 64)
      assert.include((yield* apium(["inspect", "registered", "acks_late", ...app])).stdout, "proj.add [acks_late=True]")
      assert.include(
        (yield* apium(["inspect", "objgraph", ...app])).stdout,
        "ImportError('Requires the objgraph library')"
      )
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
    [["revoke_by_stamped_headers", "tenant=7"], "headers {'tenant': '7'} flagged as revoked"],
    [["add_consumer", "more"], "add consumer more"],
    [["add_consumer", "audit", "events", "topic", "user.#"], "add consumer audit"],
    [["cancel_consumer", "celery"], "no longer consuming from celery"],
    [["pool_grow"], "pool will grow"],
    [["pool_grow", "3"], "pool will grow"],
    [["pool_shrink", "2"], "pool will shrink"],
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

  it.effect.each([
    [["rate_limit", "proj.nonesuch", "10/m"], "unknown task"],
    [["pool_shrink", "1000"], "Can't shrink pool"],
    [["pool_restart"], "Pool restarts not enabled"],
    [["autoscale", "3", "1"], "Autoscale not enabled"],
    [["autoscale", "3"], "Autoscale not enabled"]
  ] as const)("shows what a worker refuses: %j", ([args, why]) =>
    Effect.gen(function* () {
      const { stdout } = yield* apium(["control", ...args, ...app])
      assert.match(stdout, /^->  celery@\S+: ERROR\n/)
      assert.include(stdout, why)
    })
  )

  it.effect.each([["pool_grow", "0"], ["pool_grow", "many"], ["autoscale"], ["add_consumer"]] as const)(
    "is refused before anybody is asked: %j",
    (args) => Effect.map(apium(["control", ...args, ...app]), ({ code }) => assert.strictEqual(code, 64))
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

describe("apium status", () => {
  it.effect("has a line for each node, and how many there are", () =>
    Effect.gen(function* () {
      const { code, stdout } = yield* apium(["status", ...app])
      assert.strictEqual(code, 0)
      assert.match(stdout, /^->  celery@\S+: OK\n\n1 node online\.\n$/)
      assert.match((yield* apium(["status", "--json", ...app])).stdout, /^\{".*":\{"ok":"pong"\}\}\n$/)
    })
  )

  it.live("ends with 69 when nobody replies", () =>
    Effect.gen(function* () {
      const { code, stderr } = yield* apium(["status", "-d", "celery@nobody", "-t", "0.01", ...app])
      assert.strictEqual(code, 69)
      assert.include(stderr, "No nodes replied within time constraint")
    })
  )
})

describe("apium events", () => {
  const event = { hostname: "celery@a", utcoffset: 0, pid: 7, clock: 3, timestamp: 1_795_227_607.5 }
  const at = "celery@a [2026-11-21 02:20:07.500000]"

  it("is told to dump them", () =>
    Effect.runPromise(
      Effect.map(apium(["events", ...app]), ({ code, stderr }) => {
        assert.strictEqual(code, 64)
        assert.include(stderr, "apium events --dump")
      })
    ))

  it("prints them as Celery's dumper, which remembers what a task is called", () => {
    const line = Events.dumper()
    assert.strictEqual(
      line({ ...event, type: "worker-heartbeat", fields: { freq: 2, active: 0 } }),
      `${at} heartbeat: active=0, clock=3, freq=2, pid=7, utcoffset=0`
    )
    const received = { uuid: "u1", name: "proj.add", args: "(1, 2)", kwargs: "{}", retries: 0 }
    assert.strictEqual(
      line({ ...event, type: "task-received", fields: received }),
      `${at} task received: proj.add(u1) args=(1, 2) kwargs={} clock=3, pid=7, retries=0, utcoffset=0`
    )
    assert.strictEqual(
      line({ ...event, type: "task-succeeded", fields: { uuid: "u1", result: "3" } }),
      `${at} task succeeded: proj.add(u1) args=(1, 2) kwargs={} clock=3, pid=7, result=3, utcoffset=0`
    )
    assert.notInclude(line({ ...event, type: "task-failed", fields: { uuid: "u2", exception: "\u001B[2J" } }), "\u001B")
  })
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
