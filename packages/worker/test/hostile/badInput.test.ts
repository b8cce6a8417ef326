/**
 * Everything a sender or a handler can do wrong, against one whole worker: what the sender sees (WIRE 4.5.2, 4.6.3), where the
 * message is afterwards, and that the worker goes on. Single cases in depth are where they belong (`execution/Strategy`).
 */
import * as Message from "@apium/hub/Message"
import * as Task from "@apium/worker/task/Task"
import { Tasks } from "@apium/worker/task/Tasks"
import { ResultBackend } from "@apium/worker/client/ResultBackend"
import * as TestWorker from "@apium/worker/testing/TestWorker"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Option, Schema } from "effect"
import { TestClock } from "effect/testing"
import { headers, inject, json } from "../support/World.ts"
import { guarded } from "./guarded.ts"

const add = Task.make("proj.add", {
  params: { x: Schema.Number, y: Schema.Number, scale: Schema.optionalKey(Schema.Number) },
  result: Schema.Number
})
const echo = Task.raw("proj.echo")
const throws = Task.make("proj.throws", { params: { what: Schema.String } })
const endless = Task.make("proj.endless", { params: {} })

const circular = (): Error => {
  const error = new Error("round")
  const other = new Error("and round", { cause: error })
  error.cause = other
  return error
}

/** Whatever is asked of it throws. */
const untouchable = (target: object): object => {
  const refuse = (): never => {
    throw new Error("do not touch")
  }
  return new Proxy(target, {
    get: refuse,
    has: refuse,
    ownKeys: refuse,
    getPrototypeOf: refuse,
    getOwnPropertyDescriptor: refuse
  })
}

/** What a handler may throw, and what its sender is told: the type, and the text or what it begins with. */
const thrown: Readonly<Record<string, readonly [make: () => unknown, excType: string, text: string | RegExp]>> = {
  "a string": [() => "only text", "Exception", "only text"],
  "an empty string": [() => "", "Exception", ""],
  undefined: [() => undefined, "Exception", "undefined"],
  null: [() => null, "Exception", "null"],
  "a number": [() => Number.NaN, "Exception", "NaN"],
  "a bigint": [() => 2n ** 64n, "Exception", "18446744073709551616"],
  "a symbol": [() => Symbol("odd"), "Exception", "Symbol(odd)"],
  "a function": [() => () => 1, "Exception", /1/],
  "a frozen object": [() => Object.freeze({ name: "Frozen", message: "cold" }), "Frozen", "cold"],
  "an object without a prototype": [() => Object.create(null), "Error", "{}"],
  "an object whose fields are no text": [
    () => ({ name: 5, message: { text: 1 }, _tag: [] }),
    "Error",
    "{'name': 5, 'message': {'text': 1}, '_tag': []}"
  ],
  "an error with a circular cause": [circular, "Error", "round"],
  "an error whose stack is none": [() => Object.assign(new Error("flat"), { stack: 7 }), "Error", "flat"],
  "an error whose text is half a character": [() => new Error("\ud800"), "Error", /./],
  "a promise that is rejected": [
    () => {
      const rejected = Promise.reject(new Error("nobody looks"))
      rejected.catch(() => undefined)
      return rejected
    },
    "Error",
    "<Promise>"
  ],
  "an object whose getters throw": [
    () => ({
      get message() {
        throw new Error("from a getter")
      },
      get name() {
        throw new Error("from a getter")
      }
    }),
    "Error",
    /./
  ],
  "an error whose getters throw": [
    () =>
      Object.defineProperties(new Error("hidden"), {
        message: {
          get() {
            throw new Error("from a getter")
          }
        },
        stack: {
          get() {
            throw new Error("from a getter")
          }
        }
      }),
    "Error",
    /./
  ],
  "an object that lets nobody look": [() => untouchable({}), "Error", /./],
  "an error that lets nobody look": [() => untouchable(new Error("hidden")), "Error", /./],
  "an error of 10 MB": [() => new Error("x".repeat(10_000_000)), "Error", /^x{1000}/]
}

const Live = [
  Tasks.handle(add, ({ x, y, scale }) => Effect.succeed((x + y) * (scale ?? 1))),
  Tasks.handle(echo, ({ args, kwargs }) => Effect.succeed([args, kwargs])),
  Tasks.handle(throws, ({ what }): Effect.Effect<void> => {
    throw thrown[what]![0]()
  }),
  Tasks.handle(endless, () => Effect.never)
]

interface Sent {
  readonly body: string | Uint8Array
  readonly task?: string
  readonly headers?: Readonly<Record<string, unknown>>
  readonly contentType?: string
}

type Where = "acked" | "unregistered" | "undecodable"

interface Case extends Sent {
  readonly name: string
  /** What is stored; nothing where there is no id to store it by. */
  readonly ends:
    | { readonly excType: string; readonly module: string; readonly text?: string | RegExp }
    | "SUCCESS"
    | undefined
  readonly where: Where
}

const typeError = (text: string | RegExp) => ({ excType: "TypeError", module: "builtins", text })
const nest = (depth: number): string => "[".repeat(depth) + "]".repeat(depth)
const decodeError = { excType: "DecodeError", module: "kombu.exceptions" }

const cases: ReadonlyArray<Case> = [
  { name: "a good one", body: "[[1, 2], {}, null]", ends: "SUCCESS", where: "acked" },
  {
    name: "an argument of the wrong type",
    body: `[["1", 2], {}, null]`,
    ends: typeError(/^add\(\) was given arguments it does not take: .*number/s),
    where: "acked"
  },
  {
    name: "null for a number",
    body: `[[null, 2], {}, null]`,
    ends: typeError(/^add\(\) was given arguments it does not take: /),
    where: "acked"
  },
  {
    name: "an argument too few",
    body: "[[1], {}, null]",
    ends: typeError("add() missing 1 required positional argument: 'y'"),
    where: "acked"
  },
  {
    name: "arguments too many",
    body: "[[1, 2, 3, 4], {}, null]",
    ends: typeError("add() takes from 2 to 3 positional arguments but 4 were given"),
    where: "acked"
  },
  {
    name: "a doubled argument",
    body: `[[1, 2], {"y": 2}, null]`,
    ends: typeError("add() got multiple values for argument 'y'"),
    where: "acked"
  },
  ...["surplus", "__proto__", "constructor", "prototype", "toString"].map((key): Case => ({
    name: `a keyword ${key} that nobody takes`,
    body: `[[1, 2], {"${key}": {"polluted": true}}, null]`,
    ends: typeError(`add() got an unexpected keyword argument '${key}'`),
    where: "acked"
  })),
  {
    name: "a hundred thousand keywords",
    body: JSON.stringify([[1, 2], Object.fromEntries(Array.from({ length: 100_000 }, (_, n) => [`k${n}`, n])), null]),
    ends: typeError("add() got an unexpected keyword argument 'k0'"),
    where: "acked"
  },
  ...[
    "no.such",
    "constructor",
    "__proto__",
    "prototype",
    "toString",
    "hasOwnProperty",
    "proj.add ",
    "x".repeat(100_000)
  ].map((task): Case => ({
    name: `a task ${task.slice(0, 20)} that is not registered`,
    task,
    body: "[[], {}, null]",
    ends: { excType: "NotRegistered", module: "celery.exceptions", text: task },
    where: "unregistered"
  })),
  ...[null, "", 7, {}, ["id"]].map((id): Case => ({
    name: `an id that is ${JSON.stringify(id)}`,
    body: "[[1, 2], {}, null]",
    headers: { id },
    ends: undefined,
    where: "undecodable"
  })),
  { name: "a body that is not JSON", body: "[[1, 2", ends: decodeError, where: "undecodable" },
  { name: "JSON of depth 100,000", body: nest(100_000), ends: decodeError, where: "undecodable" },
  {
    name: "JSON of depth 100,000 among the arguments",
    body: `[[${nest(100_000)}, 1], {}, null]`,
    ends: decodeError,
    where: "undecodable"
  },
  {
    name: "JSON of depth 100,000 that never closes",
    body: `[[${`{"a":[`.repeat(50_000)}`,
    ends: decodeError,
    where: "undecodable"
  },
  ...(["application/x-python-serialize", "pickle", "application/pickle"] as const).map((contentType): Case => ({
    name: `pickle, as ${contentType}`,
    // os.system("true"), for who would load it.
    body: new TextEncoder().encode("cos\nsystem\n(S'true'\ntR."),
    contentType,
    ends: { excType: "ContentDisallowed", module: "kombu.exceptions" },
    where: "undecodable"
  })),
  {
    name: "pickle that says it is JSON",
    body: Uint8Array.of(0x80, 4, 0x95, 0x2e),
    ends: decodeError,
    where: "undecodable"
  },
  {
    name: "__proto__ among the headers",
    body: "[[1, 2], {}, null]",
    headers: JSON.parse(`{"__proto__": {"task": "x"}, "constructor": 1, "prototype": 2}`) as Record<string, unknown>,
    ends: "SUCCESS",
    where: "acked"
  },
  {
    name: "__proto__ among the stamps",
    body: "[[1, 2], {}, null]",
    headers: { stamped_headers: ["__proto__"], stamps: JSON.parse(`{"__proto__": ["x"]}`) as unknown },
    ends: "SUCCESS",
    where: "acked"
  },
  ...Object.entries(thrown).map(([what, [, excType, text]]): Case => ({
    name: `a handler that throws ${what}`,
    task: "proj.throws",
    body: JSON.stringify([[what], {}, null]),
    ends: { excType, module: "", text },
    where: "acked"
  })),
  {
    name: "a handler that never ends, and a soft limit",
    task: "proj.endless",
    body: "[[], {}, null]",
    headers: { timelimit: [null, 5] },
    ends: { excType: "SoftTimeLimitExceeded", module: "billiard.exceptions" },
    where: "acked"
  },
  {
    name: "a handler that never ends, and a hard limit",
    task: "proj.endless",
    body: "[[], {}, null]",
    headers: { timelimit: [5, null] },
    ends: { excType: "TimeLimitExceeded", module: "billiard.exceptions" },
    where: "acked"
  }
]

const message = (sent: Sent, id: string): Message.Message => {
  const base = { ...headers(sent.task ?? "proj.add", id) }
  const all = Object.defineProperties(base, Object.getOwnPropertyDescriptors(sent.headers ?? {}))
  if (typeof sent.body === "string" && sent.contentType === undefined) return json(sent.body, all)
  const body = typeof sent.body === "string" ? new TextEncoder().encode(sent.body) : sent.body
  return Message.make(body, { contentType: sent.contentType ?? "application/json", contentEncoding: "utf-8" }, all)
}

const result = (id: string) =>
  Effect.map(
    Effect.flatMap(ResultBackend, (backend) => backend.get(id)),
    Option.getOrUndefined
  )

const worker = TestWorker.layer({ handlers: Live })

describe("bad input", () => {
  for (const [index, bad] of cases.entries()) {
    it.effect(`${bad.name}: the sender sees what is wrong, and the worker goes on`, () =>
      Effect.gen(function* () {
        const { idle, waiting, dead } = yield* TestWorker.TestWorker
        const id = `bad-${index}`
        yield* inject(message(bad, id))
        yield* TestClock.adjust("10 seconds")
        yield* idle
        const stored = yield* result(id)
        if (bad.ends === undefined) assert.isUndefined(stored)
        else if (bad.ends === "SUCCESS") assert.strictEqual(stored?.status, "SUCCESS")
        else {
          const { excType, module, text } = bad.ends
          assert.strictEqual(stored?.status, "FAILURE")
          const failure = stored!.result as {
            readonly exc_type: string
            readonly exc_module: string
            readonly exc_message: ReadonlyArray<unknown>
          }
          assert.strictEqual(failure.exc_type, excType)
          if (module !== "") assert.strictEqual(failure.exc_module, module)
          if (typeof text === "string") assert.deepStrictEqual(failure.exc_message, [text])
          if (text instanceof RegExp)
            assert.isTrue(text.test(String(failure.exc_message[0])), String(failure.exc_message[0]).slice(0, 200))
        }
        const [buried, ...others] = yield* dead()
        assert.deepStrictEqual(others, [])
        assert.strictEqual(buried?.reason, bad.where === "acked" ? undefined : bad.where)
        assert.strictEqual(yield* (yield* add.delay({ x: 20, y: 22 })).get, 42)
        yield* idle
        assert.deepStrictEqual(yield* waiting(), [])
      }).pipe(Effect.provide(worker), guarded)
    )
  }

  it.effect("all of it at once, in one worker: each has the end it has alone", () =>
    Effect.gen(function* () {
      const { idle, waiting, dead } = yield* TestWorker.TestWorker
      for (const [index, bad] of cases.entries()) yield* inject(message(bad, `all-${index}`))
      // The two that never end have their limits one after the other.
      yield* TestClock.adjust("1 minute")
      yield* idle
      for (const [index, bad] of cases.entries()) {
        const status = (yield* result(`all-${index}`))?.status
        assert.strictEqual(status, bad.ends === undefined || bad.ends === "SUCCESS" ? bad.ends : "FAILURE", bad.name)
      }
      assert.deepStrictEqual(yield* waiting(), [])
      assert.strictEqual((yield* dead()).length, cases.filter(({ where }) => where !== "acked").length)
    }).pipe(Effect.provide(worker), guarded)
  )
})

describe("a handler that never ends", () => {
  it.effect("is terminated, and REVOKED to its sender", () =>
    Effect.gen(function* () {
      const { idle, states } = yield* TestWorker.TestWorker
      const sent = yield* endless.delay({})
      yield* TestClock.adjust("1 second")
      yield* sent.revoke({ terminate: true })
      const error = yield* Effect.flip(sent.get)
      assert.strictEqual(error._tag === "TaskFailed" ? error.state : error._tag, "REVOKED")
      assert.strictEqual(yield* (yield* add.delay({ x: 20, y: 22 })).get, 42)
      yield* idle
      assert.deepStrictEqual(yield* states(sent.id), ["REVOKED"])
    }).pipe(Effect.provide(worker), guarded)
  )
})

describe("what Python sends and JSON does not know", () => {
  const asBody = (text: string) => `[[${text}], {}, null]`

  for (const [text, value] of [
    ["NaN", Number.NaN],
    ["Infinity", Number.POSITIVE_INFINITY],
    ["-Infinity", Number.NEGATIVE_INFINITY],
    ["9007199254740991", 9_007_199_254_740_991],
    ["9007199254740993", 9_007_199_254_740_993n],
    ["-36893488147419103232", -(2n ** 65n)],
    [`{"__proto__": {"polluted": true}}`, undefined],
    [`{"a": 1, "a": 2}`, { a: 2 }],
    [String.raw`"\ud800"`, "\ud800"],
    ["1e400", Number.POSITIVE_INFINITY],
    [nest(90), undefined]
  ] as const) {
    it.effect(`${text.slice(0, 40)} arrives as what it is`, () =>
      Effect.gen(function* () {
        const { idle } = yield* TestWorker.TestWorker
        yield* inject(json(asBody(text), headers("proj.echo", "odd")))
        yield* idle
        const stored = yield* result("odd")
        assert.strictEqual(stored?.status, "SUCCESS")
        const [[arrived]] = stored!.result as unknown as [[unknown]]
        if (value === undefined)
          assert.strictEqual(JSON.stringify(arrived).replaceAll(" ", ""), text.replaceAll(" ", ""))
        else assert.deepStrictEqual(arrived, value)
      }).pipe(Effect.provide(worker), guarded)
    )
  }

  it.effect("a schema of numbers takes NaN, and not an integer that no number holds", () =>
    Effect.gen(function* () {
      const { idle } = yield* TestWorker.TestWorker
      yield* inject(json("[[NaN, 1], {}, null]", headers("proj.add", "nan")))
      yield* inject(json("[[9007199254740993, 1], {}, null]", headers("proj.add", "big")))
      yield* idle
      assert.isNaN((yield* result("nan"))?.result)
      const failure = (yield* result("big"))?.result as { readonly exc_type: string }
      assert.strictEqual(failure.exc_type, "TypeError")
    }).pipe(Effect.provide(worker), guarded)
  )
})
