/** Errors and stamps across the border, with Debian's Celery: what TypeScript fails with in Python's `except`, and the other way round. */
import * as Queue from "@apium/hub/Queue"
import type * as Wire from "@apium/protocol/celery/Signature"
import * as Canvas from "@apium/worker/client/Canvas"
import { Client } from "@apium/worker/client/Client"
import * as TaskError from "@apium/worker/task/TaskError"
import { Tasks } from "@apium/worker/task/Tasks"
import * as Worker from "@apium/worker/Worker"
import { assert, layer } from "@effect/vitest"
import { Context, Effect, Layer, Option } from "effect"
import { print } from "../support/Figures.ts"
import * as Python from "../support/Python.ts"
import { RabbitMq } from "../support/RabbitMq.ts"
import { Redis } from "../support/Redis.ts"
import * as deployments from "./support/deployments.ts"
import * as PythonClient from "./support/PythonClient.ts"
import {
  fail,
  handlers,
  Invalid,
  long,
  Missing,
  module,
  Nothing,
  OutOfStock,
  Refused,
  seen,
  shop,
  stamped,
  worker
} from "./support/shop.ts"

/** Each check: Python code that sets `answer`, and what that is to be. */
const asked: ReadonlyArray<readonly [title: string, code: string, expected: unknown]> = [
  [
    "a class that nobody has imported is one of its name",
    `answer = failure(fail("class"))`,
    ["celery.exceptions.OutOfStock", ["'mug'", "3"]]
  ],
  [
    "a class of the project's own is caught as itself, with its arguments",
    `
${shop}
try:
    fail("class").get(timeout=60)
except shop.OutOfStock as error:
    answer = [error.sku, error.left, str(error)]
`,
    ["mug", 3, "('mug', 3)"]
  ],
  [
    "a class within a class, with a list among its arguments, and without the last of them",
    `
${shop}
try:
    fail("inner").get(timeout=60)
except shop.Order.Refused as error:
    answer = error.args
`,
    ["late", [1, 2]]
  ],
  [
    "except ValueError",
    `
try:
    fail("ValueError").get(timeout=60)
except ValueError as error:
    answer = [type(error) is ValueError, str(error)]
`,
    [true, "no good"]
  ],
  [
    "except KeyError",
    `
try:
    fail("KeyError").get(timeout=60)
except KeyError as error:
    answer = [type(error) is KeyError, error.args]
`,
    [true, ["mug"]]
  ],
  [
    "one without arguments",
    `
${shop}
try:
    fail("nothing").get(timeout=60)
except shop.Nothing as error:
    answer = error.args
`,
    []
  ],
  [
    "a message of 200 kB, and beyond ASCII, arrives whole",
    `
try:
    fail("long").get(timeout=60)
except ValueError as error:
    answer = str(error) == "ü世🎉" * 25000
`,
    true
  ],
  [
    "a declared error without a class has its name, its message and its fields",
    `answer = failure(fail("ours"))`,
    ["celery.exceptions.Ours", ["'ours'", "{'_tag': 'Ours', 'message': 'ours', 'n': 1}"]]
  ],
  [
    "a field that no message can carry is told in words, and the task has failed",
    `
${shop}
r = fail("odd")
try:
    r.get(timeout=60)
except shop.Nothing as error:
    answer = [r.state, [type(arg).__name__ for arg in error.args]]
`,
    ["FAILURE", ["str"]]
  ],
  [
    "a defect has its name and its message, and all causes in its traceback",
    `
r = fail("defect")
answer = [failure(r), "the cause" in r.traceback]`,
    [["celery.exceptions.RangeError", ["'too far'"]], true]
  ],
  ["a defect without a message", `answer = failure(fail("silent"))`, ["celery.exceptions.RangeError", []]],
  ["a text that was thrown", `answer = failure(fail("text"))`, ["builtins.Exception", ["'just a text'"]]],
  ["an object that was thrown", `answer = failure(fail("object"))`, ["celery.exceptions.Error", [`"{'code': 5}"`]]],
  [
    "the class is there in RETRY already",
    `
r = seen(lambda: ts("retried").delay(), "RETRY")
answer = [r.state, repr(r.result), failure(let_go(r))]`,
    ["RETRY", "ValueError('no good')", ["builtins.ValueError", ["'no good'"]]]
  ],
  [
    "a chord says which exception its part raised",
    `
r = chord([ts("fail", "ValueError"), ts("stamped", 1)])(ts("stamped"))
answer = [ready(r), failure(r), r.result.args[0].split(" raised ")[1]]`,
    [true, ["builtins.ValueError", ["'no good'"]], "ValueError('no good')"]
  ],
  [
    "a stamp of Python's is what a task is revoked by",
    `
headers = {"tenant": ["gone"]}
asked = {"headers": headers, "terminate": False, "signal": "SIGTERM"}
there = {"destination": ["ts@errors"], "reply": True, "timeout": 20}
[reply] = until(lambda: app.control.broadcast("revoke_by_stamped_headers", arguments=asked, **there))
r = ts("stamped", 1).apply_async(headers={"stamped_headers": ["tenant"], "stamps": headers})
other = ts("stamped", 1).apply_async(headers={"stamped_headers": ["tenant"], "stamps": {"tenant": ["here"]}})
answer = [[x["ok"] for x in reply.values()], failure(r), failure(other)]`,
    [
      ["headers {'tenant': ['gone']} flagged as revoked, but not terminated"],
      ["celery.exceptions.TaskRevokedError", ["'revoked'"]],
      null
    ]
  ]
]

const setUp = `
def ts(name, *args, **kwargs):
    return app.signature("errors." + name, args=args, kwargs=kwargs, queue="errors-ts")
def fail(how):
    return ts("fail", how).delay()
`

const atPython = fail("errors-py")
const failing = (how: string) => Effect.flatMap(atPython.delay({ how }), ({ get }) => Effect.flip(get))

const told: Readonly<Record<string, Effect.Effect<void, unknown, Client>>> = {
  "a class of the project's own is the declared error": Effect.gen(function* () {
    const caught = yield* failing("class")
    assert.instanceOf(caught, OutOfStock)
    assert.deepStrictEqual([caught.sku, caught.left], ["mug", 3])
  }),
  "a class within a class, with all its arguments": Effect.gen(function* () {
    const caught = yield* failing("inner")
    assert.instanceOf(caught, Refused)
    assert.deepStrictEqual([caught.reason, caught.codes, caught.note], ["late", [1, 2], "why"])
  }),
  "a class that takes other arguments than it hands on, and so cannot be pickled, is told by its own name": Effect.gen(
    function* () {
      const caught = yield* failing("picky")
      assert.instanceOf(caught, TaskError.TaskFailed)
      assert.deepStrictEqual([caught.excModule, caught.excType, caught.excMessage], [module, "Picky", ["mug is short"]])
    }
  ),
  "Python's own classes are declared errors": Effect.gen(function* () {
    const [value, key] = yield* Effect.all([failing("ValueError"), failing("KeyError")])
    assert.instanceOf(value, Invalid)
    assert.instanceOf(key, Missing)
    assert.deepStrictEqual([value.message, key.key], ["no good", "mug"])
  }),
  "one without arguments": Effect.map(failing("nothing"), (caught) => assert.instanceOf(caught, Nothing)),
  "a message of 200 kB, and beyond ASCII": Effect.gen(function* () {
    const caught = yield* failing("long")
    assert.instanceOf(caught, Invalid)
    assert.isTrue(caught.message === long)
  }),
  "other arguments than declared, and another class, are TaskFailed": Effect.gen(function* () {
    const [other, elsewhere] = yield* Effect.all([failing("other"), failing("elsewhere")])
    assert.instanceOf(other, TaskError.TaskFailed)
    assert.deepStrictEqual([other.excType, other.excMessage], ["ValueError", ["no good", 1]])
    assert.instanceOf(elsewhere, TaskError.TaskFailed)
    assert.deepStrictEqual([elsewhere.excType, elsewhere.excMessage], ["Elsewhere", ["who?"]])
    assert.include(Option.getOrThrow(elsewhere.traceback), "Traceback (most recent call last)")
  }),
  "arguments that are nothing that JSON knows are told in words": Effect.gen(function* () {
    const caught = yield* failing("object")
    assert.instanceOf(caught, TaskError.TaskFailed)
    assert.deepStrictEqual([caught.excType, caught.excModule, caught.excMessage.length], ["OutOfStock", module, 2])
    assert.match(String(caught.excMessage[0]), /object object/)
  }),
  "a cause is in the traceback": Effect.gen(function* () {
    const caught = yield* failing("cause")
    assert.instanceOf(caught, TaskError.TaskFailed)
    assert.include(Option.getOrThrow(caught.traceback), "ZeroDivisionError")
  }),
  "a stamped task, chain and chord run at a Celery that knows no stamps, and through to us": Effect.gen(function* () {
    const py = stamped("errors-py")
    const ts = stamped("errors-ts")
    const linked = py.si({ of: 1 }, { link: ts.si({ of: 2 }) })
    seen.length = 0
    const canvases = [
      linked,
      Canvas.chain(linked, ts.si({ of: 3 }), py.si({ of: 4 })),
      Canvas.chord([linked, ts.si({ of: 5 })], py.si({ of: 6 }))
    ]
    for (const canvas of canvases) {
      const visitor = { onSignature: ({ task }: Wire.Signature) => ({ customer: "acme", seq: [1, 2], task }) }
      yield* (yield* Canvas.delay(Canvas.stamp(canvas, visitor))).get
    }
    // What Debian's sends on has lost them; what we send has them.
    assert.include(
      seen.map(({ of }) => of),
      3
    )
    assert.deepInclude(seen, { of: 5, stamps: { customer: "acme", seq: [1, 2], task: "errors.stamped" } })
  })
}

class Asked extends Context.Service<Asked, PythonClient.PythonClient>()("test/interop/errors/Asked") {}

for (const [name, deployment, servers] of [
  ["RabbitMQ", deployments.rabbitMq, Layer.merge(RabbitMq.shared, Redis.shared)],
  ["Redis", deployments.redis, Redis.shared]
] as const) {
  let passed = 0
  const total = asked.length + Object.keys(told).length
  const World = Layer.unwrap(
    Effect.map(deployment as typeof deployments.rabbitMq, ({ backend, broker, connection, results }) => {
      const env = { BROKER: broker, BACKEND: backend }
      const args = ["-n", "py@errors", "--pool", "solo", "--without-gossip", "--without-mingle", "--without-heartbeat"]
      return Layer.mergeAll(
        Worker.layer({ queues: [Queue.make("errors-ts")], concurrency: 4, name: "ts@errors" }).pipe(
          Layer.provide(handlers),
          Layer.provide(Tasks.layer),
          Layer.provideMerge(Client.layer),
          Layer.provide(results),
          Layer.provide(connection())
        ),
        Layer.effect(Asked, PythonClient.start(env)),
        Layer.effectDiscard(Python.worker({ code: worker, args, env })),
        Layer.effectDiscard(
          Effect.addFinalizer(() => print(`errors across the border on ${name}: ${passed} of ${total} checks passed`))
        )
      )
    })
  ).pipe(Layer.provide(servers as Layer.Layer<RabbitMq | Redis>))

  layer(World, { excludeTestServices: true })(`errors across the border on ${name}`, (it) => {
    it.effect.each(asked.map(([title, code, expected]) => ({ title, code, expected })))(
      "in Python: $title",
      ({ code, expected }) =>
        Effect.gen(function* () {
          const { ask } = yield* Asked
          assert.deepStrictEqual(yield* ask(setUp + code), expected)
          passed++
        })
    )
    it.effect.each(Object.entries(told).map(([title, check]) => ({ title, check })))("here: $title", ({ check }) =>
      Effect.map(check, () => {
        passed++
      })
    )
  })
}
