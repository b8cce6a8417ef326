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

/** Who waits for one publish, or for several: told of each once, when it is confirmed, or will not be. */
export interface Waiter {
  readonly done: (failure: HubError | undefined) => void
}

interface Pending {
  readonly waiter: Waiter | undefined
  readonly message: Message
  readonly route: Route
  returned: HubError | undefined
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

  /** The number that has waited longest; `undefined`: none waits. */
  get oldest(): number | undefined {
    return this.open === 0 ? undefined : this.#first
  }

  add(message: Message, route: Route, waiter: Waiter | undefined): void {
    this.#ring[this.#next++ & mask] = { waiter, message, route, returned: undefined }
  }

  /** A tag of 0 is all of them. One that is not open says nothing. */
  settle(tag: number, multiple: boolean, taken: boolean): void {
    const last = tag === 0 ? this.#next - 1 : tag
    if (last >= this.#next) return
    for (let each = multiple ? this.#first : last; each <= last; each++) this.#settle(each, taken)
  }

  #settle(tag: number, taken: boolean): void {
    const ring = this.#ring
    const pending = ring[tag & mask]
    if (tag < this.#first || pending === undefined) return
    ring[tag & mask] = undefined
    // Before anybody hears of it, for who goes on may publish the next.
    if (tag === this.#first) {
      do this.#first++
      while (this.#first < this.#next && ring[this.#first & mask] === undefined)
    }
    pending.waiter?.done(taken ? pending.returned : nacked(pending.route))
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
    for (const pending of open) pending?.waiter?.done(error)
  }
}

const nacked = ({ exchange, routingKey }: Route): HubError =>
  new HubError({ reason: new Nacked({ exchange, routingKey }) })
