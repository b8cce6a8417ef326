/**
 * What can go wrong between us and a broker: one error, `HubError`, with one tagged `reason` per thing the caller can do
 * something about. `Effect.catchReason("HubError", "ChannelClosed", ...)` picks one out.
 *
 * No reason carries a secret: a URL in a text has been masked before it gets here.
 */
import { didYouMean } from "@apium/protocol/Suggest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

/**
 * The link is gone; everything scoped to it has to be acquired again. With `requestTimeout` it is one channel: the broker did
 * not answer, and what `text` says was asked.
 */
export class ConnectionLost extends Schema.TaggedError<ConnectionLost>()("ConnectionLost", {
  cause: Schema.Literals(["closed", "heartbeat", "writeTimeout", "requestTimeout", "unreachable"]),
  text: Schema.String
}) {
  override get message() {
    return `Connection lost (${this.cause}): ${this.text}`
  }
}

/**
 * The broker closed the channel: the request was wrong, the connection still stands. Both ids are 0 when it was no request,
 * but something held too long (RabbitMQ's `consumer_timeout`, 406).
 */
export class ChannelClosed extends Schema.TaggedError<ChannelClosed>()("ChannelClosed", {
  replyCode: Schema.Int,
  replyText: Schema.String,
  classId: Schema.Int,
  methodId: Schema.Int
}) {
  override get message() {
    return `Channel closed by the broker: ${this.replyCode} ${this.replyText}`
  }
}

/** Bad credentials, or no right to do this. */
export class AccessRefused extends Schema.TaggedError<AccessRefused>()("AccessRefused", { replyText: Schema.String }) {
  override get message() {
    return `Access refused: ${this.replyText}`
  }
}

export class VhostNotFound extends Schema.TaggedError<VhostNotFound>()("VhostNotFound", { vhost: Schema.String }) {
  override get message() {
    return `No such virtual host: ${this.vhost}`
  }
}

/** The peer speaks something else; `offered` is what it sent instead. */
export class ProtocolMismatch extends Schema.TaggedError<ProtocolMismatch>()("ProtocolMismatch", {
  offered: Schema.String
}) {
  override get message() {
    return `The peer does not speak our protocol; it offered ${this.offered}`
  }
}

export class TlsFailed extends Schema.TaggedError<TlsFailed>()("TlsFailed", { kind: Schema.String }) {
  override get message() {
    return `TLS failed: ${this.kind}`
  }
}

export class NoCommonMechanism extends Schema.TaggedError<NoCommonMechanism>()("NoCommonMechanism", {
  offered: Schema.Array(Schema.String)
}) {
  override get message() {
    return `No authentication mechanism in common; the broker offers ${this.offered.join(", ")}`
  }
}

/** A mandatory message that no queue took (312 NO_ROUTE). */
export class Returned extends Schema.TaggedError<Returned>()("Returned", {
  replyCode: Schema.Int,
  exchange: Schema.String,
  routingKey: Schema.String
}) {
  override get message() {
    return `No queue took the message: exchange ${JSON.stringify(this.exchange)}, routing key ${JSON.stringify(this.routingKey)} (${this.replyCode})`
  }
}

/** The broker refused to take responsibility for the message. */
export class Nacked extends Schema.TaggedError<Nacked>()("Nacked", {
  exchange: Schema.String,
  routingKey: Schema.String
}) {
  override get message() {
    return `The broker refused the message: exchange ${JSON.stringify(this.exchange)}, routing key ${JSON.stringify(this.routingKey)}`
  }
}

/** The broker ended the consumer, usually because its queue was deleted. */
export class ConsumerCancelled extends Schema.TaggedError<ConsumerCancelled>()("ConsumerCancelled", {
  queue: Schema.String
}) {
  override get message() {
    return `The broker cancelled the consumer of ${JSON.stringify(this.queue)}; was the queue deleted?`
  }
}

/** Content of a type that is not on the accept-list, or whose serializer is not registered; `text` says what to do. */
export class ContentDisallowed extends Schema.TaggedError<ContentDisallowed>()("ContentDisallowed", {
  contentType: Schema.String,
  text: Schema.String
}) {
  override get message() {
    return this.text
  }
}

/** A signed body that nobody who is trusted signed as it is (Celery's `SecurityError`): nothing of it was read. */
export class SignatureRefused extends Schema.TaggedError<SignatureRefused>()("SignatureRefused", {
  text: Schema.String
}) {
  override get message() {
    return `The signature of the message was refused: ${this.text}`
  }
}

/** Bytes that are not what they claim to be. */
export class DecodeFailed extends Schema.TaggedError<DecodeFailed>()("DecodeFailed", {
  what: Schema.String,
  text: Schema.String
}) {
  override get message() {
    return `Cannot decode ${this.what}: ${this.text}`
  }
}

/** A value, or an option, that no message can carry; `text` names the place in the value. */
export class EncodeFailed extends Schema.TaggedError<EncodeFailed>()("EncodeFailed", {
  what: Schema.String,
  text: Schema.String
}) {
  override get message() {
    return `Cannot encode ${this.what}: ${this.text}`
  }
}

/** `size` and `limit` in bytes. */
export class FrameTooLarge extends Schema.TaggedError<FrameTooLarge>()("FrameTooLarge", {
  size: Schema.Int,
  limit: Schema.Int
}) {
  override get message() {
    return `${this.size} bytes exceed the limit of ${this.limit}`
  }
}

export class OutOfMemory extends Schema.TaggedError<OutOfMemory>()("OutOfMemory", { text: Schema.String }) {
  override get message() {
    return `The broker is out of memory: ${this.text}`
  }
}

/** The broker does not keep a message until `notBefore`, which was not published: without `notBefore` it can be. */
export class DelayRefused extends Schema.TaggedError<DelayRefused>()("DelayRefused", { text: Schema.String }) {
  override get message() {
    return `The broker does not keep the message until it is due: ${this.text}`
  }
}

/** How many names an error tells at most. */
const shown = 20

/** A queue that nobody described, where none is made by its name alone (Celery's `task_create_missing_queues`). */
export class QueueNotFound extends Schema.TaggedError<QueueNotFound>()("QueueNotFound", {
  queue: Schema.String,
  /** Those that were described. */
  known: Schema.Array(Schema.String)
}) {
  override get message() {
    const more = this.known.length > shown ? ` and ${this.known.length - shown} more` : ""
    return `There is no queue ${JSON.stringify(this.queue)} among those described: ${this.known.slice(0, shown).join(", ")}${more}.${didYouMean(this.queue, this.known)}`
  }
}

/** A route (Celery's `task_routes`) that says nowhere to go; `route` is its place among the routes, `text` what to do. */
export class RouteFailed extends Schema.TaggedError<RouteFailed>()("RouteFailed", {
  route: Schema.String,
  text: Schema.String
}) {
  override get message() {
    return `${this.route}: ${this.text}`
  }
}

export const Reason = Schema.Union([
  ConnectionLost,
  ChannelClosed,
  AccessRefused,
  VhostNotFound,
  ProtocolMismatch,
  TlsFailed,
  NoCommonMechanism,
  Returned,
  Nacked,
  ConsumerCancelled,
  ContentDisallowed,
  SignatureRefused,
  DecodeFailed,
  EncodeFailed,
  FrameTooLarge,
  OutOfMemory,
  DelayRefused,
  QueueNotFound,
  RouteFailed
])

export type Reason = typeof Reason.Type

export class HubError extends Schema.TaggedError<HubError>()("HubError", {
  reason: Reason,
  /** Of a batch that may be taken a little later: what is in no queue, by its places. Left out: nobody knows, or none of it is. */
  unsent: Schema.optionalKey(Schema.Array(Schema.Int))
}) {
  /** Whether running the same lines again can help, on a fresh link or a fresh channel. */
  get recoverable(): boolean {
    switch (this.reason._tag) {
      case "ConnectionLost":
      case "ConsumerCancelled":
        return true
      case "ChannelClosed":
        return this.reason.classId === 0 && this.reason.methodId === 0
      default:
        return false
    }
  }

  /** Whether the same request may be taken a little later: nothing is wrong with it, or with the link. */
  get transient(): boolean {
    return this.reason._tag === "Nacked" || this.reason._tag === "OutOfMemory"
  }

  override get message() {
    return this.reason.message
  }
}

/** A failed effect with this reason. */
export const fail = (reason: Reason): Effect.Effect<never, HubError> => Effect.fail(new HubError({ reason }))
