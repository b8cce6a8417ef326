/** Values as the texts that Python reads and writes: JSON in kombu's dialect, to the byte as Python has it. */
import { DecodeFailed, EncodeFailed, fail, type HubError } from "@apium/hub/HubError"
import type { InvalidResult } from "@apium/protocol/celery/ResultMessage"
import * as Json from "@apium/protocol/kombu/Json"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"

export const encode = (value: unknown, what: () => string): Effect.Effect<string, HubError> =>
  Effect.suspend(() => {
    try {
      return Effect.succeed(Json.stringifyAscii(value))
    } catch (error) {
      return fail(new EncodeFailed({ what: what(), text: (error as Json.JsonError).message }))
    }
  })

export const decode = <A>(
  text: string,
  what: () => string,
  reading: (value: unknown) => Result.Result<A, InvalidResult>
): Result.Result<A, DecodeFailed> => {
  try {
    return Result.mapError(
      reading(Json.parse(text)),
      ({ message }) => new DecodeFailed({ what: what(), text: message })
    )
  } catch (error) {
    return Result.fail(new DecodeFailed({ what: what(), text: (error as Json.JsonError).message }))
  }
}
