/** What a scripted broker does in place of, or before, what a broker does: data, so that a test reads as what happens. */
import type { Content } from "@apium/protocol/amqp/Content"
import type * as Method from "@apium/protocol/amqp/Method"
import type * as Duration from "effect/Duration"

export type Reaction =
  | { readonly _tag: "Refuse"; readonly replyCode: number; readonly replyText: string }
  | { readonly _tag: "Cut" }
  | { readonly _tag: "Silence" }
  | { readonly _tag: "Send"; readonly octets: Uint8Array }
  | { readonly _tag: "Answer"; readonly methods: ReadonlyArray<Method.Method> }
  | { readonly _tag: "Delay"; readonly by: Duration.Input; readonly next: Reaction | undefined }
  | { readonly _tag: "First"; readonly count: number; readonly next: Reaction }

/** Closes the channel with this, or the connection, as the reply code has it (`Constants.replyScope`) or it is its own method. */
export const refuse = (replyCode: number, replyText: string): Reaction => ({ _tag: "Refuse", replyCode, replyText })

/** Closes the socket without a word. */
export const cut: Reaction = { _tag: "Cut" }

/** Takes it, and does and says nothing. The rest goes on. */
export const silence: Reaction = { _tag: "Silence" }

/** Sends these octets in place of an answer; text goes as UTF-8. Malformed frames are made of them. */
export const send = (octets: Uint8Array | string): Reaction => ({
  _tag: "Send",
  octets: typeof octets === "string" ? new TextEncoder().encode(octets) : octets
})

/** Answers with these methods, on the same channel, and does nothing else. */
export const answer = (...methods: ReadonlyArray<Method.Method>): Reaction => ({ _tag: "Answer", methods })

/** Reads nothing of this connection for so long, and then goes on as it would have, or as `next` says. */
export const delay = (by: Duration.Input, next?: Reaction): Reaction => ({ _tag: "Delay", by, next })

/** To the first `count` times that the step comes; from then on there is no script for it. */
export const first = (count: number, next: Reaction): Reaction => ({ _tag: "First", count, next })

/** What a client sends: a method by its name, or one of the two moments before the first. */
export type Step = "accept" | "protocol-header" | Method.Tag

type React<S extends Step> = S extends Method.Tag
  ? (
      method: Extract<Method.Method, { readonly _tag: S }>,
      channel: number,
      content: Content | undefined
    ) => Reaction | undefined
  : () => Reaction | undefined

/** A reaction, or a function that looks at the method first; `undefined` leaves it to the broker. */
export type ScriptOf<S extends Step> = Reaction | React<S>

export type Script = { readonly [S in Step]?: ScriptOf<S> | undefined }

interface Line {
  readonly does: Reaction | ((...about: ReadonlyArray<unknown>) => Reaction | undefined)
  seen: number
}

/** A script as it runs: it counts how often each step came. */
export class Scripted {
  readonly #lines = new Map<Step, Line>()

  constructor(script: Script) {
    for (const [step, does] of Object.entries(script)) this.set(step as Step, does as Line["does"])
  }

  set(step: Step, does: Line["does"] | undefined): void {
    if (does === undefined) this.#lines.delete(step)
    else this.#lines.set(step, { does, seen: 0 })
  }

  at(step: Step, ...about: ReadonlyArray<unknown>): Reaction | undefined {
    const line = this.#lines.get(step)
    if (line === undefined) return undefined
    line.seen++
    const reaction = typeof line.does === "function" ? line.does(...about) : line.does
    if (reaction?._tag !== "First") return reaction
    return line.seen <= reaction.count ? reaction.next : undefined
  }
}
