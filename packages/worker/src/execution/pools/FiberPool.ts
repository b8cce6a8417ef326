/**
 * The default pool: each handler is a fiber of this thread. Right for handlers that wait (network, disk, timers); a handler
 * that computes holds up all the others, and wants the thread pool.
 */
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { Pool } from "../Pool.ts"

export const layer: Layer.Layer<Pool> = Layer.succeed(Pool, {
  name: "fiber",
  capacity: Number.POSITIVE_INFINITY,
  run: ({ registered, call, info, updateState }) =>
    registered.perform(call, { ...info, parentId: Option.fromNullOr(info.parentId), updateState })
})
