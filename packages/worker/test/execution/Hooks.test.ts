import { ConnectionLost, fail } from "@apium/hub/HubError"
import { Client } from "@apium/worker/client/Client"
import * as Outgoing from "@apium/worker/client/Outgoing"
import type * as Publisher from "@apium/worker/client/Publisher"
import * as EventReceiver from "@apium/worker/events/EventReceiver"
import type { Middleware } from "@apium/worker/execution/Middleware"
import * as Retry from "@apium/worker/task/Retry"
import * as Task from "@apium/worker/task/Task"
import { TaskContext } from "@apium/worker/task/TaskContext"
import { Ignore, Reject } from "@apium/worker/task/TaskError"
import { Tasks } from "@apium/worker/task/Tasks"
import { assert, describe } from "@effect/vitest"
import { Cause, Context, Effect, Fiber, Layer, References, Schema, Stream, Tracer } from "effect"
import { ended, headers, inject, json, settle, start, takeAll, test, waiting } from "../support/World.ts"

class Greeting extends Context.Service<Greeting, string>()("test/Greeting") {}

const kinds = ["success", "failure", "retry", "ignore", "reject", "misfit"] as const
const task = Task.make("proj.hooked", {
  params: { kind: Schema.Literals(kinds) },
  result: Schema.Number,
  retry: Retry.fixed({ maxRetries: 1, delay: "1 second", while: (error) => error === "again" })
})

/** Every hook writes down what it was told, and with what services. */
const hooked = (log: Array<unknown>) =>
  Tasks.handle(
    task,
    ({ kind }) => {
      log.push("run")
      switch (kind) {
        case "failure":
          return Effect.die(new Error("no"))
        case "retry":
          return Effect.die("again")
        case "ignore":
          return Effect.fail(new Ignore())
        case "reject":
          return Effect.fail(new Reject({ requeue: false }))
        case "misfit":
          return Effect.succeed("five" as unknown as number)
        case "success":
          return Effect.succeed(5)
      }
    },
    {
      before: ({ kind }) => Effect.map(Greeting, (greeting) => void log.push(["before", kind, greeting])),
      onSuccess: (value, { kind }) =>
        Effect.map(TaskContext, ({ id }) => void log.push(["onSuccess", value, kind, id])),
      onFailure: ({ excType }, cause) => Effect.sync(() => void log.push(["onFailure", excType, Cause.hasDies(cause)])),
      onRetry: ({ excMessage }) => Effect.sync(() => void log.push(["onRetry", excMessage])),
      after: ({ _tag }) => Effect.sync(() => void log.push(["after", _tag]))
    }
  ).pipe(Layer.provide(Layer.succeed(Greeting, "hello")))

describe("hooks", () => {
  const expected: Readonly<Record<(typeof kinds)[number], ReadonlyArray<unknown>>> = {
    success: ["run", ["onSuccess", 5, "success", "h1"], ["after", "Success"]],
    failure: ["run", ["onFailure", "Error", true], ["after", "Failure"]],
    retry: ["run", ["onRetry", ["again"]]],
    ignore: ["run"],
    reject: ["run"],
    misfit: ["run", ["onFailure", "TypeError", false], ["after", "Failure"]]
  }
  for (const kind of kinds) {
    test(
      `around a run that ends as ${kind}`,
      Effect.gen(function* () {
        const log: Array<unknown> = []
        yield* start({}, hooked(log))
        yield* (yield* Client).send(task, { kind }, { taskId: "h1" })
        yield* settle
        assert.deepStrictEqual(log, [["before", kind, "hello"], ...expected[kind]])
      })
    )
  }

  test(
    "hear of arguments that do not fit, which no handler ever sees",
    Effect.gen(function* () {
      const log: Array<unknown> = []
      yield* start({}, hooked(log))
      yield* inject(json("[[1, 2], {}, {}]", headers("proj.hooked", "h1")))
      yield* inject(json('[["none"], {}, {}]', headers("proj.hooked", "h2")))
      yield* settle
      const failed = [
        ["onFailure", "TypeError", false],
        ["after", "Failure"]
      ]
      assert.deepStrictEqual(log, [...failed, ...failed])
    })
  )

  test(
    "that fail, break or throw change nothing, and close what they opened",
    Effect.gen(function* () {
      const log: Array<string> = []
      yield* start(
        {},
        Tasks.handle(task, () => Effect.succeed(5), {
          before: () => Effect.fail("before"),
          onSuccess: () =>
            Effect.andThen(
              Effect.addFinalizer(() => Effect.sync(() => void log.push("closed"))),
              Effect.die("onSuccess")
            ),
          after: () => {
            throw new Error("after")
          }
        })
      )
      const sent = yield* task.delay({ kind: "success" })
      assert.strictEqual(yield* sent.get, 5)
      assert.deepStrictEqual(log, ["closed"])
    }).pipe(Effect.provideService(References.MinimumLogLevel, "None"))
  )
})

describe("middleware", () => {
  const plain = Task.make("proj.plain", { params: { x: Schema.Number }, result: Schema.Unknown })

  test(
    "goes around the run, the first outermost, and sees the call and its outcome",
    Effect.gen(function* () {
      const log: Array<unknown> = []
      const noting =
        (name: string): Middleware =>
        ({ info, args, kwargs }, next) =>
          Effect.tap(
            Effect.andThen(
              Effect.sync(() => void log.push([name, info.name, args, kwargs])),
              next
            ),
            ({ _tag }) => Effect.sync(() => void log.push([name, _tag]))
          )
      yield* start(
        { middleware: [noting("outer"), noting("inner")] },
        Tasks.handle(plain, ({ x }) => Effect.sync(() => log.push(x)))
      )
      yield* (yield* plain.delay({ x: 1 })).get
      assert.deepStrictEqual(log, [
        ["outer", "proj.plain", [], { x: 1 }],
        ["inner", "proj.plain", [], { x: 1 }],
        1,
        ["inner", "Success"],
        ["outer", "Success"]
      ])
    })
  )

  test(
    "may decide without the handler; one that breaks is the task's failure",
    Effect.gen(function* () {
      let runs = 0
      const refusing: Middleware = ({ info }, next) =>
        info.headers["x-skip"] === true
          ? Effect.succeed({ _tag: "Success", value: "skipped" })
          : info.headers["x-break"] === true
            ? Effect.die(new Error("broken middleware"))
            : next
      yield* start(
        { middleware: [refusing] },
        Tasks.handle(plain, () => Effect.sync(() => ++runs))
      )
      const sent = (header: string) =>
        Effect.flatMap(plain.applyAsync({ x: 1 }, { headers: { [header]: true } }), ({ id }) => ended(id))
      assert.strictEqual((yield* sent("x-skip")).result, "skipped")
      const broken = yield* sent("x-break")
      assert.deepStrictEqual([broken.status, runs], ["FAILURE", 0])
      assert.strictEqual((yield* sent("x-none")).result, 1)
    })
  )

  test(
    "puts its span and its log annotations around the handler",
    Effect.gen(function* () {
      const middleware: Middleware = ({ info }, next) =>
        next.pipe(Effect.withSpan("middleware", { attributes: { id: info.id } }), Effect.annotateLogs("tenant", "acme"))
      const Own = Layer.succeed(Greeting, "own")
      yield* start(
        { middleware: [middleware] },
        Tasks.handle(plain, () =>
          Effect.gen(function* () {
            const outer = yield* Effect.orDie(Effect.currentSpan)
            const inner = yield* Effect.withSpan(Effect.orDie(Effect.currentSpan), "inner")
            const annotations = yield* References.CurrentLogAnnotations
            const parent =
              inner.parent._tag === "Some" && inner.parent.value._tag === "Span" ? inner.parent.value : undefined
            return [outer.name, parent?.name, annotations.tenant, yield* Greeting]
          })
        ).pipe(Layer.provide(Own))
      )
      assert.deepStrictEqual(yield* (yield* plain.delay({ x: 1 })).get, ["middleware", "middleware", "acme", "own"])
    })
  )

  test(
    "and without it a handler has what its own layer had",
    Effect.gen(function* () {
      const span = Tracer.externalSpan({ spanId: "s", traceId: "t" })
      yield* start(
        {},
        Tasks.handle(plain, () => Effect.map(Effect.orDie(Effect.currentParentSpan), ({ spanId }) => spanId)).pipe(
          Layer.provide(Layer.succeed(Tracer.ParentSpan, span))
        )
      )
      assert.strictEqual(yield* (yield* plain.delay({ x: 1 })).get, "s")
    })
  )
})

describe("middleware around publishing", () => {
  const add = Task.make("proj.add", { params: { x: Schema.Number } })
  const tracing: Publisher.Middleware = (outgoing, next) =>
    next(Outgoing.withHeaders(outgoing, { traceparent: `00-${outgoing.task.headers.task}` }))
  const refusing: Publisher.Middleware = (outgoing, next) =>
    outgoing.task.kwargs.x === 13 ? fail(new ConnectionLost({ cause: "closed", text: "not today" })) : next(outgoing)

  const client = Effect.map(Layer.build(Client.layerWith({ middleware: [tracing, refusing] })), (context) =>
    Context.get(context, Client)
  )

  test(
    "may add headers to each message, of a batch as well, beside those it has",
    Effect.gen(function* () {
      const { send, sendAll } = yield* client
      yield* send(add, { x: 1 }, { headers: { "x-tenant": "acme" } })
      yield* sendAll(add, [{ x: 2 }, { x: 3 }])
      const found = (yield* takeAll("celery")).map(({ message }) => message.headers)
      assert.deepStrictEqual(
        found.map(({ traceparent }) => traceparent),
        ["00-proj.add", "00-proj.add", "00-proj.add"]
      )
      assert.strictEqual(found[0]?.["x-tenant"], "acme")
    })
  )

  test(
    "may refuse, and then nothing is sent",
    Effect.gen(function* () {
      const error = yield* Effect.flip((yield* client).send(add, { x: 13 }))
      assert.include(error.message, "not today")
      assert.isAtMost(yield* waiting("celery"), 0)
    })
  )
})

describe("an event of a task's own", () => {
  test(
    "goes out with the worker's task events off, as Celery's do",
    Effect.gen(function* () {
      const quiet = Task.make("proj.quiet", { params: {} })
      const seen = yield* EventReceiver.stream({ routingKey: "task.#" }).pipe(
        Stream.take(1),
        Stream.runCollect,
        Effect.forkChild({ startImmediately: true })
      )
      yield* settle
      yield* start(
        { events: false },
        Tasks.handle(quiet, () =>
          Effect.flatMap(TaskContext, ({ sendEvent }) => sendEvent("task-progress", { step: 1 }))
        )
      )
      const { id } = yield* quiet.delay({})
      const [event] = yield* Fiber.join(seen)
      assert.deepInclude(event, { type: "task-progress", fields: { uuid: id, step: 1 } })
    })
  )
})
