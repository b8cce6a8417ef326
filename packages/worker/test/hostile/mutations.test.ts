import type { Delivery } from "@apium/hub/Delivery"
import { MemoryBroker } from "@apium/hub/memory/MemoryTransport"
import * as Message from "@apium/hub/Message"
import { Connection } from "@apium/hub/Connection"
import * as Wire from "@apium/protocol/celery/Signature"
import * as TaskMessage from "@apium/protocol/celery/TaskMessage"
import * as Retry from "@apium/worker/task/Retry"
import * as Task from "@apium/worker/task/Task"
import { Tasks } from "@apium/worker/task/Tasks"
import * as TestWorker from "@apium/worker/testing/TestWorker"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Logger, References, Schema } from "effect"
import { TestClock } from "effect/testing"
import { type Random, random } from "../../../protocol/test/support/Random.ts"
import { celery, headers, takeAll } from "../support/World.ts"
import { guarded } from "./guarded.ts"

const add = Task.make("proj.add", { params: { x: Schema.Number, y: Schema.Number }, result: Schema.Number })
const AddLive = Tasks.handle(add, ({ x, y }) => Effect.succeed(x + y))

const flaky = Task.make("proj.flaky", { params: {}, retry: Retry.fixed({ maxRetries: 1, delay: "1 second" }) })
const FlakyLive = Tasks.handle(flaky, () => Effect.die(new Error("again")))

const embed = `{"callbacks": null, "errbacks": null, "chain": null, "chord": null}`
const errback = `{"task": "proj.add", "args": [1, 2], "kwargs": {}, "options": {}, "subtask_type": null, "immutable": true}`

const canvas = JSON.stringify(
  TaskMessage.encodeBody(
    [1, 2],
    {},
    {
      callbacks: [
        Wire.chord([Wire.make("proj.add", { args: [1] })], Wire.make("proj.add", { args: [1], immutable: true }))
      ],
      errbacks: null,
      chain: [
        Wire.group([Wire.make("proj.add", { args: [1], options: { task_id: "a", group_id: "g" } })], { task_id: "g" }),
        Wire.make("celery.chunks", { kwargs: { task: Wire.encode(Wire.make("proj.add")), it: [[1, 2]], n: 1 } })
      ],
      chord: Wire.make("proj.add", {
        args: [1],
        options: { task_id: "end", link_error: [Wire.encode(Wire.make("proj.add"))] }
      })
    }
  )
)

/** Valid messages of both protocols, and of their mixture. */
const seeds = (id: string): ReadonlyArray<{ readonly headers: Record<string, unknown>; readonly body: string }> => [
  { headers: headers("proj.add", id), body: `[[1, 2], {}, ${embed}]` },
  { headers: headers("proj.add", id), body: `[[], {"x": 1.5, "y": -2e3}, ${embed}]` },
  {
    headers: headers("proj.flaky", id, { timelimit: [10, 5], stamped_headers: ["s"], stamps: { s: ["x"] } }),
    body: "[[], {}, null]"
  },
  { headers: headers("proj.add", id), body: `[["no", 2], {}, {"callbacks": [${errback}], "errbacks": [${errback}]}]` },
  { headers: headers("proj.add", id, { group: `g${id}`, group_index: 0 }), body: canvas },
  { headers: headers("proj.add", id, { group: `g${id}` }), body: canvas.replace("[1,2]", '["no",2]') },
  { headers: {}, body: `{"task": "proj.add", "id": "${id}", "args": [1, 2], "kwargs": {}, "retries": 0, "utc": true}` },
  { headers: headers("proj.add", id), body: `{"args": [1], "kwargs": {"y": 2}}` }
]

const names = [
  "task",
  "id",
  "eta",
  "expires",
  "retries",
  "timelimit",
  "root_id",
  "parent_id",
  "stamps",
  "stamped_headers",
  "group",
  "group_index",
  "ignore_result",
  "lang",
  "shadow",
  "compression",
  "__proto__",
  "constructor",
  "prototype",
  "x-death",
  "x-apium-deliveries"
]
const values: ReadonlyArray<unknown> = [
  null,
  undefined,
  "",
  "proj.add",
  "constructor",
  "__proto__",
  0,
  -1,
  1e308,
  Number.NaN,
  2n ** 70n,
  true,
  [],
  [1],
  {},
  [null, -5],
  [1e-9, 1e-9],
  ["a", "b"],
  "1970-01-01T00:00:01",
  "2100-01-01T00:00:00+00:00",
  "\ud800",
  "x".repeat(5000),
  new Date(Number.NaN),
  Uint8Array.of(255, 0),
  JSON.parse(`{"__proto__": {"polluted": true}}`),
  JSON.parse(`{"constructor": {"prototype": {"polluted": true}}}`)
]
const types = [
  "application/json",
  "application/x-python-serialize",
  "application/x-msgpack",
  "application/x-yaml",
  "application/data",
  "text/plain",
  "__proto__",
  "constructor",
  "",
  "application/json; charset=latin-1",
  undefined
]
const encodings = ["utf-8", "binary", "latin-1", "utf-16", "base64", "", "__proto__", undefined]
const compressions = ["application/x-gzip", "application/x-bz2", "gzip", "__proto__", 5]
const pieces = [
  "[",
  "]",
  "{",
  "}",
  ",",
  ":",
  `"`,
  "\\",
  "null",
  "NaN",
  "-Infinity",
  "1e999",
  "9".repeat(400),
  `"__proto__":`,
  `"constructor":`,
  `{"__type__": "datetime", "__value__": "x"}`,
  `{"__type__": "bytes", "__value__": 5}`,
  `{"__type__": "__proto__", "__value__": {}}`,
  "\u0000",
  "\ud83d",
  "[".repeat(2000),
  `{"task": "proj.add"}`
]

const bodyOf = (r: Random, text: string): Uint8Array => {
  let mutated = text
  for (let times = r.below(4); times > 0; times--) {
    const at = r.below(mutated.length + 1)
    const to = r.next() < 0.5 ? at : at + r.below(20)
    mutated = mutated.slice(0, at) + (r.next() < 0.7 ? r.pick(pieces) : "") + mutated.slice(to)
  }
  const bytes = new TextEncoder().encode(mutated)
  for (let flips = r.next() < 0.3 ? 1 + r.below(3) : 0; flips > 0 && bytes.length > 0; flips--)
    bytes[r.below(bytes.length)]! ^= 1 << r.below(8)
  return r.next() < 0.1 ? bytes.subarray(0, r.below(bytes.length + 1)) : bytes
}

const mutate = (r: Random, id: string): Message.Message => {
  const seed = r.pick(seeds(id))
  const own: Record<string, unknown> = { ...seed.headers }
  for (let times = r.below(3); times > 0; times--) {
    const name = r.pick(names)
    if (r.next() < 0.3) Reflect.deleteProperty(own, name)
    else
      Object.defineProperty(own, name, { value: r.pick(values), enumerable: true, configurable: true, writable: true })
  }
  if (r.next() < 0.05) own.compression = r.pick(compressions)
  const properties: Message.Properties = {
    contentType: r.next() < 0.85 ? "application/json" : r.pick(types),
    contentEncoding: r.next() < 0.9 ? "utf-8" : r.pick(encodings),
    correlationId: id,
    priority: r.next() < 0.95 ? 0 : r.pick([-1, 300, Number.NaN]),
    replyTo: r.next() < 0.9 ? undefined : "__proto__"
  }
  return Message.make(bodyOf(r, seed.body), properties, own)
}

const count = 20_000
const batch = 500

describe("mutated task messages", () => {
  it.effect(
    `${count} of them: each is acknowledged, or in the dead queue with its reason, and the worker is alive`,
    () =>
      Effect.gen(function* () {
        const { idle, waiting, states } = yield* TestWorker.TestWorker
        const connection = yield* Connection
        yield* MemoryBroker
        const r = random(20_261_121)
        const ended = new Map<string, number>()
        const note = (what: string) => ended.set(what, (ended.get(what) ?? 0) + 1)
        let buried = 0
        for (let sent = 0; sent < count; sent += batch) {
          for (let index = sent; index < sent + batch; index++) {
            yield* connection.publish(
              mutate(r, `m${index}`),
              { exchange: "", routingKey: "celery" },
              { queues: [celery] }
            )
          }
          yield* idle
          // Retries, and etas that were mutated to a second from now.
          yield* TestClock.adjust("1 minute")
          yield* idle
          for (let index = sent; index < sent + batch; index++) note((yield* states(`m${index}`)).at(-1) ?? "no result")
          const dead: ReadonlyArray<Delivery> = yield* takeAll("celery.dead").pipe(Effect.orElseSucceed(() => []))
          buried += dead.length
          for (const { message } of dead) {
            assert.include(["undecodable", "unregistered"], message.headers["x-apium-reason"])
            assert.isAbove(String(message.headers["x-apium-error"]).length, 5)
          }
          // What was mutated to the year 2100 is all that is left.
          assert.deepStrictEqual(
            (yield* waiting()).filter(({ notBefore }) => notBefore === undefined),
            []
          )
        }
        assert.strictEqual(yield* (yield* add.delay({ x: 20, y: 22 })).get, 42)
        // The mutations reach every kind of end, or they would show nothing.
        for (const state of ["SUCCESS", "FAILURE", "no result"]) assert.isAbove(ended.get(state) ?? 0, 20, state)
        assert.isAbove(buried, 1000)
        assert.strictEqual(
          [...ended.values()].reduce((sum, n) => sum + n),
          count
        )
      }).pipe(
        Effect.provide(TestWorker.layer({ handlers: [AddLive, FlakyLive], concurrency: 4 })),
        Effect.provideService(References.MinimumLogLevel, "None"),
        Effect.provide(Logger.layer([])),
        guarded
      )
  )
})
