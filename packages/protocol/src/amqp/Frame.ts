/** One frame as bytes. What publishes and acknowledges in numbers uses `FrameWriter`, which puts many frames into one buffer. */
import * as Constants from "./Constants.ts"
import type { Frame } from "./FrameParser.ts"
import * as Method from "./Method.ts"

export type { Frame } from "./FrameParser.ts"

/** A frame around a payload; what it says is not looked at. */
export const encode = (frame: Frame): Uint8Array => {
  const { payload, channel } = frame
  const bytes = new Uint8Array(payload.length + Constants.frameOverhead)
  const view = new DataView(bytes.buffer)
  view.setUint8(0, frame.type)
  view.setUint16(1, channel)
  view.setUint32(3, payload.length)
  bytes.set(payload, 7)
  bytes[bytes.length - 1] = Constants.frameEnd
  return bytes
}

/** A method's frame; throws `InvalidValue`. */
export const method = (channel: number, method: Method.Method): Uint8Array =>
  encode({ type: Constants.frameMethod, channel, payload: Method.encodeUnsafe(method) })

/** A heartbeat: eight octets. */
export const heartbeat = (): Uint8Array =>
  encode({ type: Constants.frameHeartbeat, channel: 0, payload: new Uint8Array(0) })

/** The eight octets that open a connection. */
export const protocolHeader = (): Uint8Array => Uint8Array.from(Constants.protocolHeader)
