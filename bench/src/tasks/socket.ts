/** The ceiling: a socket that sends the octets of our client's message, encoded before, 256 unconfirmed at a time (`amqp/raw.ts`). */
import { FrameWriter } from "@apium/protocol/amqp/FrameWriter"
import * as Method from "@apium/protocol/amqp/Method"
import { confirming } from "../amqp/raw.ts"
import { route, sample } from "./channel.ts"
import type { Program } from "./work.ts"

export const program: Program = {
  produce: async (urls) => {
    const { body, headers, properties } = await sample(urls)
    const frames = new FrameWriter(131_072)
    const { exchange, routingKey, mandatory } = route
    frames.publish(1, Method.basicPublish({ exchange, routingKey, mandatory }), { properties, headers, body })
    const { turn } = await confirming(Buffer.concat(frames.take()))(urls.broker)
    return { send: (_manner, _task, count) => turn(count) }
  }
}
