/**
 * Counting deliveries where the queue does not. A message that comes again is published once more, with its count in a header,
 * in the moment it is to run; the copy that comes back runs. What was only held when a worker died has had no run, and is not
 * counted for it.
 *
 * ```text
 *   redelivered ──▶ its turn ──▶ copy with n+1, confirmed ──▶ ack ─ ─▶ the copy comes, for the first time ──▶ its turn ──▶ runs
 *                                                         x a crash here: both are there, and both say that they came before
 * ```
 *
 * The copy may be back before the acknowledgement has left, and would take it along if it kills its worker: a poison that doubles
 * with each death. So it waits, where it comes back to the same worker, for the broker to have answered something later.
 *
 * The copy goes to the end of its queue, with all that the message had but its `expiration`: that time is the broker's, who would
 * drop without a word what was taken in time (a header `expires` is kept). Tasks that are acknowledged before they run come
 * again only when they have not begun, and are not counted.
 *
 * A quorum queue counts, but each delivery to a worker that dies, whatever became of it there. Its word is good enough to suspect
 * (`Suspects`) and not to condemn: a suspect of such a queue is counted like those of others.
 */
import type { Connection } from "@apium/hub/Connection"
import * as Delivery from "@apium/hub/Delivery"
import type { HubError } from "@apium/hub/HubError"
import * as Message from "@apium/hub/Message"
import * as Queue from "@apium/hub/Queue"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as Request from "./Request.ts"
import type { Suspects } from "./Suspects.ts"

export interface Recount {
  /** Whether it is to be counted before it may run. */
  readonly due: (request: Request.Request) => boolean
  /** In the place of its run, which is `uncounted` where the broker refuses the copy. */
  readonly instead: (request: Request.Request, uncounted: Effect.Effect<void>) => Effect.Effect<void>
  /** Its run, after what it is a copy of has been acknowledged for certain. */
  readonly after: (request: Request.Request, run: Effect.Effect<void>) => Effect.Effect<void>
}

/** Whether such a transport leaves the counting to us. */
export const counting = (connection: Connection["Service"]): boolean =>
  connection.capabilities.deliveryCount === "republish"

/** How long no other suspect has its turn while the copy of one is on its way: it may be behind many others, or go to another worker. */
const patience = "1 second"

export const make = (dependencies: {
  readonly connection: Connection["Service"]
  readonly suspects: Suspects
  /** Completes when nothing is to begin any more. */
  readonly stopping: Effect.Effect<void>
}): Recount => {
  const { connection, suspects, stopping } = dependencies
  const active = counting(connection)
  /** By id: those whose acknowledgement is on its way. */
  const leaving = new Map<string, Latch.Latch>()
  let refusals = 0

  /** Whatever comes of it: without a link, the message comes again, and is acknowledged as the one of a run that has ended. */
  const answered = ({ delivery: { queue } }: Request.Request): Effect.Effect<void> =>
    Effect.ignore(connection.use((channel) => channel.queueDeclare(Queue.make(queue), { passive: true })))

  const acknowledge = (request: Request.Request): Effect.Effect<void> =>
    Effect.suspend(() => {
      // Should it not arrive, what comes again is the copy's predecessor (`Orphans`).
      request.acknowledged = true
      return Effect.ignore(request.delivery.ack)
    })

  /** A lost link is nobody's refusal: the message comes again on the next one. */
  const refused = (request: Request.Request, uncounted: Effect.Effect<void>, error: HubError): Effect.Effect<void> => {
    if (error.recoverable) return Effect.void
    return refusals++ > 0
      ? uncounted
      : Effect.andThen(
          Effect.logWarning(
            "A task that came again could not be counted: one that kills its workers is not found out",
            {
              id: request.message.headers.id,
              queue: request.delivery.queue,
              reason: error.message
            }
          ),
          uncounted
        )
  }

  return {
    due: (request) => {
      const { delivery, noAck, suspect } = request
      if (!active || !delivery.redelivered || noAck === true || !Request.acksLate(request)) return false
      return suspect === true || !(Delivery.queueCount in delivery.message.headers)
    },
    instead: (request, uncounted) =>
      Effect.uninterruptibleMask((restore) => {
        const { id } = request.message.headers
        const latch = Latch.makeUnsafe()
        leaving.set(id, latch)
        const gone = Effect.suspend(() => {
          leaving.delete(id)
          return latch.open
        })
        const publish = restore(connection.publish(copyOf(request), routeOf(request)))
        return Effect.matchEffect(
          Effect.onError(publish, () => gone),
          {
            onSuccess: () =>
              acknowledge(request).pipe(
                Effect.andThen(restore(Effect.raceFirst(answered(request), stopping))),
                Effect.ensuring(gone),
                Effect.andThen(
                  request.suspect === true
                    ? restore(Effect.raceAllFirst([suspects.back(id), stopping, Effect.sleep(patience)]))
                    : Effect.void
                )
              ),
            onFailure: (error) => restore(refused(request, uncounted, error))
          }
        )
      }).pipe(Effect.onInterrupt(() => Effect.ignore(request.delivery.release))),
    after: ({ message: { headers } }, run) => {
      const latch = leaving.size === 0 ? undefined : leaving.get(headers.id)
      return latch === undefined ? run : Effect.andThen(latch.await, run)
    }
  }
}

const copyOf = ({ delivery }: Request.Request): Message.Message => {
  const { body, properties, headers } = Message.republishable(delivery.message)
  return {
    body,
    properties: { ...properties, expiration: undefined },
    headers: { ...headers, [Delivery.ownCount]: Delivery.deliveries(delivery) }
  }
}

const routeOf = ({ delivery: { queue } }: Request.Request): Message.Route => ({
  exchange: "",
  routingKey: queue,
  mandatory: true
})
