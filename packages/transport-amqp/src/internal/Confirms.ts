/**
 * Publishes that the broker has not confirmed yet, by their numbers: a ring, for numbers are given in order and at most
 * `window` of them are open. A confirm may stand for all before it (`multiple`).
 */
import { HubError, Nacked, Returned } from "@apium/hub/HubError"
import type { Message, Route } from "@apium/hub/Message"
import type { Content } from "@apium/protocol/amqp/Content"
import type { BasicReturn } from "@apium/protocol/amqp/Method"

/** Unconfirmed publishes of one channel; further ones wait. */
export const window = 1000

const mask = 1023

/** Who waits for one publish, or for several: told once, when the last is confirmed. */
export interface Batch {
  remaining: number
  failure: HubError | undefined
  done: (failure: HubError | undefined) => void
}

interface Pending {
  readonly batch: Batch | undefined
  readonly message: Message
  readonly route: Route
  returned: HubError | undefined
}

export const finish = (batch: Batch | undefined, failure: HubError | undefined): void => {
  if (batch === undefined) return
  batch.failure ??= failure
  if (--batch.remaining === 0) batch.done(batch.failure)
}

const sameBytes = (a: Uint8Array, b: Uint8Array): boolean =>
  a.length === b.length && a.every((octet, index) => octet === b[index])

export class Confirms {
  readonly #ring: Array<Pending | undefined> = Array.from({ length: mask + 1 }, () => undefined)
  /** The lowest that is open, and the next to be given. */
  #first = 1
  #next = 1

  get open(): number {
    return this.#next - this.#first
  }

  add(message: Message, route: Route, batch: Batch | undefined): void {
    this.#ring[this.#next++ & mask] = { batch, message, route, returned: undefined }
  }

  /** A tag of 0 is all of them. One that is not open says nothing. */
  settle(tag: number, multiple: boolean, taken: boolean): void {
    const last = tag === 0 ? this.#next - 1 : tag
    if (last >= this.#next) return
    for (let each = multiple ? this.#first : last; each <= last; each++) {
      const pending = this.#ring[each & mask]
      if (each < this.#first || pending === undefined) continue
      this.#ring[each & mask] = undefined
      finish(pending.batch, taken ? pending.returned : nacked(pending.route))
    }
    while (this.#first < this.#next && this.#ring[this.#first & mask] === undefined) this.#first++
  }

  /**
   * A mandatory message came back; its confirm follows. `basic.return` names no number, so it is the oldest one that is the
   * same in all that can be compared.
   */
  returned({ replyCode, exchange, routingKey }: BasicReturn, content: Content): void {
    for (let each = this.#first; each < this.#next; each++) {
      const pending = this.#ring[each & mask]
      if (
        pending?.returned === undefined &&
        pending?.route.mandatory === true &&
        pending.route.routingKey === routingKey &&
        pending.route.exchange === exchange &&
        pending.message.properties.messageId === content.properties.messageId &&
        pending.message.properties.correlationId === content.properties.correlationId &&
        sameBytes(pending.message.body, content.body)
      ) {
        pending.returned = new HubError({ reason: new Returned({ replyCode, exchange, routingKey }) })
        return
      }
    }
  }

  /** Nobody will be confirmed any more. */
  fail(error: HubError): void {
    const open = this.#ring.slice()
    this.#ring.fill(undefined)
    this.#first = this.#next
    for (const pending of open) if (pending !== undefined) finish(pending.batch, error)
  }
}

const nacked = ({ exchange, routingKey }: Route): HubError =>
  new HubError({ reason: new Nacked({ exchange, routingKey }) })
