/** Canvases that ended in no way, or in a wrong one, in some release of Celery (RELIABILITY E5), on whatever backend; in real time. */
import type { Connection } from "@apium/hub/Connection"
import * as Queue from "@apium/hub/Queue"
import * as Canvas from "@apium/worker/client/Canvas"
import { Client } from "@apium/worker/client/Client"
import type { ResultBackend } from "@apium/worker/client/ResultBackend"
import * as Task from "@apium/worker/task/Task"
import type { TaskFailed } from "@apium/worker/task/TaskError"
import { Tasks } from "@apium/worker/task/Tasks"
import * as Worker from "@apium/worker/Worker"
import { assert, layer as withLayer } from "@effect/vitest"
import { Effect, Layer, Schema } from "effect"
import { until } from "./Figures.ts"

const add = Task.make("case.add", { params: { x: Schema.Number, y: Schema.Number }, result: Schema.Number })
const identity = Task.make("case.identity", { params: { of: Schema.Unknown }, result: Schema.Unknown })
const broken = Task.make("case.broken", { params: {}, result: Schema.Number })
const tell = Task.make("case.tell", { params: { id: Schema.String, who: Schema.String } })
const raises = Task.make("case.raises", { params: { id: Schema.String } })

/** The errbacks that were called: who, of which task. */
const told: Array<readonly [who: string, id: string]> = []
let raised = 0

const handlers = Layer.mergeAll(
  Tasks.handle(add, ({ x, y }) => Effect.succeed(x + y)),
  Tasks.handle(identity, ({ of }) => Effect.succeed(of)),
  Tasks.handle(broken, () => Effect.die(new RangeError("no good"))),
  Tasks.handle(tell, ({ id, who }) => Effect.sync(() => void told.push([who, id]))),
  Tasks.handle(raises, () => Effect.suspend(() => (raised++, Effect.die(new Error("an errback fails")))))
)

const toldBy = (who: string) => told.filter(([one]) => one === who).map(([, id]) => id)

let last = 0
const fresh = () => `who-${last++}`

/** `program`: a broker, and the backend. */
export const suite = <E>(name: string, program: Layer.Layer<Connection | ResultBackend, E>): void =>
  withLayer(
    Worker.layer({ queues: [Queue.make("celery")], concurrency: 4 }).pipe(
      Layer.provide(handlers),
      Layer.provide(Tasks.layer),
      Layer.provideMerge(Client.layer),
      Layer.provide(program)
    ),
    { excludeTestServices: true }
  )(`${name}: what Celery once got wrong`, (it) => {
    const failed = <A, E1>(get: Effect.Effect<A, E1>) =>
      Effect.map(Effect.flip(get), (error) => (error as unknown as TaskFailed).excType)
    const one = (who: string) => until(Effect.sync(() => toldBy(who).length > 0))
    /** What would be told twice is told by the time that another task has gone the same way. */
    const settled = Effect.flatMap(
      Canvas.delay(Canvas.chain(add.s({ x: 1, y: 1 }), add.partial({ y: 1 }))),
      ({ get }) => get
    )

    it.effect("a chord has its result, also where results are kept for ever (celery#5237)", () =>
      Effect.gen(function* () {
        const header = [1, 2, 3].map((n) => add.s({ x: n, y: n }))
        const sent = yield* Canvas.delay(Canvas.chord(header, identity.partial({})))
        assert.deepStrictEqual(yield* sent.get, [2, 4, 6])
      })
    )

    it.effect("a chord whose header fails fails, and its body's errback is called once (celery#3317)", () =>
      Effect.gen(function* () {
        const who = fresh()
        const body = identity.partial({}, { linkError: tell.partial({ who }) })
        const sent = yield* Canvas.delay(Canvas.chord([add.s({ x: 1, y: 1 }), broken.s({}), broken.s({})], body))
        assert.strictEqual(yield* failed(sent.get), "ChordError")
        yield* one(who)
        yield* settled
        assert.deepStrictEqual(toldBy(who), [sent.id])
      })
    )

    it.effect("an errback that fails does not keep the ones behind it from being called (celery#10214)", () =>
      Effect.gen(function* () {
        const who = fresh()
        const before = raised
        const sent = yield* broken.applyAsync({}, { linkError: [raises.partial({}), tell.partial({ who })] })
        assert.strictEqual(yield* failed(sent.get), "RangeError")
        yield* one(who)
        yield* until(Effect.sync(() => raised > before))
        yield* settled
        assert.deepStrictEqual([toldBy(who), raised - before], [[sent.id], 1])
      })
    )

    it.effect("a chain in a header that fails before its group fails the chord around it (celery#10323, #9674)", () =>
      Effect.gen(function* () {
        const who = fresh()
        const member = Canvas.chain(
          broken.si({}),
          Canvas.group([identity.si({ of: 2 }), identity.si({ of: 3 })]),
          identity.si({ of: 4 })
        )
        const sent = yield* Canvas.delay(
          Canvas.chain(
            Canvas.group([identity.si({ of: 1 }), member]),
            identity.partial({}, { linkError: tell.partial({ who }) })
          )
        )
        assert.strictEqual(yield* failed(sent.get), "ChordError")
        yield* one(who)
        yield* settled
        assert.deepStrictEqual(toldBy(who), [sent.id])
      })
    )

    it.effect("a chord whose body is a chain fails with it, to its end (celery#10247, #4834)", () =>
      Effect.gen(function* () {
        const who = fresh()
        const inner = Canvas.chain(Canvas.group([add.s({ x: 1, y: 1 }), broken.si({})]), identity.partial({}))
        const sent = yield* Canvas.applyAsync(Canvas.chain(inner, identity.partial({})), {
          linkError: tell.partial({ who })
        })
        const error = (yield* Effect.flip(sent.get)) as unknown as TaskFailed
        assert.strictEqual(error.excType, "ChordError")
        assert.include(String(error.excMessage[0]), "RangeError('no good')")
        yield* one(who)
        yield* settled
        // Of the part that failed, and of the body's first step.
        assert.lengthOf(new Set(toldBy(who)), toldBy(who).length)
      })
    )

    it.effect("a chord in the header of a chord: its results arrive, and its failure (celery#3323, #4401, #9107)", () =>
      Effect.gen(function* () {
        const who = fresh()
        const low = (part: typeof broken) =>
          Canvas.chord(
            [Canvas.chord([part.si({}), add.si({ x: 1, y: 1 })], identity.partial({}))],
            identity.partial({})
          )
        const nested = Canvas.chord(
          [Canvas.chord([Canvas.chord([add.s({ x: 1, y: 2 })], identity.partial({}))], identity.partial({}))],
          identity.partial({})
        )
        assert.deepStrictEqual(yield* (yield* Canvas.delay(nested)).get, [[[3]]])
        const body = identity.partial({}, { linkError: tell.partial({ who }) })
        const sent = yield* Canvas.delay(Canvas.chord([low(broken), add.si({ x: 2, y: 2 })], body))
        assert.strictEqual(yield* failed(sent.get), "ChordError")
        yield* one(who)
        yield* settled
        assert.deepStrictEqual(toldBy(who), [sent.id])
      })
    )
  })
