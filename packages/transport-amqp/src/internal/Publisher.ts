/**
 * Publishes of one channel, in order. They are written as long as the broker wants them: not while it says `blocked` or stops
 * the flow, not beyond the window of unconfirmed ones, not while the socket is behind. Those that come meanwhile wait with
 * whoever called.
 */
import { HubError } from "@apium/hub/HubError"
import type { Message, Route } from "@apium/hub/Message"
import type { Content } from "@apium/protocol/amqp/Content"
import * as Method from "@apium/protocol/amqp/Method"
import * as Effect from "effect/Effect"
import { Confirms, type Waiter, window } from "./Confirms.ts"
import { notWritten } from "./errors.ts"
import type { Link } from "./Link.ts"

type Resume = (result: Effect.Effect<void, HubError>) => void

/** Who publishes several, and is told once, when the last is done: the first failure is the batch's. */
class Batch {
  #remaining: number
  #failure: HubError | undefined
  readonly #failed: Array<number> = []
  readonly #resume: Resume

  constructor(size: number, resume: Resume) {
    this.#remaining = size
    this.#resume = resume
  }

  /** Who waits for the one at this place. */
  at(place: number): Waiter {
    return { done: (failure) => this.#done(failure, place) }
  }

  #done(failure: HubError | undefined, place: number): void {
    if (failure !== undefined) {
      this.#failure ??= failure
      this.#failed.push(place)
    }
    if (--this.#remaining === 0) this.#resume(this.#outcome(this.#failure))
  }

  /** Whoever sends it again is to send what was taken only once. */
  #outcome(failure: HubError | undefined): Effect.Effect<void, HubError> {
    if (failure === undefined) return Effect.void
    if (!failure.transient) return Effect.fail(failure)
    return Effect.fail(new HubError({ reason: failure.reason, unsent: this.#failed.toSorted((a, b) => a - b) }))
  }
}

/** Who publishes one. */
class Single implements Waiter {
  readonly #resume: Resume

  constructor(resume: Resume) {
    this.#resume = resume
  }

  done(failure: HubError | undefined): void {
    this.#resume(failure === undefined ? Effect.void : Effect.fail(failure))
  }
}

/** One that is not written yet, and will not be once `waiter` is gone: who has called has gone, or it has been. */
interface Waiting {
  readonly message: Message
  readonly route: Route
  waiter: Waiter | undefined
}

export class Publisher {
  readonly #link: Link
  readonly #channel: number
  /** From the first publish that is to be confirmed. */
  #confirms: Confirms | undefined
  #waiting: Array<Waiting> = []
  /** Those before are written. */
  #at = 0
  /** Of those that wait: whose callers have gone. */
  #left = 0
  #flow = true
  #oldest: number | undefined
  #oldestSince = 0
  #cause: HubError | undefined

  constructor(link: Link, channel: number) {
    this.#link = link
    this.#channel = channel
  }

  /** Completes when it is confirmed, or written where no confirm is wanted. */
  publish(message: Message, route: Route): Effect.Effect<void, HubError> {
    // FAST: what need not wait costs no more than a call.
    if (route.confirm === false) {
      return Effect.suspend(() => {
        if (this.#cause !== undefined) return Effect.fail(this.#cause)
        if (!this.#goesOut) return this.#publish(message, route)
        const failure = this.#write(message, route, undefined)
        return failure === undefined ? Effect.void : Effect.fail(failure)
      })
    }
    return this.#publish(message, route)
  }

  #publish(message: Message, route: Route): Effect.Effect<void, HubError> {
    return Effect.callback((resume) => {
      if (this.#cause !== undefined) return resume(Effect.fail(this.#cause))
      const waiting = this.#submit(message, route, new Single(resume))
      if (waiting === undefined) return
      return Effect.sync(() => this.#leave(waiting))
    })
  }

  /** Completes when all are; fails with the first failure. */
  publishAll(batch: ReadonlyArray<readonly [message: Message, route: Route]>): Effect.Effect<void, HubError> {
    return Effect.callback((resume) => {
      if (this.#cause !== undefined) return resume(Effect.fail(this.#cause))
      if (batch.length === 0) return resume(Effect.void)
      const own = new Batch(batch.length, resume)
      const unwritten: Array<Waiting> = []
      for (const [place, [message, route]] of batch.entries()) {
        const waiting = this.#submit(message, route, own.at(place))
        if (waiting !== undefined) unwritten.push(waiting)
      }
      if (unwritten.length === 0) return
      return Effect.sync(() => {
        for (const waiting of unwritten) this.#leave(waiting)
      })
    })
  }

  /** Writes what waits, as far as that goes. */
  resume(): void {
    while (this.#at < this.#waiting.length && this.#ready) {
      const next = this.#waiting[this.#at++]!
      const { message, route, waiter } = next
      next.waiter = undefined
      if (waiter === undefined) this.#left--
      else this.#send(message, route, waiter)
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

  /**
   * Whether the oldest publish was the oldest at `before` already, as far as was asked: RabbitMQ 3.10 takes what comes for a
   * quorum queue that has no leader, and never confirms it.
   */
  stuck(before: number, now: number): boolean {
    const oldest = this.#confirms?.oldest
    if (oldest !== undefined && oldest === this.#oldest) return this.#oldestSince <= before
    this.#oldest = oldest
    this.#oldestSince = now
    return false
  }

  returned(method: Method.BasicReturn, content: Content): void {
    this.#confirms?.returned(method, content)
  }

  fail(error: HubError): void {
    this.#cause = error
    this.#confirms?.fail(error)
    const waiting = this.#waiting.slice(this.#at)
    this.#waiting = []
    this.#at = this.#left = 0
    for (const { waiter } of waiting) waiter?.done(error)
  }

  /** A broker may block for hours, and callers give up and try again: what they leave behind goes when it is more than the rest. */
  #leave(waiting: Waiting): void {
    if (waiting.waiter === undefined) return
    waiting.waiter = undefined
    if (++this.#left <= window || 2 * this.#left < this.#waiting.length - this.#at) return
    this.#waiting = this.#waiting.slice(this.#at).filter(({ waiter }) => waiter !== undefined)
    this.#at = this.#left = 0
  }

  /** Nobody waits, and nobody has to. */
  get #goesOut(): boolean {
    return this.#at === this.#waiting.length && this.#ready
  }

  get #ready(): boolean {
    return !this.#link.blocked && this.#flow && !this.#link.outbox.full && (this.#confirms?.open ?? 0) < window
  }

  /** Writes it, or lets it wait: then that. */
  #submit(message: Message, route: Route, waiter: Waiter): Waiting | undefined {
    if (this.#goesOut) {
      this.#send(message, route, waiter)
      return undefined
    }
    const waiting: Waiting = { message, route, waiter }
    this.#waiting.push(waiting)
    return waiting
  }

  #send(message: Message, route: Route, waiter: Waiter): void {
    const confirm = route.confirm !== false
    const failure = this.#write(message, route, confirm ? waiter : undefined)
    if (failure !== undefined || !confirm) waiter.done(failure)
  }

  /** Why it was not. */
  #write(message: Message, route: Route, waiter: Waiter | undefined): HubError | undefined {
    const { outbox } = this.#link
    const { frames } = outbox
    try {
      if (waiter !== undefined && this.#confirms === undefined) {
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
      return notWritten(error)
    }
    this.#confirms?.add(message, route, waiter)
    outbox.wake()
    return undefined
  }
}

const isEmpty = (headers: object): boolean => {
  for (const _ in headers) return false
  return true
}
