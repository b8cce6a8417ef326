import type * as Command from "@apium/protocol/amqp/Command"
import * as Constants from "@apium/protocol/amqp/Constants"
import { AmqpError } from "@apium/protocol/amqp/AmqpError"
import { FrameWriter } from "@apium/protocol/amqp/FrameWriter"
import * as Method from "@apium/protocol/amqp/Method"
import * as Trace from "@apium/protocol/amqp/Trace"
import { assert, describe, it } from "@effect/vitest"
import * as Frames from "./support/Frames.ts"

const line = (method: Method.Method): string => Trace.command("c2s", { channel: 1, method, content: undefined })

describe("a trace", () => {
  it("says in one line what a command is", () => {
    assert.strictEqual(
      line(Method.queueDeclare({ queue: "celery", durable: true, arguments: { "x-max-priority": 10 } })),
      'c2s #1 queue.declare queue="celery" durable arguments={"x-max-priority":10}'
    )
    assert.strictEqual(
      line(Method.basicAck({ deliveryTag: 7, multiple: true })),
      "c2s #1 basic.ack delivery_tag=7 multiple"
    )
    assert.strictEqual(Trace.heartbeat("s2c"), "s2c #0 heartbeat")
    const error = new AmqpError({ message: "A frame\nends", replyCode: Constants.frameError, channel: 3 })
    assert.strictEqual(Trace.refusal("s2c", error), "s2c #3 refused 501 FRAME_ERROR: A frame\\nends")
  })

  it("counts what a message carries, and shows none of it", () => {
    const writer = new FrameWriter(4096)
    const body = new TextEncoder().encode("hunter2")
    writer.publish(1, Method.basicPublish({ routingKey: "k" }), {
      properties: { contentType: "text/plain" },
      headers: { a: "hunter2", b: 2 },
      body
    })
    const lines: Array<string> = []
    const onCommand = (command: Command.Command): unknown => lines.push(Trace.command("c2s", command))
    Frames.listen({ onCommand: (command) => void onCommand(command) }).parser.pushUnsafe(Frames.concat(writer.take()))
    assert.deepStrictEqual(lines, [
      'c2s #1 basic.publish exchange="" routing_key="k" | text/plain, 2 headers, 7 octets'
    ])
  })

  it("shows no credentials", () => {
    const octets = new TextEncoder().encode("hunter2")
    const methods = [
      Method.connectionStartOk({
        mechanism: "PLAIN",
        response: octets,
        clientProperties: { a: { password: "hunter2" } }
      }),
      Method.connectionSecure({ challenge: octets }),
      Method.connectionSecureOk({ response: octets }),
      Method.connectionUpdateSecret({ newSecret: octets, reason: "r" })
    ]
    for (const method of methods) {
      assert.notInclude(line(method), "hunter2")
      assert.include(line(method), "**")
    }
    assert.include(line(methods[3]!), 'new_secret=** reason="r"')
  })

  it("stays one line, and of a bearable length, whatever a peer sends", () => {
    const noise = `a\n\u001b[31m\u009b${"x".repeat(10_000)}`
    const shown =
      line(Method.connectionClose({ replyText: noise.slice(0, 200) })) +
      line(Method.basicConsume({ arguments: { noise, big: 2n ** 60n } }))
    assert.isFalse(/\p{Cc}/u.test(shown))
    assert.isBelow(shown.length, 1500)
  })

  it("has a line for each captured command", () => {
    let lines = 0
    const { parser } = Frames.listen({
      onCommand: (command) => {
        assert.match(Trace.command("s2c", command), /^s2c #\d+ [a-z]+\.[a-z-]+/)
        lines++
      }
    })
    for (const stream of Frames.streams()) parser.pushUnsafe(stream)
    assert.isAbove(lines, 200)
  })
})
