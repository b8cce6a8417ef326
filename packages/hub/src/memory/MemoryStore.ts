/**
 * A `VirtualStore` in the memory of this process: one list per queue and priority, a heap per
 * queue for what is not due yet, and one map of what is unacked.
 *
 * Time to live is honoured when a message would be taken, so an expired message keeps its place until somebody takes; with
 * `onExpired` it is honoured on time, as far as it is next in line.
 * A queue without `x-max-priority` ignores priorities, as RabbitMQ's do; with it the highest is taken first.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as MutableList from "effect/MutableList"
import type * as Scope from "effect/Scope"
import { Deadlines } from "../internal/deadlines.ts"
import { make as makeTimers } from "../internal/timers.ts"
import type { Message } from "../Message.ts"
import type { Queue } from "../Queue.ts"
import type { Put, StoredMessage, VirtualBinding, VirtualStore } from "../virtual/VirtualStore.ts"

interface Entry extends StoredMessage {
  tag: string
  redelivered: boolean
  deliveryCount: number
  expired: boolean
  readonly level: number
  readonly expiresAt: number
  /** Where it goes back to: a queue deleted and declared again meanwhile is another queue. */
  readonly home: MemoryQueue
}

interface Waiter {
  readonly queues: ReadonlyArray<string>
  readonly resume: (effect: Effect.Effect<void>) => void
}

interface MemoryQueue {
  /** One list per priority; index 0 is the lowest. */
  readonly levels: Array<MutableList.MutableList<Entry>>
  readonly ttl: number
  size: number
  readonly waiters: Set<Waiter>
  /** What is not due yet. */
  readonly delayed: Deadlines<Parked>
  /** When the timer of the first of them fires, and how to stop it. */
  timer: { readonly at: number; readonly cancel: () => void } | undefined
  /** A timer runs for the first message that expires. */
  expiring: boolean
}

export interface Options {
  /**
   * Given each message that expires at the head of its queue before somebody takes it: taken, and yours to settle, as RabbitMQ
   * dead-letters on time. Left out: it keeps its place until somebody would take it.
   */
  readonly onExpired?: ((expired: StoredMessage) => void) | undefined
}

/**
 * A message that waits for its time, which may be long, and there may be a million of them. A body that is ASCII (JSON mostly
 * is) is kept as text: 104 bytes for one of 90, where the array of octets, its buffer and the memory behind it take 310.
 */
interface Parked extends Omit<Put, "message" | "notBefore"> {
  readonly headers: Message["headers"]
  readonly properties: Message["properties"]
  readonly body: Uint8Array | string
  /** Of one that was delivered and postponed. */
  readonly past: Past | undefined
}

type Past = Pick<Entry, "redelivered" | "deliveryCount" | "expiresAt">

const ascii = new TextDecoder()
const octets = new TextEncoder()

const park = ({ message: { body, headers, properties }, exchange, routingKey }: Put, past?: Past): Parked => ({
  headers,
  properties,
  body: body.every((octet) => octet < 0x80) ? ascii.decode(body) : body,
  exchange,
  routingKey,
  past
})

const unpark = ({ headers, properties, body, exchange, routingKey }: Parked): Put => ({
  message: { headers, properties, body: typeof body === "string" ? octets.encode(body) : body },
  exchange,
  routingKey
})

const positiveInteger = (value: unknown): number | undefined =>
  typeof value === "number" && Number.isSafeInteger(value) && value >= 0 ? value : undefined

const headOf = (list: MutableList.MutableList<Entry>): Entry | undefined => MutableList.toArrayN(list, 1)[0]

export const make: Effect.Effect<VirtualStore, never, Scope.Scope> = Effect.suspend(() => makeWith({}))

export const makeWith = Effect.fnUntraced(function* ({
  onExpired
}: Options): Effect.fn.Return<VirtualStore, never, Scope.Scope> {
  const clock = yield* Clock.Clock
  const timers = yield* makeTimers
  const queues = new Map<string, MemoryQueue>()
  const unacked = new Map<string, Entry>()
  const bindings = new Map<string, Array<VirtualBinding>>()
  let tags = 0

  const levelsOf = (queue: Queue): number => Math.min(positiveInteger(queue.arguments["x-max-priority"]) ?? 0, 255) + 1

  const declare = (queue: Queue) =>
    Effect.sync(() => {
      if (queues.has(queue.name)) return
      queues.set(queue.name, {
        levels: Array.from({ length: levelsOf(queue) }, () => MutableList.make<Entry>()),
        ttl: positiveInteger(queue.arguments["x-message-ttl"]) ?? Number.POSITIVE_INFINITY,
        size: 0,
        waiters: new Set(),
        delayed: new Deadlines(),
        timer: undefined,
        expiring: false
      })
    })

  const wakeOne = (queue: MemoryQueue): void => {
    for (const waiter of queue.waiters) {
      leave(waiter)
      waiter.resume(Effect.void)
      return
    }
  }

  const leave = (waiter: Waiter): void => {
    for (const name of waiter.queues) queues.get(name)?.waiters.delete(waiter)
  }

  const expiry = (queue: MemoryQueue, message: Message): number => {
    const own = message.properties.expiration === undefined ? Number.NaN : Number(message.properties.expiration)
    const ttl = own >= 0 ? Math.min(own, queue.ttl) : queue.ttl
    return ttl === Number.POSITIVE_INFINITY ? ttl : clock.currentTimeMillisUnsafe() + ttl
  }

  const append = (name: string, queue: MemoryQueue, put: Put, past?: Past): void => {
    const priority = Math.trunc(put.message.properties.priority ?? 0) || 0
    const level = Math.min(Math.max(priority, 0), queue.levels.length - 1)
    MutableList.append(queue.levels[level]!, {
      tag: "",
      queue: name,
      message: put.message,
      exchange: put.exchange,
      routingKey: put.routingKey,
      redelivered: past?.redelivered ?? false,
      deliveryCount: past?.deliveryCount ?? 0,
      expired: false,
      level,
      expiresAt: past?.expiresAt ?? expiry(queue, put.message),
      home: queue
    })
    queue.size++
    wakeOne(queue)
    watchHead(queue)
  }

  /** A timer for what expires first of those that are next in line. */
  const watchHead = (queue: MemoryQueue): void => {
    if (onExpired === undefined || queue.expiring || queue.size === 0) return
    let at = Number.POSITIVE_INFINITY
    for (const list of queue.levels) at = Math.min(at, headOf(list)?.expiresAt ?? at)
    if (at === Number.POSITIVE_INFINITY) return
    queue.expiring = true
    timers.schedule(at, () => {
      queue.expiring = false
      const now = clock.currentTimeMillisUnsafe()
      for (const list of queue.levels) {
        for (let head = headOf(list); head !== undefined && head.expiresAt <= now; head = headOf(list)) {
          MutableList.take(list)
          onExpired(handOut(queue, head))
        }
      }
      watchHead(queue)
    })
  }

  /** One timer per queue: a closure for each of a million messages would take more than the messages. */
  const watch = (name: string, queue: MemoryQueue): void => {
    const at = queue.delayed.next
    if (at === undefined || (queue.timer !== undefined && queue.timer.at <= at)) return
    queue.timer?.cancel()
    const cancel = timers.schedule(at, () => {
      queue.timer = undefined
      const now = clock.currentTimeMillisUnsafe()
      while (queue.delayed.next !== undefined && queue.delayed.next <= now) {
        const parked = queue.delayed.pop()!
        append(name, queue, unpark(parked), parked.past)
      }
      watch(name, queue)
    })
    queue.timer = { at, cancel }
  }

  const put = (name: string, puts: ReadonlyArray<Put>) =>
    Effect.sync(() => {
      const queue = queues.get(name)
      if (queue === undefined) return false
      for (const put of puts) {
        const { notBefore } = put
        if (notBefore === undefined || notBefore <= clock.currentTimeMillisUnsafe()) append(name, queue, put)
        else queue.delayed.push(notBefore, park(put))
      }
      watch(name, queue)
      return true
    })

  /** It is out of its list, and somebody's to settle. */
  const handOut = (queue: MemoryQueue, entry: Entry): Entry => {
    queue.size--
    entry.tag = String(++tags)
    entry.expired = entry.expiresAt !== Number.POSITIVE_INFINITY && entry.expiresAt <= clock.currentTimeMillisUnsafe()
    unacked.set(entry.tag, entry)
    return entry
  }

  const takeFrom = (queue: MemoryQueue, max: number, into: Array<Entry>): void => {
    for (let level = queue.levels.length - 1; level >= 0 && into.length < max; level--) {
      const list = queue.levels[level]!
      while (into.length < max) {
        const entry = MutableList.take(list)
        if (entry === MutableList.Empty) break
        into.push(handOut(queue, entry))
      }
    }
    watchHead(queue)
  }

  const take = (names: ReadonlyArray<string>, max: number) =>
    Effect.sync(() => {
      const taken: Array<Entry> = []
      for (const name of names) {
        const queue = queues.get(name)
        if (queue === undefined) continue
        takeFrom(queue, max, taken)
        if (queue.size > 0) wakeOne(queue)
        if (taken.length >= max) break
      }
      return taken
    })

  const ready = (names: ReadonlyArray<string>) =>
    Effect.callback<void>((resume) => {
      const waiter: Waiter = { queues: names, resume }
      for (const name of names) {
        const queue = queues.get(name)
        if (queue === undefined) continue
        if (queue.size > 0) {
          leave(waiter)
          resume(Effect.void)
          return
        }
        queue.waiters.add(waiter)
      }
      return Effect.sync(() => leave(waiter))
    })

  const wake = (names: ReadonlyArray<string>) =>
    Effect.sync(() => {
      for (const name of names) {
        const queue = queues.get(name)
        if (queue !== undefined && queue.size > 0) wakeOne(queue)
      }
    })

  const settle = (tags: ReadonlyArray<string>) =>
    Effect.sync(() => {
      for (const tag of tags) unacked.delete(tag)
    })

  const restore: VirtualStore["restore"] = (tags, options) =>
    Effect.sync(() => {
      const near = options.side === "near"
      // The nearest is put in last, so that the order given is the order they come out in.
      for (let index = 0; index < tags.length; index++) {
        const tag = tags[near ? tags.length - 1 - index : index]!
        const entry = unacked.get(tag)
        if (entry === undefined) continue
        unacked.delete(tag)
        const queue = entry.home
        if (queues.get(entry.queue) !== queue) continue
        entry.redelivered = true
        if (options.counted !== false) entry.deliveryCount++
        const list = queue.levels[entry.level]!
        if (near) MutableList.prepend(list, entry)
        else MutableList.append(list, entry)
        queue.size++
        wakeOne(queue)
        watchHead(queue)
      }
    })

  const postpone = (tags: ReadonlyArray<string>, notBefore: number) =>
    Effect.sync(() => {
      for (const tag of tags) {
        const entry = unacked.get(tag)
        if (entry === undefined) continue
        unacked.delete(tag)
        const { deliveryCount, expiresAt, home, queue, redelivered } = entry
        if (queues.get(queue) !== home) continue
        const past = { deliveryCount, expiresAt, redelivered }
        if (notBefore <= clock.currentTimeMillisUnsafe()) append(queue, home, entry, past)
        else home.delayed.push(notBefore, park(entry, past))
        watch(queue, home)
      }
    })

  /** What is not due yet goes too, and counts. */
  const clear = (queue: MemoryQueue): number => {
    const size = queue.size + queue.delayed.size
    for (const list of queue.levels) MutableList.clear(list)
    queue.size = 0
    queue.delayed.retain(() => false)
    queue.timer?.cancel()
    queue.timer = undefined
    return size
  }

  const unbind = (exchange: string, gone: (binding: VirtualBinding) => boolean): void => {
    const left = (bindings.get(exchange) ?? []).filter((binding) => !gone(binding))
    if (left.length > 0) bindings.set(exchange, left)
    else bindings.delete(exchange)
  }

  return {
    declare,
    remove: (name) =>
      Effect.sync(() => {
        const queue = queues.get(name)
        if (queue === undefined) return 0
        queues.delete(name)
        for (const exchange of bindings.keys()) unbind(exchange, (binding) => binding.queue === name)
        for (const waiter of queue.waiters) {
          leave(waiter)
          waiter.resume(Effect.void)
        }
        return clear(queue)
      }),
    put,
    ready,
    wake,
    take,
    settle,
    restore,
    postpone,
    size: (name) => Effect.sync(() => queues.get(name)?.size ?? 0),
    purge: (name) =>
      Effect.sync(() => {
        const queue = queues.get(name)
        return queue === undefined ? 0 : clear(queue)
      }),
    bindings: {
      add: (exchange, binding) =>
        Effect.sync(() => {
          const bound = bindings.get(exchange.name) ?? []
          bindings.set(exchange.name, [...bound, binding])
        }),
      remove: (exchange, binding) => Effect.sync(() => unbind(exchange, (other) => other === binding)),
      list: (exchange) => Effect.sync(() => bindings.get(exchange) ?? [])
    }
  }
})
