/**
 * Named places in the life of an execution, for tests of what a crash at each of them costs. Nobody stands there by default,
 * and a worker that starts so never asks again.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"

export const steps = [
  "after-accept",
  "after-run",
  "after-callbacks",
  "after-result-store",
  "after-body",
  "after-chord",
  "after-ack"
] as const

/**
 * `after-accept`: begun, and acknowledged if that comes early; `after-run`: the outcome is known; `after-callbacks`: what the
 * outcome sends (callbacks, the next step of a chain, errbacks, the retry) is sent; `after-result-store`: its state is stored;
 * `after-body`: it was the last part of a chord, whose body is sent, and nobody knows that yet; `after-chord`: it is counted in its
 * chord; `after-ack`: the message is settled.
 */
export type Step = (typeof steps)[number]

/** What happens when a task comes past a step. */
export type At = (step: Step, taskId: string) => Effect.Effect<void>

export class Failpoint extends Context.Reference<At | undefined>("@apium/worker/Failpoint", {
  defaultValue: () => undefined
}) {}

/** Comes past a step when `effect` is done. */
export type Passing = <A, E>(step: Step, taskId: string, effect: Effect.Effect<A, E>) => Effect.Effect<A, E>

export const passing = (at: At | undefined): Passing =>
  at === undefined ? (_step, _taskId, effect) => effect : (step, taskId, effect) => Effect.tap(effect, at(step, taskId))
