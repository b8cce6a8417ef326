/**
 * How a loop tells its hub what a drain has to wait for, without either knowing the other. A `Hub` provides its own
 * `inFlight` to the loops it runs; outside of a hub it is the identity.
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import { identity } from "effect/Function"

export class InFlight extends Context.Reference<<A, E, R>(work: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>>(
  "@apium/hub/internal/inFlight/InFlight",
  { defaultValue: () => identity }
) {}
