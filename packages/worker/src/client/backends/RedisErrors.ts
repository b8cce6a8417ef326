/** What Redis refuses, as what the caller can do about it; and trying again what may be asked twice. */
import {
  AccessRefused,
  ChannelClosed,
  ConnectionLost,
  fail,
  HubError,
  OutOfMemory,
  type Reason
} from "@apium/hub/HubError"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { RedisError } from "effect/persistence/Redis"
import * as Random from "effect/Random"

/** Beginnings of replies of a server that will take later, or that another one will take, what this one did not. */
const passing = /^(?:LOADING|BUSY|MASTERDOWN|READONLY|CLUSTERDOWN|TRYAGAIN|NOREPLICAS|MISCONF|MOVED|ASK)\b/
const denied = /^(?:NOAUTH|WRONGPASS|NOPERM)\b/
const reply = /^[A-Z][A-Z0-9_]+ /

export const reasonOf = (text: string): Reason => {
  if (text.startsWith("OOM")) return new OutOfMemory({ text })
  if (denied.test(text)) return new AccessRefused({ replyText: text })
  if (passing.test(text) || !reply.test(text)) return new ConnectionLost({ cause: "closed", text })
  // 406, PRECONDITION_FAILED: a key of another type, a command that this Redis does not have.
  return new ChannelClosed({ replyCode: 406, replyText: `PRECONDITION_FAILED - ${text}`, classId: 60, methodId: 40 })
}

/** A client of Apium's says itself what went wrong. */
export const hubError = ({ cause }: RedisError): HubError =>
  cause instanceof HubError
    ? cause
    : new HubError({ reason: reasonOf(cause instanceof Error ? cause.message : String(cause)) })

/** What whoever waits is told when the backend's scope ends. */
export const closed: Effect.Effect<never, HubError> = Effect.suspend(() =>
  fail(new ConnectionLost({ cause: "closed", text: "the result backend was closed" }))
)

export type Retrying = <A>(effect: Effect.Effect<A, HubError>) => Effect.Effect<A, HubError>

/** In milliseconds: a random share of a pause that doubles, as between attempts to connect. */
const base = 50
const cap = 1500

/** Again while another attempt can help, and none begins later than `within`. */
export const retrying =
  (within: Duration.Input): Retrying =>
  (effect) =>
    Effect.flatMap(Clock.currentTimeMillis, (since) => {
      const until = since + Duration.toMillis(Duration.fromInputUnsafe(within))
      const attempt = (failures: number): typeof effect =>
        Effect.catch(effect, (error) =>
          error.recoverable || error.transient
            ? Effect.gen(function* () {
                const pause = Math.min(base * 2 ** failures, cap) * (yield* Random.next)
                if ((yield* Clock.currentTimeMillis) + pause > until) return yield* error
                yield* Effect.sleep(pause)
                return yield* attempt(failures + 1)
              })
            : Effect.fail(error)
        )
      return attempt(0)
    })
