/** What the commands that run a worker start it from. */
import type { Connection } from "@apium/hub/Connection"
import { Client } from "@apium/worker/client/Client"
import type { ResultBackend } from "@apium/worker/client/ResultBackend"
import { Tasks } from "@apium/worker/task/Tasks"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { AppModule } from "./AppModule.ts"
import type { Broker, CannotConnect } from "./Broker.ts"
import * as BrokerUrl from "./BrokerUrl.ts"
import { type Expected, Failed, isExpected } from "./Errors.ts"

/** The registry, with the handlers of the module in it. */
export const tasks = ({ handlers }: AppModule): Layer.Layer<Tasks, unknown, Client> =>
  Layer.provideMerge(handlers, Tasks.layer)

/** A client that knows the module's queues and routes, and its way to the broker. */
export const client = (
  { queues, routing }: AppModule,
  broker: Broker
): Layer.Layer<Client | Connection | ResultBackend, CannotConnect> =>
  Layer.provideMerge(Client.layerWith({ queues, ...routing }), broker.layer)

/** Whatever keeps a worker from starting, the user's own layers included, in words. */
export const orFail = <A, E, R>(start: Effect.Effect<A, E, R>): Effect.Effect<A, Expected, R> =>
  Effect.catchCause(start, (cause): Effect.Effect<never, Expected> => {
    if (Cause.hasInterruptsOnly(cause)) return Effect.interrupt
    const error = Cause.squash(cause)
    if (isExpected(error)) return Effect.fail(error)
    // A typed error says what is wrong; a defect is the user's, and its stack says where.
    const what = Cause.hasDies(cause) || !(error instanceof Error) ? Cause.pretty(cause) : error.message
    return Effect.fail(new Failed({ text: `The worker could not start: ${BrokerUrl.maskWithin(what)}` }))
  })
