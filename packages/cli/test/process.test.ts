import { assert, describe, it } from "@effect/vitest"
import { type Running, start, startIntoHead } from "./support/Process.ts"

const last = (text: string) => text.trimEnd().split("\n").at(-1)

/** Sends the next signal when it has said what the one before it leads to. */
const descend = async (running: Running, ...steps: ReadonlyArray<readonly [NodeJS.Signals, string]>) => {
  for (const [signal, text] of steps) {
    running.signal(signal)
    await running.says(text)
  }
  return running.exit
}

describe("apium, as a process", () => {
  it("tries a task out in one line", async () => {
    const ended = await start(["call", "proj.add", "-A", "./tasks.ts", "--args=[2,3]"]).exit
    assert.deepStrictEqual(ended, { code: 0, stdout: "5\n", stderr: "" })
  })

  it("ends a worker with 0 on Ctrl-C", async () => {
    const running = start(["worker", "-A", "tasks.ts"])
    await running.says("ready.")
    const { code, stderr } = await descend(running, ["SIGINT", "Warm shutdown"])
    assert.strictEqual(code, 0)
    assert.include(last(stderr), "Warm shutdown")
  })

  it("ends a start that takes its time with 0 on Ctrl-C", async () => {
    const running = start(["worker", "-A", "slow.ts"])
    await running.says("importing")
    const { code, stdout } = await descend(running, ["SIGINT", "Warm shutdown"])
    assert.strictEqual(code, 0)
    assert.strictEqual(stdout, "importing\n")
  })

  it("interrupts what runs on the second Ctrl-C, and says so with 1", async () => {
    const running = start(["worker", "-A", "never.ts", "-B"])
    await running.says("begun")
    const { code } = await descend(running, ["SIGINT", "Warm shutdown"], ["SIGINT", "Cold shutdown"])
    assert.strictEqual(code, 1)
  })

  it("lets what runs have its time when it is told to, also in processes of their own", async () => {
    const running = start(["worker", "-A", "never.ts", "-B", "-P", "prefork", "-c1", "--soft-shutdown-timeout=0.1"])
    await running.says("begun")
    // Nothing is sent after that: who has its time may be gone by then.
    const { code, stderr } = await descend(running, ["SIGINT", "Warm shutdown"], ["SIGINT", "Soft shutdown"])
    assert.strictEqual(code, 1)
    assert.include(stderr, "Cold shutdown")
  })

  it("takes SIGTERM for SIGQUIT when REMAP_SIGTERM says so", async () => {
    const running = start(["worker", "-A", "never.ts", "-B"], { REMAP_SIGTERM: "SIGQUIT" })
    await running.says("begun")
    const { code, stderr } = await descend(running, ["SIGTERM", "Cold shutdown"])
    assert.strictEqual(code, 1)
    assert.notInclude(stderr, "Warm")
  })

  it("runs tasks in threads, and says what a thread does not have", async () => {
    const { code, stderr } = await start(["worker", "-A", "tasks.ts", "-P", "thread", "-c1"]).exit
    assert.strictEqual(code, 1)
    assert.include(stderr, "A thread has no Client of the worker's")
    const running = start(["worker", "-A", "never.ts", "-B", "-P", "thread", "-c1"])
    await running.says("begun")
    running.signal("SIGQUIT")
    assert.strictEqual((await running.exit).code, 1)
  })

  it("leaves a task alone on Ctrl-C, with 130", async () => {
    const running = start(["call", "proj.never", "-A", "never.ts"])
    await running.says("begun")
    running.signal("SIGINT")
    const ended = await running.exit
    assert.strictEqual(ended.code, 130)
    assert.strictEqual(ended.stdout, "begun\n")
  })

  it("ends quietly when nobody reads what it prints", async () => {
    for (const args of [["--help"], ["inspect", "stats", "-A", "tasks.ts"], ["worker", "-A", "tasks.ts", "-B"]]) {
      const { stdout, stderr } = await startIntoHead(args).exit
      assert.match(stdout, /^.*\n$/)
      assert.strictEqual(stderr, "code 0\n")
    }
  })
})
