/**
 * Kombu's event hub (kombu/asynchronous/hub.py), made of scopes: named loops, readers, timers and hooks that live as long
 * as the hub does. Everything starts where it is added; `runForever` only keeps its caller waiting until `stop`.
 *
 * Nothing takes anything else down: a loop, a reader or a callback that fails ends itself, is logged as a warning with its
 * name, and leaves its name free. A loop that should outlive a lost link runs inside `Connection.recover`, as
 * `Consumer.run` does; a failure that reaches the hub is final.
 *
 * Everything runs in a fiber of its own, so that a slow callback holds up nobody, and with the context of who added it.
 * Closing the hub's scope interrupts loops, readers and callbacks, forgets the timers, and then runs the `onClose` hooks,
 * the latest first. There is no polling: a hub with nothing to do waits, and has no timer of its own.
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Latch from "effect/Latch"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import * as Stream from "effect/Stream"
import { InFlight } from "./internal/inFlight.ts"
import * as Timers from "./internal/timers.ts"

export interface Timer {
  /** It will not run (again). A run that has begun goes on to its end, so that a callback may cancel itself. */
  readonly cancel: Effect.Effect<void>
}

export class Hub extends Context.Service<
  Hub,
  {
    /**
     * Runs a loop under a name until it ends or is cancelled. A name in use is taken over: the loop that had it is cancelled
     * first, its finalizers included. On a draining hub nothing starts.
     */
    readonly run: <A, E, R>(name: string, loop: Effect.Effect<A, E, R>) => Effect.Effect<void, never, R>
    /** Interrupts the loop of that name and waits for its finalizers; none of that name is no error. */
    readonly cancel: (name: string) => Effect.Effect<void>
    /**
     * A source and its handler, one event at a time, under a name as for `run`. Readers and loops have names of their own.
     * A source that fails, or whose handler fails, ends, and nothing else does.
     */
    readonly addReader: <A, E, R, X, E2, R2>(
      name: string,
      source: Stream.Stream<A, E, R>,
      handler: (event: A) => Effect.Effect<X, E2, R2>
    ) => Effect.Effect<void, never, R | R2>
    /** As `cancel`. A handler that removes its own reader goes on to its end. */
    readonly removeReader: (name: string) => Effect.Effect<void>
    /** On the next turn. */
    readonly callSoon: <A, E, R>(callback: Effect.Effect<A, E, R>) => Effect.Effect<Timer, never, R>
    readonly callAfter: <A, E, R>(
      delay: Duration.Input,
      callback: Effect.Effect<A, E, R>
    ) => Effect.Effect<Timer, never, R>
    /**
     * In milliseconds since the epoch; a time that has passed is the next turn. This one goes by the wall clock, and comes
     * later when that is set back; the others take as long as they say.
     */
    readonly callAt: <A, E, R>(epochMillis: number, callback: Effect.Effect<A, E, R>) => Effect.Effect<Timer, never, R>
    /**
     * First after one interval (1 ms at least), then at multiples of it since now, without drift. One run at a time: what a
     * slow callback missed is left out.
     */
    readonly callRepeatedly: <A, E, R>(
      interval: Duration.Input,
      callback: Effect.Effect<A, E, R>
    ) => Effect.Effect<Timer, never, R>
    /** Runs before each turn; a turn is one batch of a reader's events, or of timers that are due. No turns while idle. */
    readonly onTick: <A, E, R>(callback: Effect.Effect<A, E, R>) => Effect.Effect<Timer, never, R>
    readonly onClose: <A, E, R>(callback: Effect.Effect<A, E, R>) => Effect.Effect<void, never, R>
    /** Waits for `stop`, or for the hub to close. A stop that came before ends the next `runForever` at once. */
    readonly runForever: Effect.Effect<void>
    readonly stop: Effect.Effect<void>
    /**
     * Marks a part of a loop that a drain waits for; once the hub drains, it never begins. `Consumer.run` does so for each
     * delivery it handles.
     */
    readonly inFlight: <A, E, R>(work: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
    /**
     * Stops taking, for good: waits for the batches that readers have begun, for what loops marked `inFlight` and for
     * callbacks that run, and then ends loops and readers. Timers go on until the hub closes: leases and heartbeats are
     * needed meanwhile. Called from inside one of those, it waits for all others, and leaves the caller's own alone.
     */
    readonly drain: Effect.Effect<void>
  }
>()("@apium/hub/Hub") {
  static readonly layer: Layer.Layer<Hub> = Layer.suspend(() => Layer.effect(Hub, make))
}

/** Something the hub runs, and what it is a part of. */
class Work {
  readonly whole: Work | undefined
  /** It drains the hub itself, and nobody waits for it. */
  drains = false
  constructor(whole?: Work) {
    this.whole = whole
  }
}

/** A loop or a reader. */
class Running extends Work {
  fiber: Fiber.Fiber<unknown, unknown> | undefined
  /** Cancelled, perhaps from inside. */
  halted = false
}

/** What the present fiber does for the hub, so that nobody waits for himself. */
class Current extends Context.Reference<Work | undefined>("@apium/hub/Hub/Current", {
  defaultValue: () => undefined
}) {}

const isPartOf = (work: Work | undefined, whole: Work): boolean =>
  work !== undefined && (work === whole || isPartOf(work.whole, whole))

/** Ends well, whatever happens. */
const guard = (what: string, effect: Effect.Effect<unknown, unknown>): Effect.Effect<void> =>
  Effect.catchCause(Effect.asVoid(effect), (cause) => warn(what, cause))

const warn = (what: string, cause: Cause.Cause<unknown>): Effect.Effect<void> =>
  Cause.hasInterruptsOnly(cause) ? Effect.void : Effect.logWarning(`Hub: ${what} failed`, cause)

const make: Effect.Effect<Hub["Service"], never, Scope.Scope> = Effect.gen(function* () {
  const clock = yield* Clock.Clock
  const loops = new Map<string, Running>()
  const readers = new Map<string, Running>()
  const hooks = new Set<Effect.Effect<void>>()
  const closing: Array<Effect.Effect<void>> = []
  const due: Array<Effect.Effect<void>> = []
  const wake = Latch.makeUnsafe(false)
  const oneTick = Semaphore.makeUnsafe(1)
  const flying = new Set<Work>()
  const landed = Latch.makeUnsafe(false)
  let draining = false
  let stopped = Deferred.makeUnsafe<void>()

  const stop = Effect.sync(() => void Deferred.doneUnsafe(stopped, Effect.void))

  // Finalizers run in reverse: fibers, timers, hooks.
  yield* Effect.addFinalizer(() => stop)
  yield* Effect.addFinalizer(() => Effect.forEach(closing.toReversed(), (hook) => hook, { discard: true }))
  const timers = yield* Timers.make
  const delays = yield* Timers.makeMonotonic
  const scope = yield* Scope.fork(yield* Effect.scope, "parallel")

  const tick: Effect.Effect<void> = Effect.suspend(() =>
    hooks.size === 0
      ? Effect.void
      : oneTick.withPermits(1)(Effect.forEach([...hooks], (hook) => hook, { discard: true }))
  )

  const track = <A, E, R>(work: Work, effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.uninterruptibleMask((restore) => {
      flying.add(work)
      return Effect.ensuring(
        restore(Effect.provideService(effect, Current, work)),
        Effect.sync(() => {
          flying.delete(work)
          landed.openUnsafe()
        })
      )
    })

  const inFlight = <A, E, R>(work: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.flatMap(Current, (current) => (draining ? Effect.never : track(new Work(current), work)))

  // ---------------------------------------------------------------- timers

  yield* Effect.gen(function* () {
    yield* wake.await
    // Opening the latch resumes us inside of the first `enqueue`: what else is due joins the turn.
    yield* Effect.yieldNow
    wake.closeUnsafe()
    const batch = due.splice(0)
    yield* tick
    for (const callback of batch) yield* Effect.forkIn(callback, scope)
  }).pipe(Effect.forever, Effect.forkIn(scope))

  const enqueue = (callback: Effect.Effect<void>): void => {
    due.push(callback)
    wake.openUnsafe()
  }

  /** The callback with its context, counted as in flight while it runs. */
  const capture = <A, E, R>(callback: Effect.Effect<A, E, R>): Effect.Effect<Effect.Effect<void>, never, R> =>
    Effect.map(Effect.context<R>(), (context) =>
      Effect.suspend(() => guard("a callback", Effect.provideContext(track(new Work(), callback), context)))
    )

  const once =
    (schedule: (fire: () => void) => () => void) =>
    (callback: Effect.Effect<void>): Timer => {
      let cancelled = false
      const unschedule = schedule(() => enqueue(Effect.suspend(() => (cancelled ? Effect.void : callback))))
      return {
        cancel: Effect.sync(() => {
          cancelled = true
          unschedule()
        })
      }
    }

  const repeatedly =
    (interval: number) =>
    (callback: Effect.Effect<void>): Timer => {
      const start = Timers.monotonic(clock)
      let cancelled = false
      let unschedule = () => {}
      const arm = (): void => {
        if (cancelled) return
        const elapsed = Math.floor((Timers.monotonic(clock) - start) / interval)
        unschedule = delays.schedule(start + (elapsed + 1) * interval, () => enqueue(run))
      }
      const run: Effect.Effect<void> = Effect.suspend(() =>
        cancelled ? Effect.void : Effect.ensuring(callback, Effect.sync(arm))
      )
      arm()
      return {
        cancel: Effect.sync(() => {
          cancelled = true
          unschedule()
        })
      }
    }

  const at = (epochMillis: number) => once((fire) => timers.schedule(epochMillis, fire))
  const after = (milliseconds: number) => once((fire) => delays.schedule(Timers.monotonic(clock) + milliseconds, fire))

  // ---------------------------------------------------------------- loops and readers

  /** Frees the name at once, and waits for the end, unless it would be its own. */
  const halt = (running: Map<string, Running>, name: string): Effect.Effect<void> =>
    Effect.flatMap(Current, (current) => {
      const one = running.get(name)
      running.delete(name)
      if (one === undefined) return Effect.void
      one.halted = true
      if (one.fiber === undefined) return Effect.void
      if (!isPartOf(current, one)) return Fiber.interrupt(one.fiber)
      if (running === loops) one.fiber.interruptUnsafe()
      return Effect.void
    })

  const start = <R>(
    running: Map<string, Running>,
    name: string,
    body: (self: Running) => Effect.Effect<unknown, unknown, R>
  ): Effect.Effect<void, never, R> =>
    Effect.gen(function* () {
      while (running.has(name)) yield* halt(running, name)
      if (draining) return
      const self = new Running()
      running.set(name, self)
      self.fiber = yield* Effect.suspend(() => (self.halted ? Effect.void : body(self))).pipe(
        Effect.onExit((exit) => {
          if (running.get(name) === self) running.delete(name)
          const kind = running === loops ? "loop" : "reader"
          return Exit.isSuccess(exit) ? Effect.void : warn(`the ${kind} ${JSON.stringify(name)}`, exit.cause)
        }),
        Effect.provideService(Current, self),
        Effect.provideService(InFlight, inFlight),
        Effect.forkIn(scope)
      )
    }).pipe(Effect.uninterruptible)

  /** One batch of a reader's events: taken is taken, so a drain waits for all of it. */
  const turn = <A, E, R>(
    self: Running,
    events: ReadonlyArray<A>,
    handler: (event: A) => Effect.Effect<unknown, E, R>
  ): Effect.Effect<void, E, R> =>
    draining
      ? Effect.never
      : track(
          new Work(self),
          Effect.gen(function* () {
            yield* tick
            for (const event of events) {
              yield* handler(event)
              if (self.halted) return yield* Effect.interrupt
            }
          })
        )

  const drain: Effect.Effect<void> = Effect.gen(function* () {
    draining = true
    for (let work = yield* Current; work !== undefined; work = work.whole) work.drains = true
    landed.openUnsafe()
    const awaited = [...flying]
    while (awaited.some((work) => flying.has(work) && !work.drains)) {
      landed.closeUnsafe()
      yield* landed.await
    }
    const others = [...loops.values(), ...readers.values()].filter((one) => !one.drains)
    yield* Fiber.interruptAll(others.flatMap(({ fiber }) => (fiber === undefined ? [] : [fiber])))
  })

  return {
    run: (name, loop) => start(loops, name, () => loop),
    cancel: (name) => halt(loops, name),
    addReader: (name, source, handler) =>
      start(readers, name, (self) => Stream.runForEachArray(source, (events) => turn(self, events, handler))),
    removeReader: (name) => halt(readers, name),
    callSoon: (callback) =>
      Effect.map(
        capture(callback),
        once((fire) => {
          fire()
          return () => {}
        })
      ),
    callAfter: (delay, callback) =>
      Effect.map(capture(callback), (captured) => after(Duration.toMillis(delay))(captured)),
    callAt: (epochMillis, callback) => Effect.map(capture(callback), at(epochMillis)),
    callRepeatedly: (interval, callback) =>
      Effect.map(capture(callback), repeatedly(Math.max(1, Duration.toMillis(interval)))),
    onTick: <A, E, R>(callback: Effect.Effect<A, E, R>) =>
      Effect.map(Effect.context<R>(), (context) => {
        const hook = guard("an onTick hook", Effect.provideContext(callback, context))
        hooks.add(hook)
        return { cancel: Effect.sync(() => void hooks.delete(hook)) }
      }),
    onClose: <A, E, R>(callback: Effect.Effect<A, E, R>) =>
      Effect.map(Effect.context<R>(), (context) => {
        closing.push(guard("an onClose hook", Effect.provideContext(callback, context)))
      }),
    runForever: Effect.suspend(() => {
      const mine = stopped
      return Effect.ensuring(
        Deferred.await(mine),
        Effect.sync(() => {
          if (mine === stopped && Deferred.isDoneUnsafe(mine)) stopped = Deferred.makeUnsafe()
        })
      )
    }),
    stop,
    inFlight,
    drain
  }
})
