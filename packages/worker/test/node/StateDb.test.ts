import * as StateDb from "@apium/worker/control/StateDb"
import * as Revoked from "@apium/worker/execution/Revoked"
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

const saved = { clock: 7, revoked: ["a", "b"], revokedAt: [1, 2], stamps: [["h", "v"]] } as const

describe("a worker's state in a file", () => {
  it.effect("is made with the first start, and read with the next", () =>
    Effect.gen(function* () {
      const file = path.join(yield* folder, "worker.state")
      const first = yield* opened(file)
      assert.deepStrictEqual(yield* first.load, { clock: 0, revoked: [], revokedAt: [], stamps: [] })
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
      const revokedAt = revoked.map(() => 1)
      const saving = yield* Effect.forkChild(
        Effect.forEach(
          Array.from({ length: 10 }, (_, n) => n),
          (clock) => save({ ...saved, clock, revoked, revokedAt }),
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

  it.effect("is refused where it is too large for one, in these words", () =>
    Effect.gen(function* () {
      const file = path.join(yield* folder, "large.state")
      fs.writeFileSync(file, "")
      fs.truncateSync(file, 64 * 1024 * 1024 + 1)
      assert.match((yield* refused(file)).message, /is larger than 64 MB, .*: say another place/)
    })
  )

  it.effect("is read back however much was revoked, and however it is written", () =>
    Effect.gen(function* () {
      const file = path.join(yield* folder, "worker.state")
      const { save } = yield* opened(file)
      const revoked = Revoked.make(() => 1e12)
      // A character that takes six bytes in JSON.
      const long = (n: number) => String(n).padStart(Revoked.maxLength, "\u0001")
      const short = (n: number) => String(n).padStart(79, "\u0001")
      for (let n = 0; n < 10_000; n++) revoked.add(long(n))
      for (let n = 0; n < 60_000; n++) revoked.addStamp("", short(n))
      const [ids, times, stamps] = [revoked.ids(), revoked.times(), revoked.stamps()]
      yield* save({ clock: 1, revoked: ids, revokedAt: times, stamps })
      const read = yield* (yield* opened(file)).load
      assert.deepStrictEqual([read?.revoked.length, read?.stamps.length], [ids.length, stamps.length])
      assert.strictEqual(read?.revoked.at(-1), long(9999))
    })
  )

  it.effect("leaves nothing beside it of a life that ended while it was written", () =>
    Effect.gen(function* () {
      const place = yield* folder
      const file = path.join(place, "worker.state")
      for (const name of ["worker.state.4711.tmp", "worker.state.1.tmp", "worker.state.old.tmp", "other.1.tmp"]) {
        fs.writeFileSync(path.join(place, name), "{")
      }
      yield* opened(file)
      assert.deepStrictEqual(fs.readdirSync(place).toSorted(), ["other.1.tmp", "worker.state", "worker.state.old.tmp"])
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
