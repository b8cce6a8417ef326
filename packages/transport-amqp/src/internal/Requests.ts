/**
 * Requests of one channel, one at a time: the next is sent when the one before is answered. Who stops waiting does not disturb
 * that: an answer is awaited whether or not somebody wants it, and `onAnswer` hears it either way.
 */
import type { HubError } from "@apium/hub/HubError"
import type { Content } from "@apium/protocol/amqp/Content"
import * as Method from "@apium/protocol/amqp/Method"
import * as Effect from "effect/Effect"
import { notWritten } from "./errors.ts"

export interface Answer {
  readonly method: Method.Method
  readonly content: Content | undefined
}

/** How long a broker may take to answer `basic.cancel` and `channel.close` before whoever leaves stops waiting. */
export const farewell = "5 seconds"

interface Request {
  readonly method: Method.Method
  readonly onAnswer: ((answer: Answer, wanted: boolean) => void) | undefined
  /** Called with the answer, or with why there is none. */
  resume: ((answer: Answer | undefined, error?: HubError) => void) | undefined
  /** When; -1 before. */
  sent: number
}

export class Requests {
  readonly #send: (method: Method.Method) => void
  readonly #now: () => number
  #queue: Array<Request> = []
  /** Set once: no request is taken any more. */
  #cause: HubError | undefined

  constructor(send: (method: Method.Method) => void, now: () => number) {
    this.#send = send
    this.#now = now
  }

  /** The one that is under way. */
  get asking(): Method.Tag | undefined {
    return this.#queue[0]?.method._tag
  }

  /** Since when it is; it counts from its own sending, not from when it was asked. `undefined`: none is. */
  get since(): number | undefined {
    return this.#queue[0]?.sent
  }

  ask(method: Method.Method, onAnswer?: (answer: Answer, wanted: boolean) => void): Effect.Effect<Answer, HubError> {
    return Effect.callback((resume) => {
      const request = this.#add(method, onAnswer, (answer, error) =>
        resume(answer === undefined ? Effect.fail(error!) : Effect.succeed(answer))
      )
      return Effect.sync(() => {
        request.resume = undefined
        if (request.sent < 0) this.#queue = this.#queue.filter((other) => other !== request)
      })
    })
  }

  /** Nobody waits; `done` hears when it is answered, or why it will not be. */
  tell(method: Method.Method, done: (error?: HubError) => void = () => {}): void {
    this.#add(method, undefined, (_, error) => done(error))
  }

  /** False where nobody has asked for that. */
  answer(answer: Answer): boolean {
    const request = this.#queue[0]
    if (request === undefined || request.sent < 0) return false
    if (!Method.infos[request.method._tag].replies.includes(answer.method._tag)) return false
    this.#queue.shift()
    request.onAnswer?.(answer, request.resume !== undefined)
    this.#next()
    // Last: who waits goes on inside of this call, and may ask again.
    request.resume?.(answer)
    return true
  }

  fail(error: HubError): void {
    this.#cause = error
    const queue = this.#queue
    this.#queue = []
    for (const { resume } of queue) resume?.(undefined, error)
  }

  #add(method: Method.Method, onAnswer: Request["onAnswer"], resume: Request["resume"]): Request {
    const request: Request = { method, onAnswer, resume, sent: -1 }
    if (this.#cause === undefined) {
      this.#queue.push(request)
      if (this.#queue.length === 1) this.#next()
    } else {
      resume?.(undefined, this.#cause)
    }
    return request
  }

  #next(): void {
    for (let request = this.#queue[0]; request?.sent === -1; request = this.#queue[0]) {
      try {
        this.#send(request.method)
        request.sent = this.#now()
        return
      } catch (error) {
        this.#queue.shift()
        request.resume?.(undefined, notWritten(error))
      }
    }
  }
}
