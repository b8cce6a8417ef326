/**
 * Scripts that run however often Redis forgets them. Effect loads one that is not known and asks for it by its sum once more: whoever
 * flushes all scripts between the two, as an administrator or a failover does, made a claim fail, and its consumer end, within ten flushes under load.
 */
import * as Effect from "effect/Effect"
import type * as Redis from "effect/persistence/Redis"
import * as errors from "./errors.ts"

/** The second time the script itself is sent: that cannot be unknown. */
export const insisting = (redis: Redis.Redis["Service"]): Redis.Redis["Service"] => ({
  ...redis,
  eval:
    (script) =>
    (...params) =>
      Effect.catchIf(
        redis.eval(script)(...params),
        ({ cause }) => errors.textOf(cause).startsWith("NOSCRIPT"),
        () =>
          redis.send(
            "EVAL",
            script.lua,
            String(script.numberOfKeys(...params)),
            ...script.params(...params).map(String)
          )
      )
})
