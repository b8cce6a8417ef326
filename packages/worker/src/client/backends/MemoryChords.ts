/** Groups and chords in the memory of this process. Each is kept for `expires` after it last changed, and 100,000 of either at most. */
import type { ChordPart, ResultTuple } from "@apium/protocol/celery/ResultMessage"
import type * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import type { Chords, Groups, Part } from "../ResultBackend.ts"
import { Aging } from "./Aging.ts"

interface Chord {
  /** Undefined until it is known. */
  size: number | undefined
  added: number
  /** By their task: its first end. */
  readonly parts: Map<string, Part>
  /** Done when whoever fires is through with it, or failed. */
  firing: Deferred.Deferred<void> | undefined
}

const capacity = 100_000

/** `expires` in milliseconds. */
export const make = (clock: Clock.Clock, expires: number): { readonly groups: Groups; readonly chords: Chords } => {
  const saved = new Aging<ResultTuple>(clock, expires, capacity)
  // "fired": what comes later is a part of nothing.
  const chords = new Aging<Chord | "fired">(clock, expires, capacity)

  /** By the chord and the id of what it sent: the firing whose message runs. */
  const begun = new Aging<string>(clock, expires, capacity)

  const change = (groupId: string, how: (chord: Chord) => void): Chord | undefined => {
    const chord = chords.get(groupId) ?? {
      size: undefined,
      added: 0,
      parts: new Map(),
      firing: undefined
    }
    if (chord === "fired") return undefined
    how(chord)
    chords.set(groupId, chord)
    return chord
  }

  const count: Chords["count"] = (part, fire) =>
    // Who says that he fires says when he is through: nothing comes between.
    Effect.uninterruptibleMask((restore) =>
      Effect.suspend(() => {
        const chord = change(part.groupId, ({ parts }) => {
          if (!parts.has(part.taskId)) parts.set(part.taskId, part)
        })
        if (chord?.size === undefined || chord.parts.size < chord.size + chord.added) return Effect.succeed(false)
        if (chord.firing !== undefined) return restore(Effect.andThen(Deferred.await(chord.firing), count(part, fire)))
        const firing = (chord.firing = Deferred.makeUnsafe<void>())
        return Effect.as(restore(fire(inOrder(chord.parts))), true).pipe(
          Effect.onExit((exit) =>
            Effect.suspend(() => {
              chord.firing = undefined
              if (Exit.isSuccess(exit)) chords.set(part.groupId, "fired")
              return Deferred.succeed(firing, undefined)
            })
          )
        )
      })
    )

  return {
    groups: {
      save: (group) => Effect.sync(() => saved.set(group.id, group)),
      restore: (groupId) => Effect.sync(() => Option.fromUndefinedOr(saved.get(groupId))),
      forget: (groupId) => Effect.sync(() => saved.delete(groupId))
    },
    chords: {
      size: (groupId, size) => Effect.sync(() => void change(groupId, (chord) => (chord.size = size))),
      add: (groupId) =>
        Effect.sync(() => {
          let counted = change(groupId, (chord) => chord.added++) !== undefined
          const takeBack = Effect.sync(() => {
            if (counted) change(groupId, (chord) => chord.added--)
            counted = false
          })
          return { takeBack }
        }),
      count,
      begin: ({ firing, groupId, taskId }) =>
        Effect.sync(() => {
          const key = `${groupId} ${taskId}`
          const first = begun.get(key) ?? firing
          begun.set(key, first)
          return first === firing
        })
    }
  }
}

const inOrder = (parts: ReadonlyMap<string, Part>): ReadonlyArray<ChordPart> =>
  [...parts.values()]
    .toSorted((a, b) => (a.groupIndex ?? Infinity) - (b.groupIndex ?? Infinity) || 0)
    .map(({ result, state, taskId }) => ({ result, state, taskId }))
