/**
 * What the URL of a Redis does not say: Celery's `broker_transport_options` and `result_backend_transport_options` as JSON, with Kombu's names
 * and, for times, its seconds. `lease` is Apium's own.
 */
import type * as RedisTransport from "@apium/transport-redis/RedisTransport"
import type * as RedisUri from "@apium/transport-redis/RedisUri"
import type * as RedisBackend from "@apium/worker/client/backends/RedisBackend"
import * as Json from "@apium/protocol/kombu/Json"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import { didYouMean } from "./Suggest.ts"
import { messageOf, printable } from "./Text.ts"

export type OfResults = RedisUri.Options & Pick<RedisBackend.Options, "chordOrdered">

export type OfBroker = RedisTransport.Options & RedisUri.Options

/** What it is called here, what it takes, and how that is read: `undefined` for anything else. */
type Field = readonly [option: string, takes: string, read: (value: unknown) => unknown]

const string = (value: unknown) => (typeof value === "string" ? value : undefined)
const boolean = (value: unknown) => (typeof value === "boolean" ? value : undefined)
const seconds = (value: unknown) =>
  typeof value === "number" && value > 0 && value <= 1e9 ? `${Math.round(value * 1000)} millis` : undefined
const steps = (value: unknown) =>
  Array.isArray(value) && value.length > 0 && value.every((step) => Number.isInteger(step) && step >= 0 && step <= 255)
    ? value
    : undefined

const strategies = ["round_robin", "sorted", "priority"]

const record = (value: unknown): Readonly<Record<string, unknown>> | undefined =>
  typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : undefined

const sentinelFields: Readonly<Record<string, Field>> = {
  username: ["username", "a text", string],
  password: ["password", "a text", (value) => (typeof value === "string" ? Redacted.make(value) : undefined)],
  ssl: ["tls", "true for TLS that is verified", (value) => (value === true ? {} : undefined)]
}

const sharedFields: Readonly<Record<string, Field>> = {
  global_keyprefix: ["globalKeyprefix", "a text", string],
  master_name: ["masterName", "a text", string],
  sentinel_kwargs: ["sentinelKwargs", "an object", (value) => record(value) && fieldsOf(record(value)!, sentinelFields)]
}

const resultFields: Readonly<Record<string, Field>> = {
  ...sharedFields,
  result_chord_ordered: ["chordOrdered", "true or false", boolean]
}

const brokerFields: Readonly<Record<string, Field>> = {
  ...sharedFields,
  sep: ["separator", "a text", string],
  priority_steps: ["prioritySteps", "a list of whole numbers from 0 to 255", steps],
  fanout_prefix: ["fanoutPrefix", "true, false or a text", (value) => boolean(value) ?? string(value)],
  fanout_patterns: ["fanoutPatterns", "true or false", boolean],
  queue_order_strategy: [
    "queueOrderStrategy",
    strategies.join(", "),
    (value) => strategies.find((one) => one === value)
  ],
  unacked_key: ["unackedKey", "a text", string],
  unacked_index_key: ["unackedIndexKey", "a text", string],
  visibility_timeout: ["visibilityTimeout", "seconds, more than 0", seconds],
  lease: ["lease", "seconds, more than 0", seconds]
}

class Wrong extends Error {}

const fieldsOf = (from: Readonly<Record<string, unknown>>, known: Readonly<Record<string, Field>>) =>
  Object.fromEntries(
    Object.entries(from).map(([name, value]) => {
      if (!Object.hasOwn(known, name)) {
        const names = Object.keys(known)
        throw new Wrong(
          `there is no ${printable(name)}.${didYouMean(name, names)} Those of Redis are ${names.join(", ")}`
        )
      }
      const [option, takes, read] = known[name]!
      const found = read(value)
      // Not the value: it may be a password.
      if (found === undefined) throw new Wrong(`${name} takes ${takes}`)
      return [option, found]
    })
  )

const optionsOf = (text: string, known: Readonly<Record<string, Field>>): Result.Result<object, string> => {
  if (text === "") return Result.succeed({})
  try {
    const object = record(Json.parse(text))
    if (object === undefined) return Result.fail(`it takes a JSON object, as {"global_keyprefix":"{apium}"}`)
    return Result.succeed(fieldsOf(object, known))
  } catch (error) {
    return Result.fail(error instanceof Wrong ? error.message : `it is no JSON: ${messageOf(error)}`)
  }
}

/** Of none, there are none. What is wrong is said without a value. */
export const ofBroker = (text: string): Result.Result<OfBroker, string> => optionsOf(text, brokerFields)

export const ofResults = (text: string): Result.Result<OfResults, string> => optionsOf(text, resultFields)
