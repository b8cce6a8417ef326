/**
 * Where a contestant works, and nobody else does: a virtual host of a RabbitMQ, or a database of a Redis; and always a database for what it counts and
 * stores. And what has to be done to them outside of the clock.
 */
import * as rabbitMq from "./rabbitMq.ts"
import * as redis from "./redis.ts"
import type { Broker, Peer, Urls } from "./work.ts"

/** Messages of the queue that all share. */
export interface Line {
  readonly url: string
  /** Messages that wait. */
  readonly waiting: () => Promise<number>
  /** Until no message waits, and none is with somebody who is not through with it. */
  readonly drained: () => Promise<void>
  readonly purge: () => Promise<void>
  /** What waits is kept, and again what waits, as often as wanted. BullMQ's jobs are more than a list. */
  readonly keep: () => Promise<void>
  readonly refill: () => Promise<void>
}

export interface Place extends Line {
  readonly urls: Urls
  /** Runs of `bench.count` since the last time. */
  readonly counted: () => Promise<number>
  /** How many results are stored. */
  readonly results: () => Promise<number>
  readonly forget: () => Promise<void>
}

export const place = async (broker: Broker, peer: Peer): Promise<Place> => {
  const database = await redis.database(peer)
  const line = broker === "redis" || peer === "bullmq" ? database : await rabbitMq.line()
  const { counted, forget, results } = database
  return { ...line, counted, forget, results, urls: { broker: line.url, redis: database.url } }
}
