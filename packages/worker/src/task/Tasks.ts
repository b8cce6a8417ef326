/**
 * The registry of handlers: which tasks this worker can run. Each handler is a layer, so it brings the services it needs and
 * leaves the registry when its scope closes.
 */
import type { HubError } from "@apium/hub/HubError"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import type { SchemaError } from "effect/Schema"
import * as Builtins from "../execution/Builtins.ts"
import type * as Hooks from "../execution/Hooks.ts"
import type { TaskStrategy } from "../execution/Strategy.ts"
import * as Perform from "../execution/Perform.ts"
import * as RateLimit from "../execution/RateLimit.ts"
import type { Params } from "./Binding.ts"
import type { AnyTask, PayloadOf, Task } from "./Task.ts"
import type { Steering } from "./TaskError.ts"

export interface Registered {
  readonly task: AnyTask
  readonly perform: Perform.Perform
  readonly strategy?: TaskStrategy | undefined
}

export interface HandleOptions<Payload, A, R> extends Hooks.Hooks<Payload, A, R> {
  /** What is done with a message of this task before it may run: see `execution/Strategy`. */
  readonly strategy?: TaskStrategy | undefined
}

export class Tasks extends Context.Service<
  Tasks,
  {
    /** Sorted; those that every worker has (`celery.map` and its kin) are found, and not named. */
    readonly names: Effect.Effect<ReadonlyArray<string>>
    readonly find: (name: string) => Registered | undefined
    readonly register: (registered: Registered) => Effect.Effect<void>
    readonly unregister: (registered: Registered) => Effect.Effect<void>
  }
>()("@apium/worker/Tasks") {
  static readonly layer: Layer.Layer<Tasks> = Layer.sync(Tasks, () => {
    const registry = new Map<string, Registered>()
    // Those that a later handler of the same name stands in for, the oldest first.
    const hidden = new Map<string, ReadonlyArray<Registered>>()
    const find = (name: string): Registered | undefined => registry.get(name) ?? builtin(name)
    const builtin = Builtins.make(find)
    return {
      names: Effect.sync(() => [...registry.keys()].toSorted()),
      find,
      register: (registered) =>
        Effect.sync(() => {
          const { name } = registered.task
          const before = registry.get(name)
          if (before !== undefined) hidden.set(name, [...(hidden.get(name) ?? []), before])
          registry.set(name, registered)
        }),
      unregister: (registered) =>
        Effect.sync(() => {
          const { name } = registered.task
          const left = (hidden.get(name) ?? []).filter((other) => other !== registered)
          if (registry.get(name) === registered) {
            const next = left.pop()
            if (next === undefined) registry.delete(name)
            else registry.set(name, next)
          }
          if (left.length === 0) hidden.delete(name)
          else hidden.set(name, left)
        })
    }
  })

  /**
   * Adds a handler to the registry in scope. Of two handlers of one name the later one runs. Each run has a scope of its own,
   * closed when it ends. A handler may fail with the task's error, with what steers its execution, and with what sending
   * another task may fail with. Its hooks run around it, with the same services.
   */
  static readonly handle = <N extends string, P extends Params, A, E, R, O extends object = {}>(
    task: Task<N, P, A, E>,
    // The task alone says what its handler gives: inferred from both, `A` would be whatever covers the two.
    run: (payload: PayloadOf<P>) => Effect.Effect<NoInfer<A>, NoInfer<E> | Steering | HubError | SchemaError, R>,
    // In two: inferred from a hook's type alone, its parameters would have none.
    options?: O & HandleOptions<NoInfer<PayloadOf<P>>, NoInfer<A>, unknown>
  ): Layer.Layer<never, never, Tasks | Exclude<R | Hooks.Services<O>, Perform.Given>> =>
    Layer.effectDiscard(
      Effect.gen(function* () {
        const tasks = yield* Tasks
        const wrong = misfit(task)
        if (wrong !== undefined) return yield* Effect.die(new RangeError(`${task.name}: ${wrong}`))
        const context = yield* Effect.context<Exclude<R | Hooks.Services<O>, Perform.Given>>()
        const hooks = options as Hooks.Hooks<PayloadOf<P>, A, R | Hooks.Services<O>> | undefined
        const registered: Registered = {
          task,
          perform: Perform.make<N, P, A, E, R | Hooks.Services<O>>(task, run, context, hooks),
          strategy: options?.strategy
        }
        yield* Effect.acquireRelease(tasks.register(registered), () => tasks.unregister(registered))
      })
    )
}

/** What is wrong with a definition: found before a worker takes its tasks and never runs one. */
const misfit = ({ options: { rateLimit, concurrency, maxDeliveries = 1 } }: AnyTask): string | undefined => {
  const rate = RateLimit.parse(rateLimit ?? null)
  if (Result.isFailure(rate)) return rate.failure
  if (!(maxDeliveries >= 1)) return `A task's maxDeliveries should be 1 at least, and is ${maxDeliveries}`
  return concurrency === undefined || concurrency >= 1
    ? undefined
    : `A task's concurrency should be how many of it run at once, and is ${concurrency}`
}
