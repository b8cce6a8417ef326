// What does not compile is part of the test. @effect-diagnostics missingLayerContext:off
import * as Blueprint from "@apium/worker/Blueprint"
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Exit, Layer, Result, Scope } from "effect"

class One extends Context.Service<One, { readonly one: number }>()("test/One") {}
class Two extends Context.Service<Two, { readonly two: number }>()("test/Two") {}

/** What starts and stops, in the order it does. */
const recorded = () => {
  const log: Array<string> = []
  const step = (name: string) =>
    Layer.effectDiscard(
      Effect.acquireRelease(
        Effect.sync(() => void log.push(`+${name}`)),
        () => Effect.sync(() => void log.push(`-${name}`))
      )
    )
  return { log, step }
}

const orderOf = <S extends Blueprint.Steps>(blueprint: Blueprint.Blueprint<S>) =>
  Result.getOrElse(Blueprint.order(blueprint), ({ message }) => message)

describe("a blueprint", () => {
  it.effect("starts its steps in the order of what they require, and stops them in reverse", () =>
    Effect.gen(function* () {
      const { log, step } = recorded()
      const blueprint = Blueprint.make({
        Tasks: { requires: ["Pool", "Events"], layer: step("Tasks") },
        Events: { requires: ["Timer"], layer: step("Events") },
        Pool: { layer: step("Pool") },
        Timer: { layer: step("Timer") }
      })
      const scope = yield* Scope.make()
      yield* Scope.provide(Blueprint.start(blueprint), scope)
      yield* Scope.close(scope, Exit.void)
      assert.deepStrictEqual(log, ["+Pool", "+Timer", "+Events", "+Tasks", "-Tasks", "-Events", "-Timer", "-Pool"])
    })
  )

  it.effect("a step that fails to start stops those before it, and nothing after it starts", () =>
    Effect.gen(function* () {
      const { log, step } = recorded()
      const blueprint = Blueprint.make({
        Timer: { layer: step("Timer") },
        Pool: { requires: ["Timer"], layer: step("Pool") },
        Broken: { requires: ["Pool"], layer: Layer.effectDiscard(Effect.fail("no broker")) },
        Tasks: { requires: ["Broken"], layer: step("Tasks") }
      })
      const exit = yield* Effect.exit(Effect.scoped(Layer.build(Blueprint.layer(blueprint))))
      assert.deepStrictEqual(exit, Exit.fail("no broker"))
      assert.deepStrictEqual(log, ["+Timer", "+Pool", "-Pool", "-Timer"])
    })
  )

  it.effect("a step gets what the steps before it provide, and what the rest of the program does", () =>
    Effect.gen(function* () {
      const blueprint = Blueprint.make({
        Two: {
          requires: ["One"],
          layer: Layer.effect(
            Two,
            Effect.map(One, ({ one }) => ({ two: one * 2 }))
          )
        },
        One: {
          layer: Layer.effect(
            One,
            Effect.map(Base, (base) => ({ one: base.base + 1 }))
          )
        }
      })
      const context = yield* Layer.build(Blueprint.layer(blueprint)).pipe(Effect.provideService(Base, { base: 20 }))
      assert.strictEqual(Context.get(context, Two).two, 42)
    })
  )

  it("is printable as a graph, in the order of its start", () => {
    const blueprint = Blueprint.make({
      Tasks: { requires: ["Timer", "Pool"], layer: Layer.empty },
      Timer: { layer: Layer.empty },
      Pool: { requires: ["Timer"], layer: Layer.empty }
    })
    assert.deepStrictEqual(
      Blueprint.graph(blueprint),
      Result.succeed(["Timer", "Pool   <- Timer", "Tasks  <- Timer, Pool"].join("\n"))
    )
  })

  it("takes a further step, another one in place of one, and one away", () => {
    const blueprint = Blueprint.make({
      Timer: { layer: Layer.empty },
      Heart: { requires: ["Timer"], layer: Layer.empty },
      Tasks: { requires: ["Heart"], layer: Layer.empty }
    })
    assert.deepStrictEqual(
      orderOf(blueprint.pipe(Blueprint.add("Metrics", { requires: ["Tasks"], layer: Layer.empty }))),
      ["Timer", "Heart", "Tasks", "Metrics"]
    )
    assert.deepStrictEqual(orderOf(blueprint.pipe(Blueprint.replace("Heart", { layer: Layer.empty }))), [
      "Timer",
      "Heart",
      "Tasks"
    ])
    assert.deepStrictEqual(orderOf(blueprint.pipe(Blueprint.remove("Heart"))), ["Timer", "Tasks"])
  })

  it("says which step requires one that is not there, and which require each other", () => {
    assert.strictEqual(
      orderOf(Blueprint.make({ Heart: { requires: ["Events"], layer: Layer.empty } })),
      "The step Heart requires Events, which is not in the blueprint"
    )
    const circular = Blueprint.make({
      Start: { requires: ["One"], layer: Layer.empty },
      One: { requires: ["Two"], layer: Layer.empty },
      Two: { requires: ["One"], layer: Layer.empty }
    })
    assert.strictEqual(orderOf(circular), "The steps require each other in a circle: One -> Two -> One")
  })

  it.effect("with steps in a circle fails to start, typed", () =>
    Effect.gen(function* () {
      const blueprint = Blueprint.make({ One: { requires: ["One"], layer: Layer.empty } })
      const error = yield* Effect.flip(Effect.scoped(Blueprint.start(blueprint)))
      assert.instanceOf(error, Blueprint.BlueprintError)
    })
  )

  it("asks for what a removed step provided (types)", () => {
    const blueprint = Blueprint.make({
      One: { layer: Layer.succeed(One, { one: 1 }) },
      Two: {
        requires: ["One"],
        layer: Layer.effect(
          Two,
          Effect.map(One, ({ one }) => ({ two: one }))
        )
      }
    })
    const whole: Layer.Layer<One | Two, Blueprint.BlueprintError> = Blueprint.layer(blueprint)
    const without = Blueprint.layer(Blueprint.remove("One")(blueprint))
    // @ts-expect-error One has to come from elsewhere
    const incomplete: Layer.Layer<Two, Blueprint.BlueprintError> = without
    const complete: Layer.Layer<Two, Blueprint.BlueprintError, One> = without
    // @ts-expect-error there is no such step
    const nothing = Blueprint.remove("Three")(blueprint)
    assert.isDefined([whole, incomplete, complete, nothing])
  })
})

class Base extends Context.Service<Base, { readonly base: number }>()("test/Base") {}
