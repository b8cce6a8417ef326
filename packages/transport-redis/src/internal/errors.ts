/** What Redis and its client say, as what the caller can do about it. No text carries a password: Redis' own never repeat one. */
import {
  AccessRefused,
  ChannelClosed,
  ConnectionLost,
  HubError,
  OutOfMemory,
  ProtocolMismatch,
  type Reason,
  VhostNotFound
} from "@apium/hub/HubError"
import type { RedisError } from "effect/persistence/Redis"
import { advised, stranger } from "./advice.ts"

/** Beginnings of replies after which another link, or the same server in a while, may take what this one did not. */
const passing =
  /^(?:LOADING|BUSY|MASTERDOWN|READONLY|MOVED|ASK|CLUSTERDOWN|TRYAGAIN|UNBLOCKED|NOREPLICAS|MISCONF|ERR max number of clients)/
/** Of these, what a server says that will take what it does not take now: no other link would help. */
const later = /^(?:LOADING|BUSY|MISCONF|NOREPLICAS|TRYAGAIN)\b/
const denied = /^(?:NOAUTH|WRONGPASS|NOPERM|ERR (?:AUTH|invalid password|Client sent AUTH))/

export const textOf = (cause: unknown): string => {
  if (!(cause instanceof Error)) return String(cause)
  // Node.js has one failure per address of a name, and no text of its own.
  if (cause instanceof AggregateError && cause.message === "") return cause.errors.map(textOf).join("; ")
  return cause.message === "" ? cause.name : cause.message
}

/** Said by a server that loads, is busy, or cannot write to its disk: to a PING, too. It is there, and the link is as good as any. */
export const isLater = (text: string): boolean => later.test(text)

/** A reply begins with its code, a failure of the socket or the client does not; classes lose their names in a bundle. */
const isReply = (text: string): boolean => /^[A-Z][A-Z0-9_]+ /.test(text)

/** `key`: what the command was about, for a reply that does not say. */
export const reasonOf = (cause: unknown, key?: string): Reason => {
  const said = textOf(cause)
  const offered = stranger(said)
  if (offered !== undefined) return new ProtocolMismatch({ offered })
  const text = key !== undefined && said.startsWith("WRONGTYPE") ? `${said}: ${key}` : advised(said)
  if (!isReply(said)) return new ConnectionLost({ cause: "closed", text })
  if (passing.test(said)) return new ConnectionLost({ cause: "closed", text })
  if (said.startsWith("OOM")) return new OutOfMemory({ text })
  if (denied.test(said)) return new AccessRefused({ replyText: text })
  if (/^ERR (?:DB index|SELECT is not allowed)/.test(said)) return new VhostNotFound({ vhost: text })
  // 406, PRECONDITION_FAILED: a key that is no list (WRONGTYPE), a command that this Redis does not have. Class and method are basic.publish's.
  return new ChannelClosed({ replyCode: 406, replyText: `PRECONDITION_FAILED - ${text}`, classId: 60, methodId: 40 })
}

export const hubError = ({ cause }: RedisError, key?: string): HubError =>
  new HubError({ reason: reasonOf(cause, key) })
