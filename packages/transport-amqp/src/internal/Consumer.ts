/**
 * One consumer: what the broker sent and nobody has pulled yet. What was delivered by one read of the socket is pulled as one
 * batch.
 */
import type { ConsumeOptions } from "@apium/hub/Channel"
import type { Delivery } from "@apium/hub/Delivery"
import type { HubError } from "@apium/hub/HubError"
import { isArrayNonEmpty, type NonEmptyReadonlyArray } from "effect/Array"
import * as Effect from "effect/Effect"
import type { AmqpDelivery } from "./Delivery.ts"

export class Consumer {
  readonly tag: string
  readonly queue: string
  readonly options: ConsumeOptions
  readonly noAck: boolean
  /** Whether the broker sends to it, as far as we have told it. */
  started = false
  /** Nobody pulls any more. */
  left = false
  #buffer: Array<AmqpDelivery> = []
  #ended: HubError | undefined
  #wake: (() => void) | undefined

  constructor(tag: string, queue: string, options: ConsumeOptions) {
    this.tag = tag
    this.queue = queue
    this.options = options
    this.noAck = options.noAck === true
  }

  offer(delivery: AmqpDelivery): void {
    this.#buffer.push(delivery)
  }

  wake(): void {
    this.#wake?.()
  }

  /** It ends with this once all that is there was pulled. */
  end(error: HubError): void {
    this.#ended ??= error
    this.wake()
  }

  /** It ends with this at once: what is there is the broker's again. */
  fail(error: HubError): void {
    this.#buffer = []
    this.end(error)
  }

  /** What nobody has pulled goes back, the last first. */
  giveBack(): void {
    const buffer = this.#buffer
    this.#buffer = []
    for (const delivery of buffer.toReversed()) delivery.giveBack()
  }

  readonly #wait = Effect.callback<void>((resume) => {
    this.#wake = () => {
      this.#wake = undefined
      resume(Effect.void)
    }
    return Effect.sync(() => void (this.#wake = undefined))
  })

  /** Only the wait may be interrupted: between the taking and the hand-over a message has no other owner. */
  readonly pull: Effect.Effect<NonEmptyReadonlyArray<Delivery>, HubError> = Effect.uninterruptibleMask((restore) => {
    const handOver = (taken: ReadonlyArray<AmqpDelivery>) =>
      Effect.onInterrupt(restore(Effect.void), () =>
        Effect.sync(() => {
          for (const delivery of taken.toReversed()) delivery.giveBack()
        })
      )
    const next: Effect.Effect<NonEmptyReadonlyArray<Delivery>, HubError> = Effect.suspend(() => {
      const taken = this.#buffer
      if (isArrayNonEmpty(taken)) {
        this.#buffer = []
        return Effect.as(handOver(taken), taken)
      }
      return this.#ended === undefined ? Effect.andThen(restore(this.#wait), next) : Effect.fail(this.#ended)
    })
    return next
  })
}
