/** What stands in a list and is no message (RELIABILITY D13), and numbers that cjson would damage (D14). */
import { Connection } from "@apium/hub/Connection"
import * as Consumer from "@apium/hub/Consumer"
import * as Message from "@apium/hub/Message"
import * as Queue from "@apium/hub/Queue"
import { assert, layer } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import * as Figures from "../../../../test/support/Figures.ts"
import * as Python from "../../../../test/support/Python.ts"
import { Redis as Server } from "../../../../test/support/Redis.ts"
import * as stores from "../support/stores.ts"

const large = Figures.times(8, 16, 64) * 1_048_576

/** Pieces of Lua that make a text: the server makes the large ones itself, and bytes that are no UTF-8. */
const text = (value: string): string =>
  `'${[...new TextEncoder().encode(value)].map((octet) => `\\${String(octet).padStart(3, "0")}`).join("")}'`
const octets = (...values: ReadonlyArray<number>): string => `'${values.map((octet) => `\\${octet}`).join("")}'`

const envelope = (body: string, encoding: string) =>
  text(JSON.stringify({ body, headers: {}, properties: { delivery_tag: "t", body_encoding: encoding } }))

const poison: Readonly<Record<string, string>> = {
  "not JSON": text("not json"),
  "an empty text": text(""),
  "a number": text("7"),
  "a list": text("[1, 2]"),
  "no properties": text('{"body": "e30=", "headers": {}}'),
  "properties that are a list": text('{"properties": []}'),
  "properties that are null": text('{"properties": null}'),
  "no delivery tag": text('{"body": "", "properties": {"body_encoding": "base64"}}'),
  "headers that are a text": text('{"body": "", "headers": "x", "properties": {"delivery_tag": "t"}}'),
  "delivery_info that is a number": text('{"body": "", "properties": {"delivery_tag": "t", "delivery_info": 1}}'),
  "a priority that is a text": text('{"body": "", "properties": {"delivery_tag": "t", "priority": "high"}}'),
  "no base64": envelope("%%%", "base64"),
  "an encoding nobody has": envelope("", "rot13"),
  "1,200 lists in each other": text("[".repeat(1200) + "]".repeat(1200)),
  "1,200 lists in each other, as a header": text(
    `{"body": "", "headers": {"x": ${"[".repeat(1200)}${"]".repeat(1200)}}, "properties": {"delivery_tag": "t"}}`
  ),
  "half of an envelope": text('{"body": "e30=", "properties": {"delivery_tag": "t"'),
  // {"body": "", "properties": {"delivery_tag": "t"}}
  msgpack: octets(
    130,
    164,
    98,
    111,
    100,
    121,
    160,
    170,
    112,
    114,
    111,
    112,
    101,
    114,
    116,
    105,
    101,
    115,
    129,
    160,
    160
  ),
  "bytes that are no UTF-8": octets(255, 254, 0, 1, 10, 13, 195, 40),
  "UTF-16": octets(123, 0, 125, 0),
  "a pickle": octets(128, 4, 149, 10, 0, 0, 0, 0, 0, 0, 0, 125, 148, 46),
  "large and not JSON": `string.rep('x', ${large})`,
  "large and no base64": `'{"properties": {"delivery_tag": "t", "body_encoding": "base64"}, "body": "' .. string.rep('%', ${large}) .. '"}'`
}

layer(stores.connected(Server.layer()), { excludeTestServices: true })("a consumer", (it) => {
  it.effect("goes on behind what it cannot read, which is put aside to the byte, with the reason", () =>
    Effect.gen(function* () {
      const server = yield* Server
      const queue = Queue.make("poison")
      const names = Object.keys(poison)
      const sums: Array<string> = []
      const received: Array<string> = []
      const connection = yield* Connection
      const put = (name: string) =>
        connection.publish(Message.make(new TextEncoder().encode(name)), { exchange: "", routingKey: queue.name })
      yield* connection.declare({ queues: [queue] })
      for (const [name, lua] of Object.entries(poison)) {
        const sum = yield* server.command(
          "EVAL",
          `local item = ${lua}; redis.call('LPUSH', KEYS[1], item); return redis.sha1hex(item)`,
          1,
          queue.name
        )
        sums.push(String(sum))
        yield* put(name)
      }
      const rss = process.memoryUsage().rss
      const consuming = yield* Effect.forkChild(
        Consumer.run([queue], {
          concurrency: 5,
          handle: ({ message }) => Effect.sync(() => void received.push(new TextDecoder().decode(message.body)))
        })
      )
      yield* Figures.until(Effect.sync(() => received.length >= names.length)).pipe(Effect.timeoutOption("1 minute"))
      const aside = (yield* server.command(
        "EVAL",
        `local out = {}
for _, item in ipairs(redis.call('LRANGE', KEYS[1], 0, -1)) do
  local line = string.find(item, '\\n', 1, true)
  out[#out + 1] = string.sub(item, 1, line - 1)
  out[#out + 1] = redis.sha1hex(string.sub(item, line + 1))
end
return out`,
        1,
        `${queue.name}.unreadable`
      )) as ReadonlyArray<string>
      const reasons = new Map(
        aside.flatMap((sum, at) => (at % 2 === 1 ? [[names[sums.indexOf(sum)] ?? sum, aside[at - 1]!] as const] : []))
      )
      yield* Figures.print(
        `D13 poison=${names.length} aside=${reasons.size} read behind=${received.length} lost=${names.length - new Set(received).size} large=${large / 1_048_576} MiB, resident +${Figures.mebibytes(process.memoryUsage().rss - rss)} MiB\n` +
          [...reasons].map(([name, reason]) => `  ${name}: ${reason.slice(0, 120)}`).join("\n")
      )
      assert.sameMembers(received, names)
      assert.sameMembers([...reasons.keys()], names)
      for (const [name, reason] of reasons) {
        assert.match(reason, /^\P{Cc}{5,300}$/u, name)
      }
      assert.isFalse(consuming.pollUnsafe() !== undefined)
      yield* Fiber.interrupt(consuming)
      yield* stores.until(Effect.map(server.command("HLEN", "unacked"), (count) => count === 0))
    })
  )

  it.effect(
    "gives back what it took to the last digit of a number and the last empty list, as do a sweep and Python",
    () =>
      Effect.gen(function* () {
        const server = yield* Server
        const queue = "numbers"
        const fragile =
          '"large": 9007199254740993, "larger": 123456789012345678901234567890, "none": [], "of": {}, "nested": [[], {}, [9007199254740993]], "small": 0.1, "negative": -9223372036854775808'
        const item = `{"body": "W10=", "content-encoding": "utf-8", "content-type": "application/json", "headers": {${fragile}}, "properties": {"delivery_info": {"exchange": "", "routing_key": "${queue}"}, "priority": 0, "body_encoding": "base64", "delivery_tag": "t", ${fragile}}, ${fragile}}`
        yield* server.command("LPUSH", queue, item)
        const whole = (raw: unknown, how: string) => {
          for (const part of fragile.split(/, (?=")/)) {
            assert.strictEqual(String(raw).split(part).length - 1, 3, `${how}: ${part} in ${String(raw)}`)
          }
        }
        const back = server.command("LINDEX", queue, 0)
        const { store, sweep } = yield* stores.open(server.url(), { visibilityTimeout: "3 seconds" })
        const [first] = yield* store.take([queue], 1)
        const held = (yield* server.command("HVALS", "unacked")) as ReadonlyArray<string>
        whole(held[0], "held")
        yield* store.restore([first!.tag], { side: "near" })
        whole(yield* back, "restored")
        yield* Effect.scoped(
          Effect.gen(function* () {
            const dying = yield* stores.open(server.url())
            const [held] = yield* dying.store.take([queue], 1)
            yield* dying.link.cut
            yield* stores.forgotten(held!.tag)
          })
        )
        yield* Figures.until(Effect.map(Effect.andThen(sweep, store.size(queue)), (size) => size === 1))
        whole(yield* back, "swept")
        yield* Python.run(
          `
import os, sys
from kombu import Connection
Connection(sys.argv[1]).SimpleQueue(sys.argv[2]).get(timeout=60)
os._exit(0)
`,
          { args: [server.url(), queue] }
        )
        yield* Figures.until(Effect.map(Effect.andThen(sweep, store.size(queue)), (size) => size === 1))
        whole(yield* back, "taken by Python, and swept")
        const [last] = yield* store.take([queue], 1)
        assert.deepStrictEqual(
          [
            last!.message.headers["large"],
            last!.message.headers["none"],
            last!.message.headers["of"],
            last!.deliveryCount
          ],
          [9007199254740993n, [], {}, 3]
        )
        yield* store.settle([last!.tag])
      })
  )
})
