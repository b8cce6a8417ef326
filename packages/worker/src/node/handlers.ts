/** The handlers of a module, as a pool's child loads them. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { Tasks } from "../task/Tasks.ts"

const isHandlers = (value: unknown): value is Layer.Layer<never, unknown, Tasks> => Layer.isLayer(value)

/** A module that cannot be loaded is a defect, with the stack of its own: the pool's error shows it. */
export const load = (module: string): Layer.Layer<never, unknown, Tasks> =>
  Layer.unwrap(
    Effect.gen(function* () {
      const loaded = yield* Effect.promise(() => import(module) as Promise<{ readonly default?: unknown }>)
      return isHandlers(loaded.default)
        ? loaded.default
        : yield* Effect.die(new TypeError(`The default export of ${module} is not a layer of handlers`))
    })
  )
