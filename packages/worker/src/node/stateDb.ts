/** The state of a worker as a file: written beside it, and put in its place. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import * as fs from "node:fs/promises"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import * as StateDb from "../control/StateDb.ts"

/** 50,000 ids and as many stamps are a tenth of it; 50 MB is the most that `Revoked` can make of them, at 6 bytes a character. */
const maxBytes = 64 * 1024 * 1024

const tooLarge = "is larger than 64 MB, and no state of Apium's is: say another place, or remove what is there"

const codeOf = (error: unknown): string =>
  error instanceof Error ? String(Reflect.get(error, "code") ?? error.message) : String(error)

/**
 * Fails when there is something else at that path, or it cannot be written there. Each worker wants a file of its own: of two that
 * share one, the last to save is remembered.
 */
export const layerStateDb = (file: string | URL): Layer.Layer<never, StateDb.StateDbError> =>
  Layer.effect(
    StateDb.StateDb,
    Effect.gen(function* () {
      const place = path.resolve(typeof file === "string" ? file : fileURLToPath(file))
      const fail = (text: string) => new StateDb.StateDbError({ place, text })

      const load = Effect.tryPromise({
        try: async () => {
          const { size } = await fs.stat(place)
          return size > maxBytes ? undefined : await fs.readFile(place, "utf8")
        },
        catch: codeOf
      }).pipe(
        Effect.matchEffect({
          onFailure: (code) =>
            code === "ENOENT"
              ? Effect.undefined
              : Effect.fail(fail(`cannot be read (${code}): give it a file that it may read and write`)),
          onSuccess: (text) =>
            Effect.fromResult(
              Result.mapError(text === undefined ? Result.fail(tooLarge) : StateDb.decode(text), fail)
            ) satisfies Effect.Effect<StateDb.Saved, StateDb.StateDbError>
        })
      )

      const { base, dir } = path.parse(place)
      const written = `${place}.${process.pid}.tmp`
      // What a SIGKILL left. Of another worker's that writes there now: it fails to put it in place, says so, and tries again.
      const sweep = Effect.ignore(
        Effect.tryPromise(async () => {
          const left = (await fs.readdir(dir)).filter(
            (name) => name.startsWith(`${base}.`) && /^\.\d+\.tmp$/.test(name.slice(base.length))
          )
          await Promise.all(left.map((name) => fs.rm(path.join(dir, name), { force: true })))
        })
      )
      const save = (saved: StateDb.Saved) =>
        Effect.tryPromise({
          try: async () => {
            const handle = await fs.open(written, "w", 0o600)
            try {
              await handle.writeFile(StateDb.encode(saved))
              // Before it has the name: a machine that goes down would leave an empty file.
              await handle.sync()
            } finally {
              await handle.close()
            }
            await fs.rename(written, place)
          },
          catch: (error) =>
            fail(`cannot be written (${codeOf(error)}): give it a folder that is there, and may be written`)
        })

      const found = yield* load
      yield* sweep
      // At the start, and not when the first task is revoked.
      yield* save(found ?? { clock: 0, revoked: [], revokedAt: [], stamps: [] })
      return { place, load: Effect.orDie(load), save }
    })
  )
