/** Failpoints: runs a program again and again, disturbed one step later each time, until it ends before. */
import { Effect, type Exit, Fiber, Scheduler } from "effect"

/** Tells of every task it runs, before it runs it. */
const steppingScheduler = (onStep: () => void): Scheduler.Scheduler => {
  const scheduler = new Scheduler.MixedScheduler()
  return {
    executionMode: scheduler.executionMode,
    shouldYield: (fiber) => scheduler.shouldYield(fiber),
    makeDispatcher: () => {
      const dispatcher = scheduler.makeDispatcher()
      return {
        scheduleTask: (task, priority) =>
          dispatcher.scheduleTask(() => {
            onStep()
            task()
          }, priority),
        flush: () => dispatcher.flush()
      }
    }
  }
}

/** What is done to the program at its step. Interrupts it, unless it says otherwise. */
export type Disturb = (fiber: Fiber.Fiber<unknown, unknown>) => void

const interrupt: Disturb = (fiber) => fiber.interruptUnsafe()

/**
 * A fiber yields after every other operation or so, so that a step is hardly more than one of them: what counts on not being
 * disturbed in between has to say so.
 */
const disturbedAt = <A, E, R>(program: Effect.Effect<A, E, R>, step: number, disturb: Disturb) =>
  Effect.gen(function* () {
    let steps = 0
    let fiber: Fiber.Fiber<A, E> | undefined
    const scheduler = steppingScheduler(() => {
      if (steps++ === step && fiber !== undefined) disturb(fiber)
    })
    fiber = yield* program.pipe(
      Effect.forkChild,
      Effect.provideService(Scheduler.Scheduler, scheduler),
      Effect.provideService(Scheduler.MaxOpsBeforeYield, 3)
    )
    // The steps it takes to fork it are over before there is a fiber.
    if (steps > step) disturb(fiber)
    const exit = yield* Fiber.await(fiber)
    return { exit, steps }
  })

/**
 * `run` prepares a world, disturbs the program it is given to, and says what it found then; `check` looks at that. Answers
 * with how many steps there were.
 */
export const atEveryStep = <A, E, R>(
  run: (
    disturbed: <B, E3, R3>(
      program: Effect.Effect<B, E3, R3>,
      disturb?: Disturb
    ) => Effect.Effect<Exit.Exit<B, E3>, never, R3>
  ) => Effect.Effect<A, E, R>,
  check: (found: A, step: number) => void
): Effect.Effect<number, E, R> =>
  Effect.gen(function* () {
    for (let step = 0; ; step++) {
      let ended = false
      const found = yield* run((program, disturb = interrupt) =>
        Effect.map(disturbedAt(program, step, disturb), ({ exit, steps }) => {
          ended = steps <= step
          return exit
        })
      )
      check(found, step)
      if (ended) return step
    }
  })
