/**
 * What the URL of a Redis does not say: Celery's `broker_transport_options` and `result_backend_transport_options` as JSON.
 */
import * as Json from "@apium/protocol/kombu/Json"
import * as Kind from "@apium/worker/configuration/Kind"
import * as TransportOptions from "@apium/worker/configuration/TransportOptions"
import * as Result from "effect/Result"
import { messageOf } from "./Text.ts"

export type OfResults = TransportOptions.OfResults

export type OfBroker = TransportOptions.OfRedis

const optionsOf = <A>(text: string, kind: Kind.Kind<A>): Result.Result<A, string> => {
  let given: unknown = {}
  try {
    if (text !== "") given = Json.parse(text)
  } catch (error) {
    return Result.fail(`it is no JSON: ${messageOf(error)}`)
  }
  return Kind.object.read(given) === undefined
    ? Result.fail(`it takes a JSON object, as {"global_keyprefix":"{apium}"}`)
    : Kind.read(kind, given)
}

/** Of none, there are none. What is wrong is said without a value. */
export const ofBroker = (text: string): Result.Result<OfBroker, string> => optionsOf(text, TransportOptions.ofRedis)

export const ofResults = (text: string): Result.Result<OfResults, string> => optionsOf(text, TransportOptions.ofResults)
