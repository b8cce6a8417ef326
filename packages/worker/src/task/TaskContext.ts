/**
 * What a handler knows of its own execution (Celery's `self.request`): a service, there wherever a handler runs.
 */
import type { HubError } from "@apium/hub/HubError"
import type { Arguments } from "@apium/hub/Exchange"
import type { Signature } from "@apium/protocol/celery/Signature"
import type { KombuJson } from "@apium/protocol/kombu/Json"
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type * as Option from "effect/Option"

/** As data, so that it can travel to a thread. */
export interface RequestInfo {
  readonly id: string
  readonly name: string
  /** How often this task was run before. */
  readonly retries: number
  readonly rootId: string
  readonly parentId: string | null
  /** The group it is a member of, or the chord it is a part of. */
  readonly group: string | null
  /** Its place there. */
  readonly groupIndex: number | null
  /** The body of its chord, as on the wire. */
  readonly chord: Signature | null
  /** Seconds, in the order of the header: hard, then soft. */
  readonly timeLimit: readonly [hard: number | null, soft: number | null]
  /** The headers of the application's own: `traceparent`, `x-tenant`. */
  readonly headers: Arguments
  /** The labels it was given (`Canvas.stamp`), by their names. */
  readonly stamps: Readonly<Record<string, unknown>>
  /** The names of its stamps, in no order. */
  readonly stampedHeaders: ReadonlyArray<string>
  readonly delivery: {
    readonly exchange: string
    readonly routingKey: string
    readonly queue: string
    readonly redelivered: boolean
    readonly priority: number
  }
}

export class TaskContext extends Context.Service<
  TaskContext,
  Omit<RequestInfo, "parentId"> & {
    readonly parentId: Option.Option<string>
    /** Stores a state of the task's own, `PROGRESS` say, with a value; `AsyncResult.changes` shows it. */
    readonly updateState: (state: string, meta: KombuJson) => Effect.Effect<void, HubError>
    /** Tells monitors something of the task's own: an event of this type (`task-progress`), with `uuid` added. */
    readonly sendEvent: (type: string, fields: Arguments) => Effect.Effect<void>
  }
>()("@apium/worker/TaskContext") {}
