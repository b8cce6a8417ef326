import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { TestClock } from "effect/testing"
import { hostname } from "node:os"
import { setImmediate } from "node:timers/promises"
import { apium, fixture, start } from "./support/Cli.ts"

const tasks = fixture("tasks")

const worker = (...args: ReadonlyArray<string>) => apium(["worker", "-A", tasks, ...args])

describe("apium worker", () => {
  it.effect("says what it is, runs what Beat sends, and stops warmly", () =>
    Effect.gen(function* () {
      const running = yield* start(["-A", tasks, "worker", "-B", "-E", "-c3", "-Qcelery,mail", "-nw1@%h"])
      assert.include(yield* running.says("ready."), `: INFO] w1@${hostname()} ready.`)
      yield* TestClock.adjust("50 millis")
      yield* running.says("ticked")
      yield* running.says("] succeeded in 0s")
      const { stdout, stderr } = yield* running.interrupt
      assert.match(
        stdout,
        new RegExp(
          [
            String.raw`^\nw1@\S+ v\d+\.\d+\.\d+ \(apium\)\n\n.* (?:Node|Bun|Deno) \d+.*\n`,
            String.raw`\n\[config\]\n\.> app: +\S.*tasks\.ts`,
            String.raw`\n\.> transport:   memory://\n\.> results:     memory://`,
            String.raw`\n\.> concurrency: 3 \(fiber\)\n\.> task events: ON\n`,
            String.raw`\n\[queues\]\n\.> celery +exchange=\S* key=celery\n\.> mail +exchange=mail\(direct\) key=mail\n`,
            String.raw`\n\[tasks\]\n {2}\. proj\.add\n(?: {2}\. proj\.\w+\n)+\nticked\n$`
          ].join("")
        )
      )
      assert.match(stderr, /memory:\/\/ lives inside this process/)
      assert.match(stderr, /Task proj\.tick\[[\da-f-]{36}\] started/)
      assert.match(stderr, /^\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}: INFO\] /)
    }).pipe(Effect.scoped)
  )

  it.effect("logs from the level on that it is told", () =>
    Effect.gen(function* () {
      const running = yield* start(["worker", "-A", tasks, "-B", "-l", "WARNING"])
      // At this level nothing says that it is ready: time goes on until Beat is there.
      const passing = Effect.andThen(
        TestClock.adjust("50 millis"),
        Effect.promise(() => setImmediate())
      )
      yield* Effect.raceFirst(running.says("ticked"), Effect.forever(passing))
      assert.match((yield* running.interrupt).stderr, /^\[.*: WARNING\] Warm shutdown: .*\n$/)
    }).pipe(Effect.scoped)
  )

  it.effect("shows the bounds of autoscale", () =>
    Effect.gen(function* () {
      const running = yield* start(["worker", "-A", tasks, "--autoscale=2,10", "-P", "gevent"])
      assert.include(yield* running.says("concurrency:"), "{min=2, max=10} (fiber)")
      yield* running.interrupt
    }).pipe(Effect.scoped)
  )

  it.effect("has a queue of its own, and no queue but the module's, where the module says so", () =>
    Effect.gen(function* () {
      const routed = fixture("routed")
      const running = yield* start(["worker", "-A", routed, "-Qmail,reload", "-nw1@here"])
      yield* running.says("ready.")
      const { stdout } = yield* running.interrupt
      assert.match(
        stdout,
        /\[queues\]\n\.> mail .*\n\.> bcast\.\S+ +exchange=reload\(fanout\) .*\n\.> w1@here\.dq2 +exchange=C\.dq2\(direct\) key=w1@here\n/
      )
      const unknown = yield* apium(["worker", "-A", routed, "-Q", "mial"])
      assert.deepStrictEqual(unknown.code, 64)
      assert.include(unknown.stderr, "-Q mial: it is none of the module's queues")
      assert.include(unknown.stderr, "Did you mean mail?")
      const called = yield* apium(["call", "proj.where", "-A", routed])
      assert.notStrictEqual(called.code, 0)
      assert.include(called.stderr, 'There is no queue "nowhere" among those described: celery, mail, bcast.')
    }).pipe(Effect.scoped)
  )

  it.effect("needs a module", () =>
    Effect.gen(function* () {
      const { code, stderr } = yield* apium(["worker"])
      assert.strictEqual(code, 64)
      assert.include(stderr, "apium worker -A ./tasks.ts")
    })
  )

  it.effect.each([
    [["-c", "0"], "a whole number, from 1 to 100000"],
    [["-c", "x"], "a whole number"],
    [["-c", "1.5"], "a whole number"],
    [["-c", "-1"], "a whole number"],
    [["-c", "100001"], "a whole number"],
    [["-l", "loud"], "one of debug, info, warning, error, critical"],
    [["-P", "fibre"], "fiber"],
    [["--autoscale", "10"], "the most and the least, as 10,2"],
    [["--autoscale", "10,0"], "the most and the least, as 10,2"],
    [["--time-limit", "0"], "seconds, from 0.001"],
    [["--time-limit", "soon"], "seconds"],
    [["--prefetch-multiplier", "0"], "a whole number"],
    [["--profile", "slow"], "durable"],
    [["--fetch", "all"], "exact"],
    [["--max-tasks-per-child", "10"], "--max-tasks-per-child needs -P process or -P thread, and the pool is fiber"],
    [
      ["--max-memory-per-child", "10", "-P", "thread"],
      "--max-memory-per-child needs -P process, and the pool is thread"
    ],
    [["-P", "prefork", "-c", "1001"], "More than 1000 tasks at once needs -P fiber, and the pool is process"],
    [["-P", "solo", "-c", "2"], "More than one task at once needs -P fiber"],
    [["--loglevl", "info"], "--loglevel"]
  ] as const)("refuses %j", ([args, text]) =>
    Effect.gen(function* () {
      const { code, stderr, stdout } = yield* worker(...args)
      assert.strictEqual(code, 64)
      assert.strictEqual(stdout, "")
      assert.include(stderr, text)
    })
  )

  it.effect("refuses -B without a schedule, and a schedule that is none", () =>
    Effect.gen(function* () {
      const none = yield* apium(["worker", "-B", "-A", fixture("fails")])
      assert.strictEqual(none.code, 64)
      assert.include(none.stderr, "-B sends what the export schedule of")
      const { code, stderr } = yield* apium(["worker", "-B", "-A", fixture("unscheduled")])
      assert.strictEqual(code, 64)
      assert.include(stderr, "is a list of what Beat.entry makes")
    })
  )

  it.effect("refuses another REMAP_SIGTERM than SIGQUIT", () =>
    Effect.gen(function* () {
      const { code, stderr } = yield* apium(["worker", "-A", tasks], { REMAP_SIGTERM: "SIGKILL" })
      assert.strictEqual(code, 64)
      assert.include(stderr, "REMAP_SIGTERM is SIGKILL, and takes SIGQUIT")
    })
  )
})

describe("a broker that is not there", () => {
  const commands = [["worker"], ["call", "proj.add"], ["inspect", "ping"], ["control", "enable_events"]] as const

  it.effect("is refused by every command, with what is wrong and without its password", () =>
    Effect.gen(function* () {
      for (const command of commands) {
        const { code, stderr, stdout } = yield* apium([...command, "-b", "amqp://user:p@ss/hunter2@host//"])
        assert.strictEqual(code, 64)
        assert.include(stderr, "--broker is amqp://user:**@host//: A URL holds an @ behind its host")
        assert.notInclude(stdout + stderr, "hunter2")
      }
    })
  )

  it.effect("is read from the environment, where an empty variable is none", () =>
    Effect.gen(function* () {
      const ping = ["inspect", "ping", "-A", tasks]
      const mistyped = yield* apium(ping, { APIUM_BROKER_URL: "redsi://:hunter2@host/0" })
      assert.include(mistyped.stderr, "APIUM_BROKER_URL is redsi://:**@host/0: there is no transport named redsi")
      assert.include(mistyped.stderr, "Did you mean redis://?")
      const results = yield* apium(ping, { APIUM_RESULT_BACKEND: "mongodb://host" })
      assert.include(results.stderr, "APIUM_RESULT_BACKEND is mongodb://host: there is no result backend named mongodb")
      assert.strictEqual((yield* apium(ping, { APIUM_BROKER_URL: "" })).code, 0)
      assert.strictEqual((yield* apium(ping, { APIUM_BROKER_URL: "MEMORY://" })).code, 0)
      // A flag counts more.
      assert.strictEqual((yield* apium([...ping, "-b", "memory://"], { APIUM_BROKER_URL: "redis://host" })).code, 0)
    })
  )

  it.effect("shows no password of a URL that stands where none belongs", () =>
    Effect.gen(function* () {
      for (const args of [
        ["worker", "redis://u:hunter2@h"],
        ["redis://u:hunter2@h"],
        ["worker", "--brokr=redis://u:hunter2@h"],
        ["call", "x", "--args=redis://u:hunter2@h"],
        ["worker", "-c", "redis://u:hunter2@h"],
        ["worker", "-A", "redis://u:hunter2@h"],
        ["call", "redis://u:hunter2@h", "-A", tasks]
      ]) {
        const { code, stderr, stdout } = yield* apium(args)
        assert.notStrictEqual(code, 0)
        assert.notInclude(stdout + stderr, "hunter2")
      }
    })
  )
})

describe("apium", () => {
  it.effect("shows its commands, and ends with 0", () =>
    Effect.gen(function* () {
      for (const args of [[], ["--help"]]) {
        const { code, stdout } = yield* apium(args)
        assert.strictEqual(code, 0)
        for (const command of ["worker", "call", "inspect", "control"])
          assert.match(stdout, new RegExp(`^ +${command} `, "m"))
      }
    })
  )

  it.effect("says its version, and completes itself", () =>
    Effect.gen(function* () {
      assert.match((yield* apium(["--version"])).stdout, /^apium v\d+\.\d+\.\d+\n$/)
      for (const shell of ["bash", "zsh", "fish"]) {
        assert.include((yield* apium(["--completions", shell])).stdout, "inspect")
      }
      assert.include((yield* apium(["worker", "--completions=zsh"])).stdout, "inspect")
    })
  )

  it.effect("knows a mistyped command", () =>
    Effect.gen(function* () {
      const { code, stderr } = yield* apium(["wroker"])
      assert.strictEqual(code, 64)
      assert.match(stderr, /Did you mean this\?\n +worker/)
      assert.include(stderr, "apium --help shows what there is")
    })
  )
})
