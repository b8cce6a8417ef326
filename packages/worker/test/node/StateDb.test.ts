import * as StateDb from "@apium/worker/control/StateDb"
import { layerStateDb } from "@apium/worker/node"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import * as fs from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { pathToFileURL } from "node:url"

const folder = Effect.acquireRelease(
  Effect.sync(() => fs.mkdtempSync(path.join(tmpdir(), "apium state "))),
  (folder) => Effect.sync(() => fs.rmSync(folder, { recursive: true, force: true }))
)

const opened = (file: string | URL) =>
  Effect.provide(
    Effect.map(StateDb.StateDb, (port) => port!),
    layerStateDb(file)
  )

const refused = (file: string) => Effect.flip(Effect.scoped(Layer.build(layerStateDb(file))))

const saved = { clock: 7, revoked: ["a", "b"], stamps: [["h", "v"]] } as const

describe("a worker's state in a file", () => {
  it.effect("is made with the first start, and read with the next", () =>
    Effect.gen(function* () {
      const file = path.join(yield* folder, "worker.state")
      const first = yield* opened(file)
      assert.deepStrictEqual(yield* first.load, { clock: 0, revoked: [], stamps: [] })
      yield* first.save(saved)
      assert.deepStrictEqual(yield* (yield* opened(pathToFileURL(file))).load, saved)
      assert.strictEqual(first.place, file)
    })
  )

  it.effect("is whole whenever somebody looks, and nothing is left beside it", () =>
    Effect.gen(function* () {
      const place = yield* folder
      const file = path.join(place, "worker.state")
      const { save } = yield* opened(file)
      const revoked = Array.from({ length: 2000 }, (_, n) => `task-${n}`)
      const saving = yield* Effect.forkChild(
        Effect.forEach(
          Array.from({ length: 10 }, (_, n) => n),
          (clock) => save({ ...saved, clock, revoked }),
          { discard: true }
        )
      )
      let looks = 0
      while (saving.pollUnsafe() === undefined) {
        assert.isTrue(StateDb.decode(fs.readFileSync(file, "utf8"))._tag === "Success")
        looks++
        yield* Effect.promise(() => new Promise<void>((resolve) => setImmediate(resolve)))
      }
      assert.isAbove(looks, 0)
      assert.deepStrictEqual(fs.readdirSync(place), ["worker.state"])
    })
  )

  it.effect("is refused where there is something else, which is left as it is", () =>
    Effect.gen(function* () {
      const file = path.join(yield* folder, "celery.db")
      fs.writeFileSync(file, "\u0000\u0006\u0015a shelve of Celery's")
      const error = yield* refused(file)
      assert.instanceOf(error, StateDb.StateDbError)
      assert.include(error.message, file)
      assert.include(error.message, "a file of Celery's is not read")
      assert.include(fs.readFileSync(file, "utf8"), "a shelve of Celery's")
    })
  )

  it.effect("is refused at the start where it could not be written later", () =>
    Effect.gen(function* () {
      const place = yield* folder
      assert.match((yield* refused(path.join(place, "nowhere", "s"))).message, /cannot be written \(ENOENT\)/)
      assert.match((yield* refused(place)).message, /cannot be read \(EISDIR\)/)
    })
  )
})
