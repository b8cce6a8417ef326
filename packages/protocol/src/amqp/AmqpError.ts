/**
 * What can be wrong with octets, and with what we are asked to turn into octets. Three errors, for there are three things to do about them: close what
 * `replyCode` says, mend the value, or send less.
 */
import * as Data from "effect/Data"
import * as Constants from "./Constants.ts"

/**
 * Octets that no AMQP 0-9-1 peer may send. `replyCode` is what to close with, `Constants.replyScope(replyCode)` says what: almost always the connection,
 * for nothing that follows can be told apart any more. `octets` shows the place in hex, 16 octets at the most, and nothing where a secret may stand.
 */
export class AmqpError extends Data.TaggedError("AmqpError")<{
  readonly message: string
  readonly replyCode: number
  /** The channel of the frame; 0 is the connection itself. */
  readonly channel?: number | undefined
  /** The class and method that was being read, to be named in `connection.close`. */
  readonly classId?: number | undefined
  readonly methodId?: number | undefined
  readonly octets?: string | undefined
}> {
  /** Whether closing the channel is enough. */
  get scope(): Constants.Scope {
    return Constants.replyScope(this.replyCode)
  }
}

/** A value that cannot be written. `path` is its place: `headers.timelimit[1]`, `queue`. */
export class InvalidValue extends Data.TaggedError("InvalidValue")<{
  readonly message: string
  readonly path: string
}> {}

/** A method or a content header that fits in no frame of this connection. Nothing of it has been written, and the connection stands. */
export class FrameTooLarge extends Data.TaggedError("FrameTooLarge")<{
  readonly message: string
  /** Octets, with the eight around the payload. */
  readonly size: number
  readonly frameMax: number
}> {}

export type EncodeError = InvalidValue | FrameTooLarge

/** Up to 16 octets from `at`, in hex. */
export const preview = (bytes: Uint8Array, at: number, end = bytes.length): string => {
  let text = ""
  for (let index = at; index < end && index < at + 16; index++) text += bytes[index]!.toString(16).padStart(2, "0")
  return text
}
