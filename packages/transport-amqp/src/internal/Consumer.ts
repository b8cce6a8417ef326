/**
 * One consumer: what the broker sent and nobody has pulled yet, and how much it may send. What was delivered by one read of the
 * socket is pulled as one batch.
 *
 * RabbitMQ's prefetch is that of a `basic.consume`, and stays as it was when that began. So a consumer is made of shares, each a
 * `basic.consume` with a part of the window for its prefetch: a window that grows gets another share, one that shrinks loses its
 * last ones. What those had brought is still to be settled, and room for others only then:
 *
 * ```text
 *   window 8   [8]
 *   window 3   (5 unsettled)            cancelled; 5 is more than 3
 *              [1] (2)  …  [1][2]       three settled, then the others
 *   window 9   [1][2][6]
 * ```
 */
import type { ConsumeOptions } from "@apium/hub/Channel"
import type { Delivery } from "@apium/hub/Delivery"
import type { HubError } from "@apium/hub/HubError"
import { isArrayNonEmpty, type NonEmptyReadonlyArray } from "effect/Array"
import * as Effect from "effect/Effect"
import type { AmqpDelivery } from "./Delivery.ts"

/** The wire's largest: `basic.qos` counts in two octets, in which 0 is no bound. */
const largest = 65_535

/** Of a consumer that names none: nobody is sent more than he has room for. */
const defaultPrefetch = 1000

/** More shares than the largest window takes that doubles from 1; only a window that grows one by one meets it. */
const maxShares = 18

/** Without acknowledgements there is no window: beyond this the broker is told to stop until all of it was pulled. */
const maxBuffered = 4096
const maxOctets = 8 * 1024 * 1024

const wireCount = (prefetch: number): number =>
  prefetch > 0 ? Math.min(largest, Math.max(1, Math.floor(prefetch))) : 0

/** One `basic.consume`. */
export class Share {
  readonly consumer: Consumer
  readonly tag: string
  readonly prefetch: number
  unsettled = 0
  /** The broker has cancelled it. */
  over = false
  /** Whether somebody wants to know when one of its deliveries is settled. */
  watched: boolean

  constructor(consumer: Consumer, tag: string, prefetch: number) {
    this.consumer = consumer
    this.tag = tag
    this.prefetch = prefetch
    this.watched = consumer.stays
  }

  settled(): void {
    this.unsettled--
    if (this.watched) this.consumer.settled(this)
  }
}

export class Consumer {
  readonly tag: string
  readonly queue: string
  readonly options: ConsumeOptions
  /** To whoever pulls, deliveries are settled. */
  readonly noAck: boolean
  /** To the broker they are. */
  readonly wireNoAck: boolean
  /** Cancelled at its end only: its window is kept here, by what is handed over. */
  readonly stays: boolean
  readonly #prefetch: number
  readonly #changed: (consumer: Consumer) => void
  /** The channel's bound. */
  bound: number
  /** Nobody pulls any more. */
  left = false
  /** A request of its own is under way. */
  busy = false
  /** Its tag was used. */
  begun = false
  readonly shares: Array<Share> = []
  /** Unsettled deliveries of shares that are over. */
  #old = 0
  /** The window when it was last given out. */
  #given = 0
  #buffer: Array<AmqpDelivery> = []
  #octets = 0
  /** Without acknowledgements: it has been sent enough for now. */
  #full = false
  #ended: HubError | undefined
  #wake: (() => void) | undefined
  /** Since the last look: a fiber may yield between its look and its wait. */
  #woken = false

  constructor(
    tag: string,
    queue: string,
    options: ConsumeOptions,
    stays: boolean,
    bound: number,
    changed: (consumer: Consumer) => void
  ) {
    this.tag = tag
    this.queue = queue
    this.options = options
    this.noAck = options.noAck === true
    this.stays = stays
    // Nobody is sent a message again who answers a request at once, and others may not be asked to.
    this.wireNoAck = this.noAck && (!stays || queue.startsWith("amq.rabbitmq."))
    const { prefetch } = options
    this.#prefetch = this.noAck || prefetch === undefined ? defaultPrefetch : wireCount(prefetch || largest)
    this.bound = bound
    this.#changed = changed
  }

  get #window(): number {
    return this.noAck ? this.#prefetch : Math.min(this.#prefetch, wireCount(this.bound))
  }

  // ---- what the broker should be asked

  /** The prefetch of a share to begin, 0 for none; or the share that is to be cancelled; or nothing. */
  next(): number | Share | undefined {
    const { shares } = this
    if (this.left) return shares.at(-1)
    // The broker says goodbye to each of them.
    if (this.#ended !== undefined) return undefined
    if (this.wireNoAck) {
      if (shares.length === 0) return this.#full ? undefined : 0
      return this.#full ? shares[0] : undefined
    }
    if (this.stays) {
      if (shares.length > 0 || this.#window === 0) return undefined
      return Math.min(this.#prefetch, Math.max(defaultPrefetch, this.#window))
    }
    const window = this.#window
    let given = 0
    for (const share of shares) given += share.prefetch
    this.#given = Math.min(this.#given, window)
    const room = window - given - this.#old
    if (room < 0 && given > 0) return shares.at(-1)
    // What others leave behind is waited for until it doubles what there is: 17 shares make the largest window of 1.
    if (room < 1 || (window === this.#given && this.#old > 0 && room < given)) return undefined
    if (shares.length >= maxShares) return shares.reduce((a, b) => (b.prefetch < a.prefetch ? b : a))
    this.#given = window
    return room
  }

  /** Nothing comes from it any more. */
  over(share: Share): void {
    const at = this.shares.indexOf(share)
    if (at === -1) return
    this.shares.splice(at, 1)
    this.#old += share.unsettled
    share.over = share.watched = true
    // Stopped altogether: others may have what nobody has looked at.
    if (!this.left && !this.noAck && this.shares.length === 0 && this.#window === 0) this.giveBack()
  }

  settled(share: Share): void {
    if (share.over) {
      this.#old--
      if (!this.left) this.#changed(this)
    } else {
      this.wake()
    }
  }

  // ---- what came

  offer(delivery: AmqpDelivery, octets: number): void {
    this.#buffer.push(delivery)
    if (!this.wireNoAck) return
    this.#octets += octets
    if (this.#full || this.stays || (this.#buffer.length < maxBuffered && this.#octets < maxOctets)) return
    this.#full = true
    this.#changed(this)
  }

  wake(): void {
    this.#woken = true
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
    if (this.#woken) return resume(Effect.void)
    this.#wake = () => {
      this.#wake = undefined
      resume(Effect.void)
    }
    return Effect.sync(() => void (this.#wake = undefined))
  })

  #take(): Array<AmqpDelivery> {
    this.#woken = false
    const buffer = this.#buffer
    if (this.stays && !this.noAck && this.#ended === undefined) {
      const handedOver = this.shares.reduce((sum, { unsettled }) => sum + unsettled, this.#old) - buffer.length
      const room = this.#window - handedOver
      if (room < buffer.length) return buffer.splice(0, Math.max(0, room))
    }
    this.#buffer = []
    this.#octets = 0
    // Not before the last of them were dealt with: a socket holds some MiB that come though the broker was told to stop.
    if (this.#full && buffer.length === 0) {
      this.#full = false
      this.#changed(this)
    }
    return buffer
  }

  /**
   * Only the wait may be interrupted: between the taking and the hand-over a message has no other owner. The last step may be,
   * too, and carries the value; behind it is nothing that runs when all is well (`onInterrupt` does), where a fiber would yield.
   */
  readonly pull: Effect.Effect<NonEmptyReadonlyArray<Delivery>, HubError> = Effect.uninterruptibleMask((restore) => {
    const handOver = (
      taken: NonEmptyReadonlyArray<AmqpDelivery>
    ): Effect.Effect<NonEmptyReadonlyArray<Delivery>, HubError> =>
      Effect.catchCause(restore(Effect.succeed(taken)), (cause) => {
        for (const delivery of taken.toReversed()) delivery.giveBack()
        return Effect.failCause(cause)
      })
    const next: Effect.Effect<NonEmptyReadonlyArray<Delivery>, HubError> = Effect.suspend(() => {
      const taken = this.#take()
      if (isArrayNonEmpty(taken)) {
        if (this.noAck && !this.wireNoAck) for (const delivery of taken) delivery.acknowledge()
        return handOver(taken)
      }
      return this.#ended === undefined ? Effect.andThen(restore(this.#wait), next) : Effect.fail(this.#ended)
    })
    return next
  })
}
