// Calls that only have to compile, or not to: nothing runs them. @effect-diagnostics floatingEffect:off missingEffectError:off
import { Client } from "@apium/worker/client/Client"
import * as Task from "@apium/worker/task/Task"
import { TaskContext } from "@apium/worker/task/TaskContext"
import { Ignore } from "@apium/worker/task/TaskError"
import { Tasks } from "@apium/worker/task/Tasks"
import { assert, describe, expectTypeOf, it } from "@effect/vitest"
import { Context, Data, Effect, Exit, Layer, Schema, Scope } from "effect"

class Database extends Context.Service<Database, { readonly rows: number }>()("test/Database") {}
class Full extends Schema.TaggedError<Full>()("Full", {}) {}
class Other extends Data.TaggedError("Other") {}

const add = Task.make("proj.add", {
  params: { x: Schema.Number, y: Schema.Number, scale: Schema.optionalKey(Schema.Number) },
  result: Schema.Number
})
const dated = Task.make("proj.dated", { params: { at: Schema.Date }, result: Schema.DateFromString, error: Full })
const quiet = Task.make("proj.quiet", { params: {} })

describe("a handler that does not fit its task does not compile", () => {
  it("payload, result, error and services are those of the definition", () => {
    const fits = [
      Tasks.handle(add, ({ x, y, scale }) => Effect.succeed((x + y) * (scale ?? 1))),
      Tasks.handle(add, () => Effect.fail(new Ignore())),
      Tasks.handle(dated, ({ at }) => (at.getTime() > 0 ? Effect.succeed(at) : Effect.fail(new Full()))),
      Tasks.handle(quiet, () => Effect.void),
      Tasks.handle(quiet, () => Effect.asVoid(TaskContext))
    ]
    // Sending another task fails with nothing that a handler may not fail with.
    const sends = Tasks.handle(quiet, () => Effect.asVoid(add.delay({ x: 1, y: 2 })))
    expectTypeOf(sends).toEqualTypeOf<Layer.Layer<never, never, Tasks | Client>>()
    expectTypeOf(fits).toEqualTypeOf<Array<Layer.Layer<never, never, Tasks>>>()
    const needs = Tasks.handle(add, () => Effect.map(Database, ({ rows }) => rows))
    expectTypeOf(needs).toEqualTypeOf<Layer.Layer<never, never, Tasks | Database>>()

    // @ts-expect-error the payload has no z
    Tasks.handle(add, ({ z }) => Effect.succeed(z))
    // @ts-expect-error x is a number
    Tasks.handle(add, ({ x }: { readonly x: string }) => Effect.succeed(Number(x)))
    // @ts-expect-error scale may be left out
    Tasks.handle(add, ({ scale }) => Effect.succeed(scale))
    // @ts-expect-error the result is a number
    Tasks.handle(add, () => Effect.succeed("text"))
    // @ts-expect-error the result is a Date, not its text
    Tasks.handle(dated, () => Effect.succeed("1970-01-01"))
    // @ts-expect-error add declares no error
    Tasks.handle(add, () => Effect.fail(new Other()))
    // @ts-expect-error dated declares another
    Tasks.handle(dated, () => Effect.fail(new Other()))
  })

  it("and neither does a payload that does not fit", () => {
    add.delay({ x: 1, y: 2 })
    add.delay({ x: 1, y: 2, scale: 3 })
    dated.applyAsync({ at: new Date() }, { countdown: "1 second" })
    // @ts-expect-error y is missing
    add.delay({ x: 1 })
    // @ts-expect-error x is a number
    add.delay({ x: "1", y: 2 })
    // @ts-expect-error there is no z
    add.delay({ x: 1, y: 2, z: 3 })
    // @ts-expect-error a Date, not its text
    dated.delay({ at: "1970-01-01" })
    // @ts-expect-error one id cannot be that of many
    Effect.flatMap(Client, (client) => client.sendAll(add, [], { taskId: "x" }))
    expectTypeOf<Parameters<typeof add.delay>>().toEqualTypeOf<[Task.PayloadOf<typeof add.params>]>()
  })
})

describe("the registry", () => {
  it.effect(
    "lists names in order, finds handlers, and forgets them with their scopes, in whatever order those close",
    () =>
      Effect.gen(function* () {
        const registry = yield* Tasks
        const handler = (task: typeof quiet) => Layer.build(Tasks.handle(task, () => Effect.void))
        const scopes = yield* Effect.forEach([1, 2, 3], () => Scope.make())
        const seen: Array<unknown> = []
        for (const scope of scopes) {
          yield* Scope.provide(handler(quiet), scope)
          seen.push(registry.find("proj.quiet"))
        }
        yield* Scope.provide(Layer.build(Tasks.handle(add, () => Effect.succeed(1))), scopes[0]!)
        assert.deepStrictEqual(yield* registry.names, ["proj.add", "proj.quiet"])
        assert.strictEqual(new Set(seen).size, 3)
        yield* Scope.close(scopes[1]!, Exit.void)
        assert.strictEqual(registry.find("proj.quiet"), seen[2])
        yield* Scope.close(scopes[2]!, Exit.void)
        assert.strictEqual(registry.find("proj.quiet"), seen[0])
        yield* Scope.close(scopes[0]!, Exit.void)
        assert.deepStrictEqual(yield* registry.names, [])
        assert.isUndefined(registry.find("proj.quiet"))
      }).pipe(Effect.provide(Tasks.layer))
  )
})

describe("a definition that no worker could keep", () => {
  const table = [
    { rateLimit: "often" },
    { rateLimit: "10/d" },
    { concurrency: 0 },
    { concurrency: Number.NaN }
  ] satisfies ReadonlyArray<Task.TaskOptions>
  for (const options of table) {
    it.effect(`is refused with its handler: ${JSON.stringify(options)}`, () =>
      Effect.gen(function* () {
        const task = Task.make("proj.odd", { params: {}, ...options })
        const built = Layer.build(
          Layer.provide(
            Tasks.handle(task, () => Effect.void),
            Tasks.layer
          )
        )
        const exit = yield* Effect.exit(Effect.scoped(built))
        assert.isTrue(Exit.isFailure(exit) && String(exit.cause).includes("proj.odd"))
      })
    )
  }
})
