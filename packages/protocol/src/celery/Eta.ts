/**
 * The times of a task message, `eta` and `expires` (`celery/app/amqp.py`, WIRE 6, fact 12). `TaskMessage` exports these as its own.
 */
import * as Data from "effect/Data"
import * as Result from "effect/Result"
import * as IsoTime from "../kombu/IsoTime.ts"

/** A text that is no time. */
export class InvalidEta extends Data.TaggedError("InvalidEta")<{ readonly message: string }> {}

/** `eta` and `expires` as Python writes them: `2031-05-06T07:08:09.123000+00:00`, never `Z`. Throws `RangeError` outside of the years 1 to 9999. */
export const formatEta = (epochMillis: number): string => IsoTime.format(epochMillis)

/**
 * Reads `eta` or `expires` as milliseconds since 1970, microseconds rounded up. A time without an offset is UTC, as Celery takes it in protocol 2; with
 * `utc: false` it is in the zone of this machine.
 */
export const parseEta = (
  text: string,
  options: { readonly utc?: boolean | undefined } = {}
): Result.Result<number, InvalidEta> => {
  const time = IsoTime.parse(text)
  if (time === undefined) {
    return Result.fail(
      new InvalidEta({
        message: `Not an ISO 8601 time: ${JSON.stringify(text.slice(0, 64))}; write it like 2031-05-06T07:08:09+00:00`
      })
    )
  }
  if (time.aware || options.utc !== false) return Result.succeed(time.epochMillis)
  const at = new Date(time.epochMillis)
  const local = new Date(0)
  local.setFullYear(at.getUTCFullYear(), at.getUTCMonth(), at.getUTCDate())
  local.setHours(at.getUTCHours(), at.getUTCMinutes(), at.getUTCSeconds(), at.getUTCMilliseconds())
  return Result.succeed(local.getTime())
}
