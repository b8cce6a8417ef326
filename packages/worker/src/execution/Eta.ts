/**
 * Tasks that are not due yet. They wait in the broker where that can keep them, so that they hold neither memory nor
 * prefetch and outlive the worker; those that are due soon, and all others where it cannot, wait here on a timer of the hub.
 */
import type { Connection } from "@apium/hub/Connection"
import type { Hub, Timer } from "@apium/hub/Hub"
import type { HubError } from "@apium/hub/HubError"
import * as Message from "@apium/hub/Message"
import type * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as FiberSet from "effect/FiberSet"
import type * as Scope from "effect/Scope"
import type { Request } from "./Request.ts"

export interface Eta {
  /** Until that time, in milliseconds since the epoch. */
  readonly wait: (request: Request, until: number) => void
  /** Those that wait here. */
  readonly scheduled: () => ReadonlyArray<{ readonly request: Request; readonly until: number }>
  readonly held: () => number
  /** Takes out of those that wait here the ones that match. */
  readonly remove: (matches: (request: Request) => boolean) => ReadonlyArray<Request>
  /** Waits for what is on its way to the broker. */
  readonly settled: Effect.Effect<void>
  /** Stops what is on its way: its link is lost, and it comes again. Published on the next link, too, it would run twice. */
  readonly interrupt: Effect.Effect<void>
}

/**
 * In milliseconds. What is due sooner is not worth a second delivery. More than what a postponed task may come early by (half a
 * second, `Delivery.postpone`), so that it is not postponed again.
 */
const parkBeyond = 1000

interface Held {
  readonly until: number
  timer: Timer | undefined
}

/** Closing the scope leaves to the broker what is on its way: its delivery was not settled, and comes again. */
export const make = (dependencies: {
  readonly connection: Connection["Service"]
  readonly hub: Hub["Service"]
  readonly clock: Clock.Clock
  /** Who keeps what is not due: a broker that is sent it again, a store once we postpone it, or we. */
  readonly keeper: "broker" | "consumer" | "worker"
  /** Its time has come. */
  readonly due: (request: Request) => void
  /** There are more or fewer that wait here. */
  readonly changed: () => void
}): Effect.Effect<Eta, never, Scope.Scope> =>
  Effect.gen(function* () {
    const { connection, hub, clock, keeper, due, changed } = dependencies
    const held = new Map<Request, Held>()
    const parking = yield* FiberSet.make<void>()
    const fork = yield* FiberSet.runtime(parking)()
    const run = Effect.runForkWith(yield* Effect.context())
    let refusals = 0

    // Where it takes two steps: once it is there a second time, nothing comes before it goes here.
    const park = ({ delivery }: Request, until: number): Effect.Effect<void, HubError> =>
      delivery.postpone?.(until) ??
      Effect.uninterruptibleMask((restore) =>
        Effect.andThen(
          restore(
            connection.publish(Message.republishable(delivery.message), {
              exchange: "",
              routingKey: delivery.queue,
              mandatory: true,
              notBefore: until
            })
          ),
          delivery.ack
        )
      )

    const drop = (request: Request): void => {
      const one = held.get(request)
      held.delete(request)
      if (one?.timer !== undefined) run(one.timer.cancel)
    }

    const hold = (request: Request, until: number): void => {
      const one: Held = { until, timer: undefined }
      held.set(request, one)
      const fire = Effect.sync(() => {
        if (!held.delete(request)) return
        changed()
        due(request)
      })
      run(Effect.map(hub.callAt(until, fire), (timer) => void (one.timer = timer)))
      changed()
    }

    /** A lost link is nobody's refusal: the message comes again on the next one. */
    const refused = (request: Request, until: number, error: HubError): Effect.Effect<void> => {
      if (error.recoverable) return Effect.void
      hold(request, until)
      // Once is enough: there may be millions.
      return refusals++ > 0
        ? Effect.void
        : Effect.logWarning("The broker does not keep tasks until they are due: the worker holds them", {
            id: request.message.headers.id,
            reason: error.message
          })
    }

    return {
      wait: (request, until) => {
        const here =
          keeper === "worker" ||
          (keeper === "consumer" && request.delivery.postpone === undefined) ||
          until - clock.currentTimeMillisUnsafe() <= parkBeyond
        if (here) hold(request, until)
        else fork(Effect.catch(park(request, until), (error) => refused(request, until, error)))
      },
      scheduled: () => Array.from(held, ([request, { until }]) => ({ request, until })),
      held: () => held.size,
      remove: (matches) => {
        const removed = [...held.keys()].filter(matches)
        for (const request of removed) drop(request)
        if (removed.length > 0) changed()
        return removed
      },
      settled: FiberSet.awaitEmpty(parking),
      interrupt: FiberSet.clear(parking)
    }
  })
