/**
 * Where results are kept and waited for (celery/backends/base.py). A message is the JSON of a result as Python keeps it.
 *
 * ```text
 *   worker ──store──▶ result of a task ◀──get, wait, changes── caller
 *          ──count──▶ parts of a chord ──the last one──▶ fire: its body is sent
 * ```
 */
import type { HubError } from "@apium/hub/HubError"
import type { ChordPart, ResultMessage, ResultTuple } from "@apium/protocol/celery/ResultMessage"
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import type * as Stream from "effect/Stream"

export class ResultBackend extends Context.Service<
  ResultBackend,
  {
    /** Whether a result is to say the task's name, arguments, worker, retries and queue, too (Celery's `result_extended`). */
    readonly extended: boolean
    /** Keeps the newest state; a stored SUCCESS is never overwritten. */
    readonly store: (message: ResultMessage, to?: Destination) => Effect.Effect<void, HubError>
    /** What is stored now. */
    readonly get: (taskId: string) => Effect.Effect<Option.Option<ResultMessage>, HubError>
    /** Waits for a final state (SUCCESS, FAILURE, REVOKED). */
    readonly wait: (taskId: string) => Effect.Effect<ResultMessage, HubError>
    /** What is stored now and the states after it; ends with a final one. What comes while the backend is away may be missing, the final one never. */
    readonly changes: (taskId: string) => Stream.Stream<ResultMessage, HubError>
    readonly forget: (taskId: string) => Effect.Effect<void, HubError>
    /**
     * Where results come as messages: what a task that is sent says as its `reply_to`, asked for before it is sent. Left out: results are
     * kept where all can ask for them.
     */
    readonly replyTo?: Effect.Effect<string, HubError> | undefined
    readonly groups: Groups
    readonly chords: Chords
  }
>()("@apium/worker/ResultBackend") {}

/** Of a task message: where its sender waits for results that come as messages. */
export interface Destination {
  readonly replyTo?: string | undefined
  readonly correlationId?: string | undefined
}

/** Groups that were saved: which results belong to them, and not the results (`GroupResult.save`, `restore`, `delete`). */
export interface Groups {
  /** Under the tuple's id; kept as long as a result. */
  readonly save: (group: ResultTuple) => Effect.Effect<void, HubError>
  readonly restore: (groupId: string) => Effect.Effect<Option.Option<ResultTuple>, HubError>
  /** The results themselves stay. */
  readonly forget: (groupId: string) => Effect.Effect<void, HubError>
}

/** A part of a chord that has ended. Its state is SUCCESS, FAILURE or REVOKED; the result of the latter two is a failure's object. */
export interface Part extends ChordPart {
  readonly groupId: string
  /** Its place in the header (`group_index`); `null` where the sender gave none. */
  readonly groupIndex: number | null
}

/**
 * Counting the parts of a chord (`on_chord_part_return`). The counter is the set of the parts that have ended, so one that is delivered
 * twice counts once, with its first end.
 */
export interface Chords {
  /**
   * How many parts there are (`set_chord_size`). To be said before the last of them is sent: a chord whose parts have all been counted
   * by then does not fire.
   */
  readonly size: (groupId: string, parts: number) => Effect.Effect<void, HubError>
  /**
   * One part more: a task of the header puts another one beside itself (`Task.add_to_chord`). To be said before that task ends, and before
   * the part is sent: one that ended uncounted would stand for another, and the chord fire without that one. `takeBack`, once however often
   * it is run, is for a part that is known to be in no queue, while the task that added it has not ended.
   */
  readonly add: (groupId: string) => Effect.Effect<{ readonly takeBack: Effect.Effect<void, HubError> }, HubError>
  /**
   * Counts a part. Whoever counts the last one fires: `fire` gets all parts in the order of the header (those without an index last)
   * and sends the body, or tells its error callbacks of the first that failed; then the chord is gone. Gives whether it was this one.
   *
   * While one fires, the others that count a part of a whole chord wait. When `fire` fails or is interrupted, or the process dies in
   * it, the chord stays, and fires with the next delivery of any of its parts; 30 s later at the latest, if the process died. Where
   * somebody else fires, or began to, `sent` is asked first: whether what `fire` sends is known to have left. Then the chord is gone,
   * too. Two of them may fire only when one dies, or is frozen for those 30 s, between the sending of the body and the end of `fire`:
   * see `begin`.
   *
   * A header with groups inside is saved as a group under `groupId`: then the body gets results in that tree's shape (`groups.restore`).
   */
  readonly count: <E, R>(
    part: Part,
    fire: (parts: ReadonlyArray<ChordPart>) => Effect.Effect<void, E, R>,
    sent?: Effect.Effect<boolean, E, R>
  ) => Effect.Effect<boolean, E | HubError, R>
  /** Of the messages of one task that several firings of a chord have sent: whether this is the one to run, which is the first to ask. */
  readonly begin: (message: {
    readonly groupId: string
    readonly taskId: string
    readonly firing: string
  }) => Effect.Effect<boolean, HubError>
}
