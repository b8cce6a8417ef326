/**
 * What a pool and its children, threads or processes, say to each other. The messages are plain objects of strings and
 * numbers, for structured clone and for JSON alike; whatever holds values of a task travels in them as kombu JSON text, for
 * its small classes (`Decimal`, `PyDateTime`) would arrive as plain objects.
 *
 * A child that is `Ready` has built its handlers. It runs one job at a time, and answers each `Run` with one `Outcome`,
 * whatever happens.
 */
import type { Arguments } from "@apium/hub/Exchange"
import { HubError } from "@apium/hub/HubError"
import * as Json from "@apium/protocol/kombu/Json"
import * as Schema from "effect/Schema"
import type { RequestInfo } from "../../task/TaskContext.ts"
import * as TaskError from "../../task/TaskError.ts"
import type { Outcome } from "../Outcome.ts"
import type { Call } from "../Perform.ts"

export type ToChild =
  /** `work`: a {@link Work} as text. */
  | { readonly _tag: "Run"; readonly id: number; readonly work: string }
  | { readonly _tag: "Interrupt"; readonly id: number }
  /** The answer to `UpdateState`. */
  | { readonly _tag: "StateUpdated"; readonly request: number; readonly stored: EncodedStored }
  /** Close the handlers' layer, and say so. */
  | { readonly _tag: "Close" }

export type FromChild =
  /** `child`: the id of its thread or process. */
  | { readonly _tag: "Ready"; readonly child: number }
  /** `outcome`: an {@link Outcome} as text. `resident`: KiB of memory the child has now; 0 for one without its own, a thread. */
  | { readonly _tag: "Outcome"; readonly id: number; readonly outcome: string; readonly resident: number }
  | {
      readonly _tag: "UpdateState"
      readonly id: number
      /** Unique within its child. */
      readonly request: number
      readonly state: string
      readonly meta: string
    }
  /** `fields`: as text. Nobody answers. */
  | { readonly _tag: "SendEvent"; readonly id: number; readonly type: string; readonly fields: string }
  /** The handlers could not be loaded, or not built: this child will never be ready. */
  | { readonly _tag: "LoadFailed"; readonly text: string }
  | { readonly _tag: "Closed" }

/** What a child has to know of a job. */
export interface Work {
  readonly call: Call
  readonly info: RequestInfo
}

/** Throws `JsonError`: headers may hold what JSON cannot carry. */
export const encodeWork = ({ call: { args, kwargs }, info }: Work): string =>
  Json.stringify({ call: { args, kwargs }, info })

export const decodeWork = (text: string): Work => Json.parse(text) as unknown as Work

/** A result that JSON cannot carry is the task's failure. `place`: thread or process. */
export const encodeOutcome = (outcome: Outcome, place: string): string => {
  try {
    return Json.stringify(outcome)
  } catch (error) {
    const failure = TaskError.typeError(`The result cannot leave its ${place}: ${(error as Json.JsonError).message}`)
    return Json.stringify({ _tag: "Failure", failure, traceback: null } satisfies Outcome)
  }
}

export const decodeOutcome = (text: string): Outcome => Json.parse(text) as unknown as Outcome

/** Throws `JsonError`. */
export const encodeFields = (fields: Arguments): string => Json.stringify(fields)

export const decodeFields = (text: string): Arguments => Json.parse(text) as Arguments

/** How storing a state went, as JSON. A defect of the backend is one of the handler's, as it is in a pool of fibers. */
const Stored = Schema.toCodecJson(Schema.Exit(Schema.Void, HubError, Schema.Defect()))

export type EncodedStored = typeof Stored.Encoded

export const encodeStored = Schema.encodeSync(Stored)

export const decodeStored = Schema.decodeSync(Stored)
