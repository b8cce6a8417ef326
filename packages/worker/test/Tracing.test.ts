import * as Canvas from "@apium/worker/client/Canvas"
import { Client } from "@apium/worker/client/Client"
import * as Signature from "@apium/worker/client/Signature"
import * as Retry from "@apium/worker/task/Retry"
import * as Task from "@apium/worker/task/Task"
import { TaskContext } from "@apium/worker/task/TaskContext"
import { Tasks } from "@apium/worker/task/Tasks"
import { assert, describe } from "@effect/vitest"
import { Effect, Exit, Layer, Option, Schema, Tracer } from "effect"
import { TestClock } from "effect/testing"
import { settle, start, takeAll, test } from "./support/World.ts"

const traceId = "0af7651916cd43dd8448eb211c80319c"
const spanId = "b7ad6b7169203331"
const context = { traceparent: `00-${traceId}-${spanId}-01`, tracestate: "vendor=1", baggage: "tenant=acme" }

/** What each run was told. */
interface Told {
  readonly task: string
  readonly headers: Readonly<Record<string, unknown>>
}

const number = { n: Schema.Number }
const step = Task.make("proj.step", { params: number, result: Schema.Number })
const all = Task.make("proj.all", { params: { of: Schema.Array(Schema.Number) }, result: Schema.Number })
const parent = Task.make("proj.parent", { params: number, result: Schema.Number })
const flaky = Task.make("proj.flaky", {
  params: {},
  retry: Retry.fixed({ maxRetries: 2, delay: "1 second" })
})
const broken = Task.make("proj.broken", { params: {} })
const called = Task.make("proj.called", { params: { id: Schema.String } })
const outer = Task.make("proj.outer", { params: number, result: Schema.Number })

const world = (told: Array<Told>) => {
  const tell = Effect.map(TaskContext, ({ headers, name }) => {
    told.push({ task: name, headers })
  })
  return [
    Tasks.handle(step, ({ n }) => Effect.as(tell, n + 1)),
    Tasks.handle(all, ({ of }) => Effect.as(tell, of.length)),
    Tasks.handle(called, () => tell),
    Tasks.handle(broken, () => Effect.andThen(tell, Effect.die(new Error("no")))),
    Tasks.handle(flaky, () =>
      Effect.andThen(
        tell,
        Effect.flatMap(TaskContext, ({ retries }) => (retries < 2 ? Effect.die(new Error("not yet")) : Effect.void))
      )
    ),
    Tasks.handle(outer, ({ n }) => Effect.andThen(tell, Canvas.replace(step.s({ n })))),
    Layer.unwrap(
      Effect.map(Effect.context<Client>(), (client) =>
        Tasks.handle(parent, ({ n }) =>
          tell.pipe(
            Effect.andThen(Effect.provide(step.delay({ n }), client)),
            Effect.andThen(({ get }) => get),
            Effect.orDie
          )
        )
      )
    )
  ] as const
}

const go = (told: Array<Told>) => {
  const [a, b, c, d, e, f, g] = world(told)
  return Effect.flatMap(Effect.context<Client>(), (client) =>
    start({ concurrency: 4 }, a, b, c, d, e, f, Layer.provide(g, Layer.succeedContext(client)))
  )
}

/** A tracer that remembers its spans. */
const recorder = () => {
  const spans: Array<Tracer.NativeSpan> = []
  const tracer = Tracer.make({
    span: (options) => {
      const span = new Tracer.NativeSpan(options)
      spans.push(span)
      return span
    }
  })
  return { spans, tracer }
}

const parentOf = (span: Tracer.NativeSpan): string | undefined =>
  Option.getOrUndefined(Option.map(span.parent, ({ spanId }) => spanId))

describe("where there is no tracer, the context of a trace is passed on as it came", () => {
  test(
    "to every step of a chain, and to callbacks",
    Effect.gen(function* () {
      const told: Array<Told> = []
      yield* go(told)
      const own = { ...context, "x-own": "of the first alone" }
      const first = Signature.set(step.s({ n: 1 }), { headers: own })
      const sent = yield* Canvas.delay(Canvas.chain(first, step.partial({}), step.partial({})))
      assert.strictEqual(yield* sent.get, 4)
      assert.deepStrictEqual(
        told.map(({ headers }) => headers),
        [own, context, context]
      )
    })
  )

  test(
    "to all parts of a chord and its body",
    Effect.gen(function* () {
      const told: Array<Told> = []
      yield* go(told)
      const sent = yield* Canvas.applyAsync(Canvas.chord([step.s({ n: 1 }), step.s({ n: 2 })], all.partial({})), {
        headers: context
      })
      assert.strictEqual(yield* sent.get, 2)
      assert.deepStrictEqual(
        told.map(({ headers, task }) => [task, headers]),
        [
          ["proj.step", context],
          ["proj.step", context],
          ["proj.all", context]
        ]
      )
    })
  )

  test(
    "to retries, errbacks, what a handler sends, and what takes a task's place",
    Effect.gen(function* () {
      const told: Array<Told> = []
      yield* go(told)
      const options = { headers: context }
      yield* flaky.applyAsync({}, options)
      yield* settle
      yield* TestClock.adjust("1 second")
      yield* settle
      yield* TestClock.adjust("1 second")
      yield* settle
      yield* broken.applyAsync({}, { ...options, linkError: called.partial({}) })
      yield* (yield* parent.applyAsync({ n: 1 }, options)).get
      yield* (yield* outer.applyAsync({ n: 1 }, options)).get
      yield* settle
      assert.deepStrictEqual(told.map(({ task }) => task).toSorted(), [
        "proj.broken",
        "proj.called",
        "proj.flaky",
        "proj.flaky",
        "proj.flaky",
        "proj.outer",
        "proj.parent",
        "proj.step",
        "proj.step"
      ])
      for (const { headers, task } of told) assert.deepStrictEqual([task, headers], [task, context])
    })
  )

  test(
    "is that of the span in which a task is sent, and its handler's spans are children of it",
    Effect.gen(function* () {
      yield* start(
        {},
        Tasks.handle(step, () =>
          Effect.useSpan("inside", (span) => Effect.succeed(span.traceId === traceId ? 1 : 0)).pipe(Effect.orDie)
        )
      )
      const request = Tracer.externalSpan({ traceId, spanId })
      const sent = yield* Effect.withParentSpan(step.delay({ n: 1 }), request)
      assert.strictEqual(yield* sent.get, 1)
    })
  )

  test(
    "goes on as baggage alone in a trace that begins in a handler: the state is of the other one",
    Effect.gen(function* () {
      const told: Array<Told> = []
      const client = yield* Client
      const begins = Effect.withSpan(step.delay({ n: 1 }), "begins", { root: true })
      const tell = Effect.map(TaskContext, ({ headers, name }) => void told.push({ task: name, headers }))
      yield* start(
        {},
        Tasks.handle(step, ({ n }) => Effect.as(tell, n)),
        Tasks.handle(parent, ({ n }) => begins.pipe(Effect.provideService(Client, client), Effect.orDie, Effect.as(n)))
      )
      yield* (yield* parent.applyAsync({ n: 1 }, { headers: context })).get
      yield* settle
      const [{ headers }] = told as [Told]
      assert.deepStrictEqual(Object.keys(headers).toSorted(), ["baggage", "traceparent"])
      assert.notInclude(String(headers.traceparent), traceId)
    })
  )

  test(
    "is not there where nobody brought any, and what is no context is nobody's parent",
    Effect.gen(function* () {
      const told: Array<Told> = []
      yield* go(told)
      yield* (yield* step.delay({ n: 1 })).get
      yield* (yield* step.applyAsync({ n: 1 }, { headers: { traceparent: "00-nonsense" } })).get
      assert.deepStrictEqual(
        told.map(({ headers }) => headers),
        [{}, { traceparent: "00-nonsense" }]
      )
    })
  )
})

describe("where there is a tracer", () => {
  test(
    "a send and a run are spans, one the child of the other, and so is what follows",
    Effect.gen(function* () {
      const { spans, tracer } = recorder()
      const told: Array<Told> = []
      yield* Effect.withTracer(
        Effect.gen(function* () {
          yield* go(told)
          const sent = yield* Effect.withSpan(Canvas.delay(Canvas.chain(step.s({ n: 1 }), step.partial({}))), "request")
          assert.strictEqual(yield* sent.get, 3)
          yield* settle
        }),
        tracer
      )
      const [request, send, run, sendNext, runNext] = spans as [
        Tracer.NativeSpan,
        Tracer.NativeSpan,
        Tracer.NativeSpan,
        Tracer.NativeSpan,
        Tracer.NativeSpan
      ]
      assert.deepStrictEqual(
        spans.map(({ kind, name }) => [name, kind]),
        [
          ["request", "internal"],
          ["send celery", "producer"],
          ["process celery", "consumer"],
          ["send celery", "producer"],
          ["process celery", "consumer"]
        ]
      )
      assert.deepStrictEqual(
        [send, run, sendNext, runNext].map(parentOf),
        [request, send, run, sendNext].map(({ spanId }) => spanId)
      )
      assert.deepStrictEqual(new Set(spans.map(({ traceId }) => traceId)).size, 1)
      assert.deepStrictEqual(
        told.map(({ headers }) => headers.traceparent),
        [run, runNext].map(({ spanId, traceId }) => `00-${traceId}-${spanId}-01`)
      )
      assert.deepStrictEqual(Object.fromEntries(run.attributes), {
        "messaging.system": "memory",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": "celery",
        "messaging.message.id": run.attributes.get("messaging.message.id"),
        "messaging.message.conversation_id": run.attributes.get("messaging.message.id"),
        "celery.task_name": "proj.step"
      })
      assert.isTrue(spans.every(({ status }) => status._tag === "Ended"))
    })
  )

  test(
    "a task that fails ends its span as a failure, and a retry is a run of its own, child of the first",
    Effect.gen(function* () {
      const { spans, tracer } = recorder()
      yield* Effect.withTracer(
        Effect.gen(function* () {
          yield* go([])
          yield* flaky.delay({})
          yield* settle
          yield* TestClock.adjust("1 second")
          yield* settle
          yield* broken.delay({})
          yield* settle
        }),
        tracer
      )
      const runs = spans.filter(({ kind }) => kind === "consumer")
      assert.deepStrictEqual(
        runs.map(({ attributes }) => [
          attributes.get("celery.task_name"),
          attributes.get("celery.retries"),
          attributes.get("error.type")
        ]),
        [
          ["proj.flaky", undefined, "Error"],
          ["proj.flaky", 1, "Error"],
          ["proj.broken", undefined, "Error"]
        ]
      )
      const [first, second] = runs as [Tracer.NativeSpan, Tracer.NativeSpan]
      const between = spans.find(({ spanId }) => spanId === parentOf(second))
      assert.strictEqual(between === undefined ? undefined : parentOf(between), first.spanId)
      assert.isTrue(
        runs.every(({ status }) => status._tag === "Ended" && Exit.isFailure(status.exit)),
        "a failed run is a failed span"
      )
    })
  )

  test(
    "what is sampled out stays so",
    Effect.gen(function* () {
      const { spans, tracer } = recorder()
      yield* Effect.withTracer(
        Effect.gen(function* () {
          yield* go([])
          yield* (yield* step.applyAsync({ n: 1 }, { headers: { traceparent: `00-${traceId}-${spanId}-00` } })).get
        }),
        tracer
      )
      assert.deepStrictEqual(
        spans.map(({ sampled, traceId }) => [sampled, traceId]),
        [
          [false, traceId],
          [false, traceId]
        ]
      )
    })
  )

  test(
    "a batch has a span for each of its tasks",
    Effect.gen(function* () {
      const { spans, tracer } = recorder()
      const client = yield* Client
      yield* Effect.withTracer(client.sendAll(step, [{ n: 1 }, { n: 2 }]), tracer)
      const headers = (yield* takeAll("celery")).map(({ message }) => message.headers.traceparent)
      assert.deepStrictEqual(
        headers,
        spans.map(({ spanId, traceId }) => `00-${traceId}-${spanId}-01`)
      )
      assert.strictEqual(spans.length, 2)
    })
  )
})
