/** Chords in Celery's keys and members (celery/backends/redis.py `on_chord_part_return`), counted by scripts: see `RedisScripts.count`. */
import { fail, type HubError } from "@apium/hub/HubError"
import type { ChordPart } from "@apium/protocol/celery/ResultMessage"
import * as ResultMessage from "@apium/protocol/celery/ResultMessage"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Redis from "effect/persistence/Redis"
import * as Result from "effect/Result"
import type { Chords, Part } from "../ResultBackend.ts"
import { hubError, type Retrying } from "./RedisErrors.ts"
import * as scripts from "./RedisScripts.ts"
import * as RedisTexts from "./RedisTexts.ts"

/** In milliseconds: how long one may take to send the body before another may fire. */
const lease = 30_000
/** In milliseconds: how often one that waits for another looks. */
const look = 200
/** In seconds: how long Apium's own keys live where results live for ever, */
const day = 86_400
/** and at least: who fires, and the body, which may wait or be tried again, may take longer than results are kept. */
const hour = 3600

export const make = (options: {
  readonly redis: Redis.Redis["Service"]
  readonly groupKey: (groupId: string, suffix: "" | ".j" | ".t" | ".s" | ".apium" | `.apium:${string}`) => string
  /** In seconds, 0 for ever. */
  readonly expires: number
  readonly ordered: boolean
  readonly retrying: Retrying
}): Chords => {
  const { expires, groupKey, ordered, redis, retrying } = options
  const life = expires === 0 ? day : Math.max(expires, hour)
  const keysOf = (groupId: string): scripts.ChordKeys => [
    groupKey(groupId, ".j"),
    groupKey(groupId, ".t"),
    groupKey(groupId, ".s"),
    groupKey(groupId, ".apium")
  ]
  const asking = <A>(work: Effect.Effect<A, Redis.RedisError>) => retrying(Effect.mapError(work, hubError))

  const count: Chords["count"] = (part, fire, sent = Effect.succeed(false)) =>
    Effect.suspend(() => {
      const keys = keysOf(part.groupId)
      const token = crypto.randomUUID()
      const ask = Effect.flatMap(counted(part, ordered), (one) =>
        asking(redis.eval(scripts.count)(keys, one, expires, life, token, lease))
      )
      const ended = (how: Effect.Effect<unknown, Redis.RedisError>) =>
        Effect.catchCause(asking(how), (cause) =>
          Effect.logWarning("A chord's keys could not be updated", { group: part.groupId, reason: Cause.pretty(cause) })
        )
      const fireWith = (members: ReadonlyArray<string>) =>
        Effect.flatMap(partsOf(part.groupId, members), fire).pipe(
          Effect.onExit((exit) =>
            ended(
              Exit.isSuccess(exit) ? redis.eval(scripts.fired)(keys, life) : redis.eval(scripts.release)(keys, token)
            )
          ),
          Effect.as(true)
        )
      /** Somebody else fires, or began to; unless all that was to be sent is. */
      const unlessSent = <E, R>(otherwise: Effect.Effect<boolean, E, R>) =>
        Effect.flatMap(sent, (left) =>
          left ? Effect.as(ended(redis.eval(scripts.fired)(keys, life)), false) : otherwise
        )
      const turn: ReturnType<typeof fireWith> = Effect.flatMap(ask, ([answer, ...more]) => {
        switch (answer) {
          case "part":
            return Effect.succeed(false)
          case "complete":
            return fireWith(more)
          case "again":
            return unlessSent(fireWith(more))
          case "claimed":
            return unlessSent(Effect.andThen(Effect.sleep(Math.min(Number(more[0]), look)), turn))
        }
      })
      return turn
    })

  return {
    size: (groupId, parts) => Effect.asVoid(asking(redis.eval(scripts.size)(keysOf(groupId), parts, expires))),
    add: (groupId) =>
      Effect.suspend(() => {
        const [keys, token] = [keysOf(groupId), crypto.randomUUID()]
        return Effect.as(asking(redis.eval(scripts.add)(keys, token, life)), {
          takeBack: Effect.asVoid(asking(redis.eval(scripts.takeBack)(keys, token)))
        })
      }),
    count,
    begin: ({ firing, groupId, taskId }) => {
      const key = groupKey(groupId, `.apium:${taskId}`)
      return Effect.flatMap(asking(redis.send<string | null>("SET", key, firing, "NX", "EX", String(life))), (reply) =>
        reply === null
          ? Effect.flatMap(asking(redis.send<string | null>("GET", key)), (first) =>
              first === firing
                ? Effect.as(asking(redis.send("EXPIRE", key, String(life))), true)
                : Effect.succeed(first === null)
            )
          : Effect.succeed(true)
      )
    }
  }
}

const counted = (part: Part, ordered: boolean): Effect.Effect<scripts.Counted, HubError> =>
  Effect.map(
    RedisTexts.encode(ResultMessage.encodeChordPart(part), () => `the part ${part.taskId} of a chord`),
    (member) => {
      const id = JSON.stringify(part.taskId)
      return {
        taskId: part.taskId,
        member,
        beginnings: [`[1, ${id},`, `[1,${id},`],
        score: ordered ? String(part.groupIndex ?? "+inf") : ""
      }
    }
  )

const partsOf = (groupId: string, members: ReadonlyArray<string>): Effect.Effect<ReadonlyArray<ChordPart>, HubError> =>
  Effect.forEach(members, (member) =>
    Effect.suspend(() => {
      const part = RedisTexts.decode(
        member,
        () => `a part of the chord ${groupId}`,
        (value) => ResultMessage.decodeChordPart(value)
      )
      return Result.isSuccess(part) ? Effect.succeed(part.success) : fail(part.failure)
    })
  )
