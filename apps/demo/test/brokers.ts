/** What the demo does over any broker that a network is in between of. */
import { assert } from "@effect/vitest"
import { Effect } from "effect"
import { demo, type Exit, Folder, start } from "./support.ts"

const badText = Uint8Array.of(0x63, 0x61, 0x66, 0xe9, 0x0a)

export const folderOf = (files: Readonly<Record<string, string | Uint8Array>>) =>
  Effect.acquireDisposable(Effect.sync(() => new Folder(files)))

export const folder = folderOf({ "one.txt": "celery celery stalks", "two.txt": "celery", "bad.txt": badText })

/** Two demos at once on one broker, each with a report of its own tasks alone. */
export const sideBySide = (url: string, shown: string) =>
  Effect.gen(function* () {
    const { path } = yield* folder
    const env = { APIUM_BROKER_URL: url }
    const both = yield* Effect.promise(() => Promise.all([demo([path], env), demo([path], env)]))
    for (const { code, stderr, stdout } of both) {
      assert.strictEqual(stderr, "")
      assert.strictEqual(code, 0)
      assert.include(stdout, `over ${shown}.`)
      assert.match(stdout, /^ +3 +2 {2}celery$/m)
      assert.match(stdout, /^demo\.index bad\.txt: is not UTF-8 text$/m)
      assert.match(stdout, /^demo\.index +3 +2 +0 +1 .*ms .*ms$/m)
      assert.match(stdout, /^demo\.flaky +1 +1 +2 +0 .*ms .*ms$/m)
      assert.match(stdout, /^demo\.reminder +1 +1 +0 +0 .*ms .*ms$/m)
      assert.match(stdout, /^demo\.reminder ran [\d,]+ ms after its ETA\.$/m)
    }
  })

/** A producer that waits for a worker, a monitor and a worker; then a second producer. What the first, the worker and the second said. */
export const inThree = (url: string, shown: RegExp, second: Readonly<Record<string, string>> = {}) =>
  Effect.gen(function* () {
    const { path } = yield* folder
    const env = { APIUM_BROKER_URL: url }
    const producer = start(["producer", path], env)
    yield* Effect.promise(() => producer.says(/^Nothing new for 5 seconds, and 5 tasks to go: is there a/m))
    const monitor = start(["monitor"], env)
    const worker = start(["worker"], env)
    const began = yield* Effect.promise(() => worker.says(/takes tasks from the queue demo of .*Ctrl-C/))
    assert.match(began, shown)
    const told = yield* Effect.promise(() => producer.exit)
    assert.strictEqual(told.stderr, "")
    assert.strictEqual(told.code, 0)
    assert.match(told.stdout, /^Sent 5 tasks to the queue demo of /)
    assert.match(told.stdout, shown)

    // It hears what there is from now on: its worker is there, and tells so every two seconds.
    yield* Effect.promise(() => monitor.says(/worker-/))
    const again = yield* Effect.promise(() => demo(["producer", path, "--eta", "0"], { ...env, ...second }))
    assert.strictEqual(again.code, 0, again.stderr)
    yield* Effect.promise(() => monitor.says(/task-succeeded/))
    monitor.interrupt()
    worker.interrupt()
    assert.strictEqual((yield* Effect.promise(() => monitor.exit)).code, 130)
    const stopped = yield* Effect.promise(() => worker.exit)
    assert.strictEqual(stopped.code, 130)
    assert.include(stopped.stdout, "Stopping: what has begun is finished first.")
    return { told, stopped, again }
  })

/** Without results to share it goes by what the workers say. */
export const byEvents = ({ stdout }: Exit) => {
  assert.match(stdout, /^one\.txt: succeeded in .*s$/m)
  assert.match(stdout, /^bad\.txt: failed: Unreadable\(.*is not UTF-8 text/m)
  assert.match(stdout, /^demo\.flaky: succeeded in .*s$/m)
  assert.match(stdout, /^demo\.reminder: succeeded in .*s$/m)
}

/** Each says why there is no broker, in a few lines, and never the password `hunter2`. */
export const refused = (
  cases: ReadonlyArray<readonly [url: string, command: string, text: RegExp, code: number]>
): Effect.Effect<void> =>
  Effect.forEach(
    cases,
    ([url, command, text, code]) =>
      Effect.map(
        Effect.promise(() => demo([command], { APIUM_BROKER_URL: url })),
        (ended) => {
          assert.match(ended.stderr, text)
          assert.strictEqual(ended.code, code, ended.stderr)
          assert.notInclude(ended.stdout + ended.stderr, ":hunter2")
          assert.isBelow(ended.stderr.trim().split("\n").length, 5)
        }
      ),
    { concurrency: 2, discard: true }
  )
