/** Does what a script says, in place of what a broker does. */
import * as Method from "@apium/protocol/amqp/Method"
import * as Effect from "effect/Effect"
import type { Reaction } from "./Reaction.ts"
import type { ServerLink } from "./ServerLink.ts"

/** To this method, or to what comes before the first; whether that was all there is to do. */
export const react = (
  link: ServerLink,
  reaction: Reaction | undefined,
  id: number,
  method: Method.Method | undefined
): Effect.Effect<boolean> => {
  if (reaction === undefined) return Effect.succeed(false)
  if (reaction._tag === "First") return react(link, reaction.next, id, method)
  if (reaction._tag === "Delay") {
    return Effect.andThen(link.pause(Effect.sleep(reaction.by)), () => react(link, reaction.next, id, method))
  }
  if (method !== undefined) link.channels.get(id)?.passedOver(method)
  const done = Effect.suspend((): Effect.Effect<void> => {
    switch (reaction._tag) {
      case "Cut":
        return Effect.andThen(link.cut, Effect.never)
      case "Silence":
        return Effect.void
      case "Send":
        return link.raw(reaction.octets)
      case "Answer":
        return Effect.sync(() => {
          for (const each of reaction.methods) link.send(id, each)
        })
      case "Refuse": {
        const { replyCode, replyText } = reaction
        const { classId, methodId } = method === undefined ? { classId: 0, methodId: 0 } : Method.infos[method._tag]
        return link.say(id, replyCode, replyText, classId, methodId)
      }
    }
  })
  return Effect.as(done, true)
}
