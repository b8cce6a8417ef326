/**
 * Tasks that are not due yet. They wait in the broker where that can keep them, so that they hold neither memory nor
 * prefetch and outlive the worker; those that are due soon, and all others where it cannot, wait here on a timer of the hub.
 */
import type { Connection } from "@apium/hub/Connection"
import type { Delivery } from "@apium/hub/Delivery"
import type { Hub, Timer } from "@apium/hub/Hub"
import type { HubError } from "@apium/hub/HubError"
import type * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type { Request } from "./Request.ts"

export interface Eta {
  /** Until that time, in milliseconds since the epoch. */
  readonly wait: (request: Request, until: number) => Effect.Effect<void, HubError>
  /** Forgets what waits here: its deliveries go back with their channel. */
  readonly letGo: Effect.Effect<void>
}

/** In milliseconds. What is due sooner is not worth a publish and a second delivery. */
const parkBeyond = 1000

export const make = (dependencies: {
  readonly connection: Connection["Service"]
  readonly hub: Hub["Service"]
  readonly clock: Clock.Clock
  /** Its time has come. */
  readonly due: (request: Request) => void
}): Eta => {
  const { connection, hub, clock, due } = dependencies
  const held = new Set<Timer>()

  // Once it is there a second time, nothing comes before it goes here.
  const park = (delivery: Delivery, until: number): Effect.Effect<void, HubError> =>
    Effect.uninterruptibleMask((restore) =>
      Effect.andThen(
        restore(
          connection.publish(delivery.message, {
            exchange: "",
            routingKey: delivery.queue,
            mandatory: true,
            notBefore: until
          })
        ),
        delivery.ack
      )
    )

  const hold = (request: Request, until: number): Effect.Effect<void> =>
    Effect.suspend(() => {
      let timer: Timer | undefined
      const fire = Effect.sync(() => {
        if (timer !== undefined) held.delete(timer)
        due(request)
      })
      return Effect.map(hub.callAt(until, fire), (made) => {
        timer = made
        held.add(made)
      })
    })

  const refused = (request: Request, until: number, error: HubError): Effect.Effect<void> =>
    Effect.andThen(
      Effect.logWarning("The broker does not keep a task until it is due: the worker holds it", {
        id: request.message.headers.id,
        reason: error.message
      }),
      hold(request, until)
    )

  return {
    wait: (request, until) =>
      connection.capabilities.delay !== "worker" && until - clock.currentTimeMillisUnsafe() > parkBeyond
        ? Effect.catch(park(request.delivery, until), (error) =>
            error.recoverable ? Effect.fail(error) : refused(request, until, error)
          )
        : hold(request, until),
    letGo: Effect.suspend(() => {
      const timers = [...held]
      held.clear()
      return Effect.forEach(timers, (timer) => timer.cancel, { discard: true })
    })
  }
}
