/**
 * What two peers agree on before a connection opens (section 4.2 of the specification, by RabbitMQ's reading of it, `rabbit_reader.erl`). 0 is no limit, and
 * for the heartbeat none at all.
 *
 * | | the client's answer |
 * | --- | --- |
 * | `channelMax`, `frameMax` | the smaller of the two; where one has no limit, the other's |
 * | `heartbeat`, seconds | the smaller of the two; the client's where the server has none; none where the client wants none, as py-amqp has it |
 */
import * as Result from "effect/Result"
import { AmqpError } from "./AmqpError.ts"
import * as Constants from "./Constants.ts"

export interface Limits {
  /** The highest number of a channel. */
  readonly channelMax: number
  /** Octets of a whole frame. */
  readonly frameMax: number
  /** Seconds. */
  readonly heartbeat: number
}

/** What py-amqp asks for, but for the heartbeat: that is Celery's `broker_heartbeat`. */
export const defaults: Limits = { channelMax: 65_535, frameMax: 131_072, heartbeat: 120 }

/** What RabbitMQ offers out of the box. */
export const rabbitmq: Limits = { channelMax: 2047, frameMax: 131_072, heartbeat: 60 }

const lower = (a: number, b: number): number => (a === 0 || b === 0 ? Math.max(a, b) : Math.min(a, b))

/** What a client answers in `connection.tune-ok`. Fails where the two leave no frame of the smallest size. */
export const negotiate = (offered: Limits, wanted: Limits): Result.Result<Limits, AmqpError> => {
  const frameMax = lower(offered.frameMax, wanted.frameMax)
  if (frameMax !== 0 && frameMax < Constants.frameMinSize) {
    return Result.fail(
      refuse(
        `The server offers frames of ${offered.frameMax} octets, ${wanted.frameMax} were wanted: ${Constants.frameMinSize} are the least`
      )
    )
  }
  return Result.succeed({
    channelMax: lower(offered.channelMax, wanted.channelMax),
    frameMax,
    heartbeat: wanted.heartbeat === 0 ? 0 : lower(offered.heartbeat, wanted.heartbeat)
  })
}

/** What a server makes of `connection.tune-ok`: it refuses what goes beyond its offer, and frames below `frameMin` (8192 from RabbitMQ 4.1 on). */
export const accept = (
  offered: Limits,
  answered: Limits,
  frameMin: number = Constants.frameMinSize
): Result.Result<Limits, AmqpError> => {
  const problem =
    outside("channel_max", 1, offered.channelMax, answered.channelMax) ??
    outside("frame_max", frameMin, offered.frameMax, answered.frameMax)
  return problem === undefined ? Result.succeed(answered) : Result.fail(refuse(problem))
}

const outside = (name: string, least: number, offered: number, answered: number): string | undefined => {
  if (answered !== 0 && answered < least) {
    return `negotiated ${name} = ${answered} is lower than the minimum allowed value (${least})`
  }
  if (offered !== 0 && (answered === 0 || answered > offered)) {
    return `negotiated ${name} = ${answered} is higher than the maximum allowed value (${offered})`
  }
  return undefined
}

const refuse = (message: string): AmqpError =>
  new AmqpError({ message, replyCode: Constants.notAllowed, channel: 0, classId: 10, methodId: 31 })
