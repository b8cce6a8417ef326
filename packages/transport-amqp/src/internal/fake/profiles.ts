/**
 * What the versions of RabbitMQ refuse, as their sources have it: `rabbit_amqqueue.erl`, `rabbit_classic_queue.erl`,
 * `rabbit_quorum_queue.erl`, `rabbit_reader.erl` and `rabbit_framing.hrl` of v3.10 and v4.3.5.
 */
import { ChannelClosed, fail, type HubError } from "@apium/hub/HubError"
import * as Constants from "@apium/protocol/amqp/Constants"
import * as Method from "@apium/protocol/amqp/Method"
import * as Effect from "effect/Effect"

export interface Profile {
  readonly version: string
  /** The least `frame_max`, and the largest frame before one is agreed on. */
  readonly frameMin: number
  /** Octets of a body; RabbitMQ's `max_message_size`. */
  readonly maxMessageSize: number
  /**
   * The features that 4.3 denies: transient queues that are not exclusive (541), `x-queue-master-locator` (541), and `basic.qos`
   * with `global`. The last RabbitMQ 4.3 takes for one without it and says so in its log alone: here it is 540, so that a test sees it.
   */
  readonly deniesDeprecated: boolean
}

export const profiles = {
  "3.10": { version: "3.10.8", frameMin: 4096, maxMessageSize: 134_217_728, deniesDeprecated: false },
  strict43: { version: "4.3.5", frameMin: 8192, maxMessageSize: 16_777_216, deniesDeprecated: true }
} as const satisfies Record<string, Profile>

export type ProfileName = keyof typeof profiles

/** A broker's no to a method: the channel closes with this, or the connection. */
export const refuse = (tag: Method.Tag, replyCode: number, text: string): Effect.Effect<never, HubError> => {
  const { classId, methodId } = Method.infos[tag]
  const replyText = `${Constants.replyName(replyCode)} - ${text}`
  return fail(new ChannelClosed({ replyCode, replyText, classId, methodId }))
}

/** RabbitMQ's text for a feature that is `denied_by_default`. */
const denied = (feature: string): string =>
  `Feature \`${feature}\` is deprecated.\n` +
  "By default, this feature is not permitted anymore.\n" +
  "The feature will be removed from a future major RabbitMQ version, regardless of the configuration; actual version to be determined."

/** What quorum queues have no use for, of what classic ones take. */
const classicOnly = ["x-max-priority", "x-queue-mode", "x-queue-version", "x-queue-master-locator"]

export const checkQueue = (
  profile: Profile,
  vhost: string,
  { arguments: args, durable, exclusive, queue }: Method.QueueDeclare
): Effect.Effect<void, HubError> => {
  const named = `queue '${queue}' in vhost '${vhost}'`
  const invalid = (what: string) => refuse("queue.declare", 406, `invalid ${what}`)
  const type = args["x-queue-type"]
  if (type === "quorum" || type === "stream") {
    if (!durable) return invalid(`property 'non-durable' for ${named}`)
    if (exclusive) return invalid(`property 'exclusive-owner' for ${named}`)
    const wrong = classicOnly.find((name) => name in args)
    return wrong === undefined ? Effect.void : invalid(`arg '${wrong}' for ${named} of queue type rabbit_${type}_queue`)
  }
  if (type !== undefined && type !== "classic") return invalid(`arg 'x-queue-type' for ${named}: invalid_queue_type`)
  if (!profile.deniesDeprecated) return Effect.void
  if (!durable && !exclusive) return refuse("queue.declare", 541, denied("transient_nonexcl_queues"))
  return "x-queue-master-locator" in args ? refuse("queue.declare", 541, denied("queue_master_locator")) : Effect.void
}

/** `basic.qos` bounds each consumer; over a channel, only where that is still allowed. */
export const checkQos = (
  profile: Profile,
  { global, prefetchSize }: Method.BasicQos
): Effect.Effect<void, HubError> => {
  if (prefetchSize !== 0) return refuse("basic.qos", 540, `prefetch_size!=0 (${prefetchSize})`)
  return global && profile.deniesDeprecated ? refuse("basic.qos", 540, denied("global_qos")) : Effect.void
}
