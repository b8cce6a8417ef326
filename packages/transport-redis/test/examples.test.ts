/** What is to be read, run on a real Redis: `examples/redis`, and the blocks of docs/redis.md that say what they print. */
import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import * as path from "node:path"
import * as Program from "../../../test/support/Program.ts"
import { Redis } from "../../../test/support/Redis.ts"

const root = path.resolve(import.meta.dirname, "../../..")
layer(Redis.shared, { excludeTestServices: true })("an example", (it) => {
  it.effect(
    "sends tasks, and gets their results from a worker that is started later and stopped when they are there",
    () =>
      Effect.gen(function* () {
        const { url } = yield* Redis
        const env = { APIUM_BROKER_URL: url() }
        const files = path.join(root, "examples/redis")
        const producer = yield* Program.start(yield* Program.bundle(path.join(files, "producer.ts")), { env })
        const worker = yield* Program.start(yield* Program.bundle(path.join(files, "worker.ts")), { env })
        yield* worker.line("takes tasks until Ctrl-C.")
        const { code, lines, stderr } = yield* producer.ended
        assert.deepStrictEqual(lines, ["Monday: 42", "Tuesday: 0", "Wednesday: 7.5"], stderr)
        assert.strictEqual(code, 0)
        yield* worker.signal("SIGTERM")
        assert.strictEqual((yield* worker.ended).code, 0)
      })
  )

  it.effect("of docs/redis.md prints what it says", () =>
    Effect.gen(function* () {
      const { url } = yield* Redis
      const page = readFileSync(path.join(root, "docs/redis.md"), "utf8")
      const blocks = [...page.matchAll(/^```ts\b.*\n([^]*?)^```$/gm)].map(([, text = ""]) => text)
      assert.isAbove(blocks.length, 0)
      // In here, where its imports are found.
      mkdirSync(path.join(root, ".tmp"), { recursive: true })
      const folder = yield* Effect.acquireRelease(
        Effect.sync(() => mkdtempSync(path.join(root, ".tmp/redis-"))),
        (made) => Effect.sync(() => rmSync(made, { recursive: true, force: true }))
      )
      for (const [index, block] of blocks.entries()) {
        const prints = /^\/\/ prints:\n((?:\/\/.*\n?)*)\s*$/m
          .exec(block)?.[1]
          ?.replaceAll(/^\/\/ ?/gm, "")
          .trim()
        assert.isDefined(prints, block)
        assert.include(block, "redis://localhost:6379/0")
        const file = path.join(folder, `${index}.ts`)
        writeFileSync(file, block.replaceAll("redis://localhost:6379/0", url()))
        const { code, lines, stderr } = yield* (yield* Program.start(yield* Program.bundle(file))).ended
        assert.strictEqual(lines.join("\n"), prints, stderr)
        assert.strictEqual(code, 0)
      }
    })
  )
})
