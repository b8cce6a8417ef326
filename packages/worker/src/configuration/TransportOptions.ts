/**
 * What the URL of a broker or of a result backend does not say: Celery's `broker_transport_options` and `result_backend_transport_options`,
 * with Kombu's names, or ours, and, for times, its seconds. `lease` is Apium's own.
 */
import type * as RedisKeys from "@apium/protocol/kombu/RedisKeys"
import type * as Duration from "effect/Duration"
import type * as Redacted from "effect/Redacted"
import * as Kind from "./Kind.ts"

interface Shared {
  readonly globalKeyprefix?: string | undefined
  readonly masterName?: string | undefined
  readonly sentinelKwargs?:
    | {
        readonly username?: string | undefined
        readonly password?: Redacted.Redacted | undefined
        readonly tls?: Readonly<Record<string, never>> | undefined
      }
    | undefined
}

/** Of a broker at `redis://` and its kin: options of `@apium/transport-redis`. */
export interface OfRedis extends Shared, Omit<RedisKeys.Options, "db"> {
  readonly visibilityTimeout?: Duration.Input | undefined
  readonly lease?: Duration.Input | undefined
  readonly queueOrderStrategy?: "round_robin" | "sorted" | "priority" | undefined
}

/** Of results at `redis://` and its kin. */
export interface OfResults extends Shared {
  readonly chordOrdered?: boolean | undefined
}

/** Of a broker at `amqp://`. */
export interface OfAmqp {
  /** Kombu's `confirm_publish`. */
  readonly confirm?: boolean | undefined
  readonly writeTimeout?: Duration.Input | undefined
}

const prefix: Kind.Kind<boolean | string> = {
  takes: "true, false or a text",
  read: (value) => Kind.flag.read(value) ?? Kind.text.read(value)
}

const verified: Kind.Kind<Readonly<Record<string, never>>> = {
  takes: "true for TLS that is verified",
  read: (value) => (value === true ? {} : undefined)
}

const shared: Readonly<Record<string, Kind.Field>> = {
  global_keyprefix: ["globalKeyprefix", Kind.text],
  master_name: ["masterName", Kind.text],
  sentinel_kwargs: [
    "sentinelKwargs",
    Kind.fields("Redis", {
      username: ["username", Kind.text],
      password: ["password", Kind.secret],
      ssl: ["tls", verified]
    })
  ]
}

export const ofResults: Kind.Kind<OfResults> = Kind.fields("Redis", {
  ...shared,
  result_chord_ordered: ["chordOrdered", Kind.flag]
})

export const ofRedis: Kind.Kind<OfRedis> = Kind.fields("Redis", {
  ...shared,
  sep: ["separator", Kind.text],
  priority_steps: ["prioritySteps", Kind.steps],
  fanout_prefix: ["fanoutPrefix", prefix],
  fanout_patterns: ["fanoutPatterns", Kind.flag],
  queue_order_strategy: ["queueOrderStrategy", Kind.oneOf(["round_robin", "sorted", "priority"])],
  unacked_key: ["unackedKey", Kind.text],
  unacked_index_key: ["unackedIndexKey", Kind.text],
  visibility_timeout: ["visibilityTimeout", Kind.positive],
  lease: ["lease", Kind.positive]
})

export const ofAmqp: Kind.Kind<OfAmqp> = Kind.fields("AMQP", {
  confirm_publish: ["confirm", Kind.flag],
  write_timeout: ["writeTimeout", Kind.positive]
})
