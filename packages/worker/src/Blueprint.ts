/**
 * How something is put together of steps that need each other (celery/bootsteps.py): each step is a layer with a name and the
 * names of those it requires. They are started in that order, in the order given where it leaves a choice, and stopped in
 * reverse. A step that fails to start stops those before it.
 *
 * ```ts
 * const Main = Worker.blueprint({ queues, concurrency: 10 }).pipe(
 *   Blueprint.add("Metrics", { requires: ["Events"], layer: MetricsLive }),
 *   Blueprint.replace("Heart", { requires: ["Tasks"], layer: MyHeart }),
 *   Blueprint.remove("Control"),
 *   Worker.layerOf
 * )
 * ```
 *
 * The types know what each step provides and needs: what a removed step provided is asked of whoever builds the rest.
 */
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { type Pipeable, pipeArguments } from "effect/Pipeable"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"

/** A step of a blueprint, which knows it by its name. */
export interface Step<in Provides = never, out E = never, out R = never> {
  /** Names of the steps that have to be there before it. One that is not in the blueprint is an error. */
  readonly requires?: ReadonlyArray<string> | undefined
  readonly layer: Layer.Layer<Provides, E, R>
}

export type AnyStep = Step<never, unknown, unknown>

export interface Steps {
  readonly [name: string]: AnyStep
}

export interface Blueprint<S extends Steps> extends Pipeable {
  readonly steps: S
  /** A name that was added although it was there. */
  readonly doubled: string | undefined
}

/** The steps cannot be put in an order. */
export class BlueprintError extends Data.TaggedError("BlueprintError")<{ readonly message: string }> {}

type Layers<S extends Steps> = S[keyof S]["layer"]

/** What all steps together provide. */
export type Provided<S extends Steps> = Layer.Success<Layers<S>>

/** What the steps need, and none of them provides. */
export type Needed<S extends Steps> = Exclude<Layer.Services<Layers<S>>, Provided<S>>

export type Failures<S extends Steps> = Layer.Error<Layers<S>>

export const make = <S extends Steps>(steps: S): Blueprint<S> => build(steps, undefined)

const build = <S extends Steps>(steps: S, doubled: string | undefined): Blueprint<S> => ({
  steps,
  doubled,
  pipe() {
    // eslint-disable-next-line prefer-rest-params
    return pipeArguments(this, arguments)
  }
})

/** A further step (of a new name, or the blueprint cannot be started), started after all that were there before unless others require it. */
export const add =
  <Name extends string, P, E, R>(name: Name, step: Step<P, E, R>) =>
  <S extends Steps>(self: Blueprint<S>): Blueprint<Omit<S, Name> & { readonly [_ in Name]: Step<P, E, R> }> =>
    set(self, name, step, Object.hasOwn(self.steps, name) ? name : self.doubled)

/** Another one in place of a step, which keeps its place. */
export const replace =
  <Name extends string, P, E, R>(name: Name, step: Step<P, E, R>) =>
  <S extends Steps & { readonly [_ in Name]: unknown }>(
    self: Blueprint<S>
  ): Blueprint<Omit<S, Name> & { readonly [_ in Name]: Step<P, E, R> }> =>
    set(self, name, step, self.doubled === name ? undefined : self.doubled)

const set = <S extends Steps, Name extends string, T extends AnyStep>(
  self: Blueprint<S>,
  name: Name,
  step: T,
  doubled: string | undefined
) => {
  const steps: Steps = { ...self.steps, [name]: step }
  return build(steps as Omit<S, Name> & { readonly [_ in Name]: T }, doubled)
}

/** Without a step. Those that required it no longer do; what it provided has to come from elsewhere. */
export const remove =
  <Name extends string>(name: Name) =>
  <S extends Steps & { readonly [_ in Name]: unknown }>(self: Blueprint<S>): Blueprint<Omit<S, Name>> => {
    const left: Record<string, AnyStep> = {}
    for (const [other, step] of Object.entries(self.steps as Steps)) {
      if (other === name) continue
      left[other] = { ...step, requires: step.requires?.filter((required) => required !== name) }
    }
    return build(left as unknown as Omit<S, Name>, self.doubled === name ? undefined : self.doubled)
  }

const requirements = (step: AnyStep): ReadonlyArray<string> => step.requires ?? []

/** The names of the steps in the order they are started in. */
export const order = <S extends Steps>(self: Blueprint<S>): Result.Result<ReadonlyArray<string>, BlueprintError> => {
  if (self.doubled !== undefined) {
    return Result.fail(
      new BlueprintError({ message: `There is a step ${self.doubled}: Blueprint.replace puts another in its place` })
    )
  }
  const steps = new Map(Object.entries(self.steps))
  const ordered = new Set<string>()
  const visit = (name: string, path: ReadonlyArray<string>): BlueprintError | undefined => {
    if (ordered.has(name)) return undefined
    const step = steps.get(name)
    if (step === undefined) {
      const [by] = path.slice(-1)
      return new BlueprintError({ message: `The step ${by} requires ${name}, which is not in the blueprint` })
    }
    if (path.includes(name)) {
      const circle = [...path.slice(path.indexOf(name)), name].join(" -> ")
      return new BlueprintError({ message: `The steps require each other in a circle: ${circle}` })
    }
    for (const required of requirements(step)) {
      const error = visit(required, [...path, name])
      if (error !== undefined) return error
    }
    ordered.add(name)
    return undefined
  }
  for (const name of steps.keys()) {
    const error = visit(name, [])
    if (error !== undefined) return Result.fail(error)
  }
  return Result.succeed([...ordered])
}

/**
 * The graph as text, a line per step in the order of their start, with what each requires.
 *
 * ```text
 * Timer
 * Pool
 * Tasks  <- Timer, Pool
 * ```
 */
export const graph = <S extends Steps>(self: Blueprint<S>): Result.Result<string, BlueprintError> =>
  Result.map(order(self), (names) => {
    const width = Math.max(0, ...names.map((name) => name.length))
    return names
      .map((name) => {
        const required = requirements(self.steps[name]!)
        return required.length === 0 ? name : `${name.padEnd(width)}  <- ${required.join(", ")}`
      })
      .join("\n")
  })

/** Starts the steps; closing the scope stops them. */
export const start = <S extends Steps>(
  self: Blueprint<S>
): Effect.Effect<Context.Context<Provided<S>>, Failures<S> | BlueprintError, Needed<S> | Scope.Scope> =>
  Effect.gen(function* () {
    const names = yield* Effect.fromResult(order(self))
    let context: Context.Context<unknown> = yield* Effect.context<unknown>()
    for (const name of names) {
      const built = yield* Effect.provideContext(
        Layer.build(self.steps[name]!.layer) as Effect.Effect<Context.Context<unknown>, Failures<S>>,
        context as Context.Context<never>
      )
      context = Context.merge(context, built)
    }
    return context
  }) as Effect.Effect<Context.Context<Provided<S>>, Failures<S> | BlueprintError, Needed<S> | Scope.Scope>

/** `start` as a layer. */
export const layer = <S extends Steps>(
  self: Blueprint<S>
): Layer.Layer<Provided<S>, Failures<S> | BlueprintError, Exclude<Needed<S>, Scope.Scope>> =>
  Layer.effectContext(start(self))
