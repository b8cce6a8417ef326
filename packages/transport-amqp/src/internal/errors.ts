/** What the codec, the socket and the broker say, as the hub's errors. No text here holds a password: none is known here. */
import { ChannelClosed, ConnectionLost, EncodeFailed, FrameTooLarge, HubError, TlsFailed } from "@apium/hub/HubError"
import type { EncodeError } from "@apium/protocol/amqp/AmqpError"
import * as Constants from "@apium/protocol/amqp/Constants"
import * as Method from "@apium/protocol/amqp/Method"
import type { SocketError } from "effect/socket/Socket"

export const lost = (cause: ConnectionLost["cause"], text: string): HubError =>
  new HubError({ reason: new ConnectionLost({ cause, text }) })

/** The broker's `channel.close`, or the `connection.close` that answers one request. */
export const refused = ({
  replyCode,
  replyText,
  classId,
  methodId
}: Method.ChannelClose | Method.ConnectionClose): HubError =>
  new HubError({ reason: new ChannelClosed({ replyCode, replyText, classId, methodId }) })

/** All channels that were agreed on are open. */
export const noneLeft = (channelMax: number): HubError =>
  refused(
    Method.channelClose({
      replyCode: Constants.notAllowed,
      replyText: `NOT_ALLOWED - this connection has ${channelMax} channels, which are all (channel_max)`,
      classId: 20,
      methodId: 10
    })
  )

/** What cannot be written: nothing of it has been. It may have waited, and who writes it now is not to blame. */
export const notWritten = (error: unknown): HubError => {
  const failure = Object(error) as EncodeError
  switch (failure._tag) {
    case "FrameTooLarge":
      return new HubError({ reason: new FrameTooLarge({ size: failure.size, limit: failure.frameMax }) })
    case "InvalidValue":
      return new HubError({ reason: new EncodeFailed({ what: failure.path, text: failure.message }) })
    default:
      // No message at all, for the compiler would have refused it.
      return new HubError({ reason: new EncodeFailed({ what: "the message", text: String(error) }) })
  }
}

/** Node.js names it in `code`. */
const codeOf = (cause: unknown): string | undefined => {
  if (typeof cause !== "object" || cause === null) return undefined
  const code: unknown = Reflect.get(cause, "code")
  if (typeof code === "string") return code
  // Several addresses of one host, and all of them failed.
  const errors: unknown = Reflect.get(cause, "errors")
  return Array.isArray(errors) ? codeOf(errors[0]) : undefined
}

const tlsCode =
  /^(ERR_TLS|ERR_SSL|ERR_OSSL|CERT_|EPROTO|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO|INVALID_CA|HOSTNAME_MISMATCH|CRL_)/

/** A connection that could not be opened; `where` is its address without the password. */
export const notOpened = (error: SocketError, where: string): HubError => {
  const { reason } = error
  const code = "cause" in reason ? codeOf(reason.cause) : undefined
  if (code !== undefined && tlsCode.test(code)) return new HubError({ reason: new TlsFailed({ kind: code }) })
  const why = reason._tag === "SocketOpenError" && reason.kind === "Timeout" ? "no answer in time" : code
  return lost("unreachable", `${where}: ${why ?? reason._tag}`)
}

/** With TLS 1.3 a client hears only after its handshake what the server thinks of its certificate. */
const certificateRefused = /ALERT.*(CERTIFICATE|UNKNOWN_CA|ACCESS_DENIED)/

/** An open connection that ended. */
export const ended = (error: SocketError, step: string): HubError => {
  const { reason } = error
  const code = "cause" in reason ? codeOf(reason.cause) : undefined
  if (code !== undefined && certificateRefused.test(code))
    return new HubError({ reason: new TlsFailed({ kind: code }) })
  return lost("closed", `the peer closed the socket ${step}${code === undefined ? "" : ` (${code})`}`)
}
