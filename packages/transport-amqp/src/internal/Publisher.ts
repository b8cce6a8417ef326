/**
 * Publishes of one channel, in order. They are written as long as the broker wants them: not while it says `blocked` or stops
 * the flow, not beyond the window of unconfirmed ones, not while the socket is behind. Those that come meanwhile wait with
 * whoever called.
 */
import type { HubError } from "@apium/hub/HubError"
import type { Message, Route } from "@apium/hub/Message"
import type { Content } from "@apium/protocol/amqp/Content"
import * as Method from "@apium/protocol/amqp/Method"
import * as Effect from "effect/Effect"
import { type Batch, Confirms, finish, window } from "./Confirms.ts"
import { notWritten } from "./errors.ts"
import type { Link } from "./Link.ts"

interface Waiting {
  readonly message: Message
  readonly route: Route
  readonly batch: WaitingBatch
}

interface WaitingBatch extends Batch {
  /** Whoever called has gone: what is not written yet will not be. */
  abandoned: boolean
}

export class Publisher {
  readonly #link: Link
  readonly #channel: number
  /** From the first publish that is to be confirmed. */
  #confirms: Confirms | undefined
  #waiting: Array<Waiting> = []
  /** Those before are written. */
  #at = 0
  #flow = true
  #cause: HubError | undefined

  constructor(link: Link, channel: number) {
    this.#link = link
    this.#channel = channel
  }

  /** Completes when all are confirmed, or written where no confirm is wanted; fails with the first failure. */
  publish(batch: ReadonlyArray<readonly [message: Message, route: Route]>): Effect.Effect<void, HubError> {
    return Effect.callback((resume) => {
      if (this.#cause !== undefined) return resume(Effect.fail(this.#cause))
      if (batch.length === 0) return resume(Effect.void)
      const own: WaitingBatch = {
        remaining: batch.length,
        failure: undefined,
        abandoned: false,
        done: (failure) => resume(failure === undefined ? Effect.void : Effect.fail(failure))
      }
      for (const [message, route] of batch) {
        if (this.#waiting.length === 0 && this.#ready) this.#write(message, route, own)
        else this.#waiting.push({ message, route, batch: own })
      }
      return Effect.sync(() => {
        own.abandoned = true
        own.done = () => {}
      })
    })
  }

  /** Writes what waits, as far as that goes. */
  resume(): void {
    while (this.#at < this.#waiting.length && this.#ready) {
      const { batch, message, route } = this.#waiting[this.#at++]!
      if (!batch.abandoned) this.#write(message, route, batch)
    }
    // Rarely, for what is left is moved.
    if (this.#at > 0 && (this.#at === this.#waiting.length || this.#at > 4 * window)) {
      this.#waiting = this.#waiting.slice(this.#at)
      this.#at = 0
    }
  }

  flow(active: boolean): void {
    this.#flow = active
    this.resume()
  }

  confirmed(tag: number, multiple: boolean, taken: boolean): void {
    this.#confirms?.settle(tag, multiple, taken)
  }

  returned(method: Method.BasicReturn, content: Content): void {
    this.#confirms?.returned(method, content)
  }

  fail(error: HubError): void {
    this.#cause = error
    this.#confirms?.fail(error)
    const waiting = this.#waiting.slice(this.#at)
    this.#waiting = []
    this.#at = 0
    for (const { batch } of waiting) finish(batch, error)
  }

  get #ready(): boolean {
    return !this.#link.blocked && this.#flow && !this.#link.outbox.full && (this.#confirms?.open ?? 0) < window
  }

  #write(message: Message, route: Route, batch: Batch): void {
    const confirm = route.confirm !== false
    const { outbox } = this.#link
    const { frames } = outbox
    try {
      if (confirm && this.#confirms === undefined) {
        // Nothing has to be waited for: the broker counts from the next publish on.
        frames.method(this.#channel, Method.confirmSelect({ nowait: true }))
        this.#confirms = new Confirms()
      }
      const { body, headers, properties } = message
      frames.publish(
        this.#channel,
        {
          _tag: "basic.publish",
          exchange: route.exchange,
          routingKey: route.routingKey,
          mandatory: route.mandatory === true,
          immediate: false
        },
        { properties, headers: isEmpty(headers) ? undefined : headers, body }
      )
    } catch (error) {
      return finish(batch, notWritten(error))
    }
    this.#confirms?.add(message, route, confirm ? batch : undefined)
    if (!confirm) finish(batch, undefined)
    outbox.wake()
  }
}

const isEmpty = (headers: object): boolean => {
  for (const _ in headers) return false
  return true
}
