/** Where exchanges send a message, as RabbitMQ does it. */
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type { Arguments } from "../../Exchange.ts"
import type { Capabilities } from "../../Transport.ts"
import { type Case, drain, message, type Place, refuses, test, texts } from "./harness.ts"

/** Pattern, the keys it matches, and keys it does not. */
export const topicTable: ReadonlyArray<
  readonly [pattern: string, matches: ReadonlyArray<string>, misses: ReadonlyArray<string>]
> = [
  ["a.b", ["a.b"], ["a", "a.b.c", "a.c", "", "a.", ".b"]],
  ["*", ["a", "#", "*"], ["", "a.b", "."]],
  ["#", ["", "a", "a.b", ".", "a..b"], []],
  ["a.*", ["a.b", "a.", "a.*"], ["a", "a.b.c", "b.a"]],
  ["a.#", ["a", "a.b", "a.b.c", "a.", "a.."], ["", "b", "b.a", "aa"]],
  ["#.a", ["a", "b.a", "c.b.a", ".a"], ["", "a.b", "ba"]],
  ["*.a", ["b.a", ".a"], ["a", "c.b.a"]],
  ["a.*.c", ["a.b.c", "a..c"], ["a.c", "a.b.b.c"]],
  ["a.#.c", ["a.c", "a.b.c", "a.b.b.c", "a..c"], ["a", "c", "a.b"]],
  ["#.b.#", ["b", "a.b", "b.c", "a.b.c", "b.b"], ["", "a", "ab"]],
  ["*.#", ["a", "a.b", ".", "a."], [""]],
  ["#.*", ["a", "a.b", "."], [""]],
  ["#.#", ["", "a", "a.b"], []],
  ["*.*", ["a.b", "."], ["", "a", "a.b.c"]],
  ["#.a.#.a", ["a.a", "x.a.a", "a.x.a", "x.a.x.a", "a.a.a"], ["a", "a.x", "x.a"]],
  ["", [""], ["a", "."]],
  [".", ["."], ["", "a", ".."]],
  ["*a.#", ["*a", "*a.b"], ["a", "ba"]],
  ["#a", ["#a"], ["a", "b.a"]],
  ["a.b.#.x.*", ["a.b.x.y", "a.b.c.x.y", "a.b.x.x"], ["a.b.x", "a.b.c.x"]]
]

const needs = (type: string) => (capabilities: Capabilities) =>
  capabilities.exchangeTypes.has(type) ? undefined : `there are no ${type} exchanges`

const needsBindings = (capabilities: Capabilities) =>
  capabilities.exchangeBindings ? undefined : "exchanges cannot be bound to exchanges"

const binding = (exchange: { readonly name: string }, routingKey = "", args: Arguments = {}) => ({
  exchange: { name: exchange.name, type: "direct", durable: true, autoDelete: false, internal: false, arguments: {} },
  routingKey,
  arguments: args
})

const topics = (place: Place) =>
  Effect.gen(function* () {
    const topic = yield* place.exchange("topic")
    const { channel } = place
    for (const [pattern, matches, misses] of topicTable) {
      const name = yield* place.boundTo(topic, pattern)
      for (const routingKey of [...matches, ...misses]) {
        yield* channel.publish(message(routingKey), { exchange: topic.name, routingKey })
      }
      assert.deepStrictEqual(texts(yield* drain(channel, name)), matches, `pattern ${JSON.stringify(pattern)}`)
      yield* channel.queueDelete(name)
    }
  })

const headersCases: ReadonlyArray<readonly [wanted: Arguments, given: Arguments, matches: boolean]> = [
  [{ "x-match": "all", a: 1, b: "x" }, { a: 1, b: "x", c: true }, true],
  [{ "x-match": "all", a: 1, b: "x" }, { a: 1 }, false],
  [{ "x-match": "all", a: 1 }, { a: 2 }, false],
  [{ "x-match": "all", a: 1 }, { a: "1" }, false],
  [{ a: 1, b: 2 }, { a: 1 }, false],
  [{ a: 1, b: 2 }, { a: 1, b: 2 }, true],
  [{ "x-match": "any", a: 1, b: "x" }, { b: "x" }, true],
  [{ "x-match": "any", a: 1, b: "x" }, { a: 2, b: "y" }, false],
  [{ "x-match": "any", a: 1, b: "x" }, {}, false],
  [{ "x-match": "all" }, { a: 1 }, true],
  [{ "x-match": "any" }, { a: 1 }, false],
  [{ "x-match": "all", "x-left-out": 1, a: 1 }, { a: 1 }, true],
  [{ "x-match": "any", "x-left-out": 1, a: 1 }, { "x-left-out": 1 }, false],
  [{ "x-match": "all-with-x", "x-asked": 1, a: 1 }, { a: 1 }, false],
  [{ "x-match": "all-with-x", "x-asked": 1, a: 1 }, { a: 1, "x-asked": 1 }, true],
  [{ "x-match": "any-with-x", "x-asked": 1, a: 1 }, { "x-asked": 1 }, true],
  [{ "x-match": "all", a: null }, { a: "whatever" }, true],
  [{ "x-match": "all", a: null }, { b: "whatever" }, false],
  [{ "x-match": "all", a: true }, { a: true }, true],
  [{ "x-match": "all", a: true }, { a: false }, false]
]

const headers = (place: Place) =>
  Effect.gen(function* () {
    const exchange = yield* place.exchange("headers")
    const { channel } = place
    for (const [wanted, given, matches] of headersCases) {
      const name = yield* place.boundTo(exchange, "", wanted)
      yield* channel.publish(message("m", {}, given), { exchange: exchange.name, routingKey: "whatever" })
      const where = `${JSON.stringify(wanted)} and ${JSON.stringify(given)}`
      assert.strictEqual((yield* drain(channel, name)).length, matches ? 1 : 0, where)
      yield* channel.queueDelete(name)
    }
  })

export const routing: ReadonlyArray<Case> = [
  test("the nameless exchange routes to the queue of that name, without a binding", ({ channel, queue }) =>
    Effect.gen(function* () {
      const { name } = yield* queue()
      yield* channel.publish(message("m"), { exchange: "", routingKey: name })
      assert.strictEqual((yield* drain(channel, name)).length, 1)
    })),

  test("a direct exchange routes to all queues bound with the very key", ({ channel, exchange, boundTo }) =>
    Effect.gen(function* () {
      const direct = yield* exchange("direct")
      const one = yield* boundTo(direct, "a")
      const two = yield* boundTo(direct, "a")
      const other = yield* boundTo(direct, "b")
      const empty = yield* boundTo(direct, "")
      for (const routingKey of ["a", "b", "", "A", "a.b", "#", "*"]) {
        yield* channel.publish(message(routingKey), { exchange: direct.name, routingKey })
      }
      assert.deepStrictEqual(texts(yield* drain(channel, one)), ["a"])
      assert.deepStrictEqual(texts(yield* drain(channel, two)), ["a"])
      assert.deepStrictEqual(texts(yield* drain(channel, other)), ["b"])
      assert.deepStrictEqual(texts(yield* drain(channel, empty)), [""])
    })),

  test("a fanout exchange routes to all queues, whatever the key", ({ channel, exchange, boundTo }) =>
    Effect.gen(function* () {
      const fanout = yield* exchange("fanout")
      const queues = [yield* boundTo(fanout), yield* boundTo(fanout, "a"), yield* boundTo(fanout, "b")]
      for (const routingKey of ["", "a", "c.d"]) {
        yield* channel.publish(message(routingKey), { exchange: fanout.name, routingKey })
      }
      for (const queue of queues) assert.deepStrictEqual(texts(yield* drain(channel, queue)), ["", "a", "c.d"])
    })),

  test("a topic exchange routes by words, `*` for one and `#` for any number", topics, needs("topic")),

  test("a headers exchange routes by the headers, all or any of them", headers, needs("headers")),

  test(
    "a queue bound twice gets a message once",
    ({ channel, exchange, boundTo }) =>
      Effect.gen(function* () {
        const topic = yield* exchange("topic")
        const name = yield* boundTo(topic, "a.*")
        yield* channel.queueBind(name, binding(topic, "*.b"))
        yield* channel.queueBind(name, binding(topic, "*.b"))
        yield* channel.publish(message("m"), { exchange: topic.name, routingKey: "a.b" })
        assert.strictEqual((yield* drain(channel, name)).length, 1)
      }),
    needs("topic")
  ),

  test("bindings that differ in key or arguments are different bindings", ({ channel, exchange, boundTo }) =>
    Effect.gen(function* () {
      const direct = yield* exchange("direct")
      const name = yield* boundTo(direct, "a")
      yield* channel.queueBind(name, binding(direct, "b"))
      yield* channel.queueUnbind(name, binding(direct, "a"))
      yield* channel.publish(message("a"), { exchange: direct.name, routingKey: "a" })
      yield* channel.publish(message("b"), { exchange: direct.name, routingKey: "b" })
      assert.deepStrictEqual(texts(yield* drain(channel, name)), ["b"])
    })),

  test("an unbound queue gets no more, and unbinding what is not bound is no error", ({ channel, exchange, boundTo }) =>
    Effect.gen(function* () {
      const fanout = yield* exchange("fanout")
      const name = yield* boundTo(fanout, "a")
      yield* channel.queueUnbind(name, binding(fanout, "other"))
      yield* channel.publish(message("1"), { exchange: fanout.name, routingKey: "" })
      yield* channel.queueUnbind(name, binding(fanout, "a"))
      yield* channel.queueUnbind(name, binding(fanout, "a"))
      yield* channel.publish(message("2"), { exchange: fanout.name, routingKey: "" })
      assert.deepStrictEqual(texts(yield* drain(channel, name)), ["1"])
    })),

  test(
    "a message goes through exchanges bound to exchanges, to each queue once",
    (place) =>
      Effect.gen(function* () {
        const { boundTo, channel, exchange } = place
        const outer = yield* exchange("fanout")
        const inner = yield* exchange("topic")
        const another = yield* exchange("fanout")
        yield* channel.exchangeBind(inner.name, binding(outer))
        yield* channel.exchangeBind(another.name, binding(outer))
        const name = yield* boundTo(inner, "a.#")
        yield* channel.queueBind(name, binding(another))
        const far = yield* boundTo(another)
        yield* channel.publish(message("1"), { exchange: outer.name, routingKey: "a.b" })
        yield* channel.publish(message("2"), { exchange: outer.name, routingKey: "b" })
        assert.deepStrictEqual(texts(yield* drain(channel, name)), ["1", "2"])
        assert.deepStrictEqual(texts(yield* drain(channel, far)), ["1", "2"])
        yield* channel.exchangeUnbind(another.name, binding(outer))
        yield* channel.publish(message("3"), { exchange: outer.name, routingKey: "a" })
        yield* channel.publish(message("4"), { exchange: outer.name, routingKey: "b" })
        assert.deepStrictEqual(texts(yield* drain(channel, name)), ["3"])
        assert.deepStrictEqual(texts(yield* drain(channel, far)), [])
      }),
    needsBindings
  ),

  test(
    "exchanges bound in a circle route a message once",
    ({ boundTo, channel, exchange }) =>
      Effect.gen(function* () {
        const one = yield* exchange("fanout")
        const two = yield* exchange("fanout")
        yield* channel.exchangeBind(one.name, binding(two))
        yield* channel.exchangeBind(two.name, binding(one))
        const name = yield* boundTo(two)
        yield* channel.publish(message("m"), { exchange: one.name, routingKey: "" })
        assert.strictEqual((yield* drain(channel, name)).length, 1)
      }),
    needsBindings
  ),

  test(
    "binding an exchange that is not there is refused with 404",
    (place) =>
      Effect.gen(function* () {
        const fanout = yield* place.exchange("fanout")
        yield* refuses(place, 404, (channel) => channel.exchangeBind("apium.nowhere", binding(fanout)))
        yield* refuses(place, 404, (channel) => channel.exchangeBind(fanout.name, binding({ name: "apium.nowhere" })))
      }),
    needsBindings
  ),

  test(
    "nobody publishes to an internal exchange but exchanges",
    (place) =>
      Effect.gen(function* () {
        const { boundTo, channel, exchange } = place
        const inner = yield* exchange("fanout", { internal: true })
        const outer = yield* exchange("fanout")
        const name = yield* boundTo(inner)
        yield* channel.exchangeBind(inner.name, binding(outer))
        yield* channel.publish(message("m"), { exchange: outer.name, routingKey: "" })
        assert.strictEqual((yield* drain(channel, name)).length, 1)
        yield* refuses(place, 403, (channel) => channel.publish(message("m"), { exchange: inner.name, routingKey: "" }))
      }),
    needsBindings
  )
]
