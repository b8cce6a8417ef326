/**
 * The constants of AMQP 0-9-1 (`amqp0-9-1.xml`, and RabbitMQ's list of the same): frame types, sizes, reply codes.
 *
 * A frame: type (1 octet), channel (2), size (4), payload (size), end octet.
 */

export const frameMethod = 1
export const frameHeader = 2
export const frameBody = 3
export const frameHeartbeat = 8
/** Closes every frame. */
export const frameEnd = 206
/** No peer may ask for smaller frames; RabbitMQ 4.1 and later want 8192. */
export const frameMinSize = 4096
/** Octets of a frame around its payload: the header of seven, and the end. */
export const frameOverhead = 8
/** What a client sends first: `AMQP`, 0, and the version 0-9-1. A server that speaks another one answers with its own. */
export const protocolHeader: ReadonlyArray<number> = [0x41, 0x4d, 0x51, 0x50, 0, 0, 9, 1]

/** What a reply code closes: nothing, its channel (a soft error), or the connection (a hard one). */
export type Scope = "none" | "channel" | "connection"

export interface ReplyCode {
  readonly code: number
  /** As RabbitMQ writes it: `NOT_FOUND`. */
  readonly name: string
  readonly scope: Scope
}

export const replySuccess = 200
export const contentTooLarge = 311
export const noRoute = 312
export const noConsumers = 313
export const connectionForced = 320
export const invalidPath = 402
export const accessRefused = 403
export const notFound = 404
export const resourceLocked = 405
export const preconditionFailed = 406
export const frameError = 501
export const syntaxError = 502
export const commandInvalid = 503
export const channelError = 504
export const unexpectedFrame = 505
export const resourceError = 506
export const notAllowed = 530
export const notImplemented = 540
export const internalError = 541

export const replyCodes: ReadonlyArray<ReplyCode> = [
  { code: replySuccess, name: "REPLY_SUCCESS", scope: "none" },
  { code: contentTooLarge, name: "CONTENT_TOO_LARGE", scope: "channel" },
  { code: noRoute, name: "NO_ROUTE", scope: "channel" },
  { code: noConsumers, name: "NO_CONSUMERS", scope: "channel" },
  { code: connectionForced, name: "CONNECTION_FORCED", scope: "connection" },
  { code: invalidPath, name: "INVALID_PATH", scope: "connection" },
  { code: accessRefused, name: "ACCESS_REFUSED", scope: "channel" },
  { code: notFound, name: "NOT_FOUND", scope: "channel" },
  { code: resourceLocked, name: "RESOURCE_LOCKED", scope: "channel" },
  { code: preconditionFailed, name: "PRECONDITION_FAILED", scope: "channel" },
  { code: frameError, name: "FRAME_ERROR", scope: "connection" },
  { code: syntaxError, name: "SYNTAX_ERROR", scope: "connection" },
  { code: commandInvalid, name: "COMMAND_INVALID", scope: "connection" },
  { code: channelError, name: "CHANNEL_ERROR", scope: "connection" },
  { code: unexpectedFrame, name: "UNEXPECTED_FRAME", scope: "connection" },
  { code: resourceError, name: "RESOURCE_ERROR", scope: "connection" },
  { code: notAllowed, name: "NOT_ALLOWED", scope: "connection" },
  { code: notImplemented, name: "NOT_IMPLEMENTED", scope: "connection" },
  { code: internalError, name: "INTERNAL_ERROR", scope: "connection" }
]

const byCode = new Map(replyCodes.map((reply) => [reply.code, reply]))

/** `NOT_FOUND` for 404; `REPLY_799` for a code that nobody has defined. */
export const replyName = (code: number): string => byCode.get(code)?.name ?? `REPLY_${code}`

/** What a reply code closes by the specification. RabbitMQ closes the channel on 540 and the like, too: who closes says so by the method it sends. */
export const replyScope = (code: number): Scope => byCode.get(code)?.scope ?? "connection"
