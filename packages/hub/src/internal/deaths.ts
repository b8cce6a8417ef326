/** What RabbitMQ writes into the headers of a message that died, and reads there. */
import type { Message } from "../Message.ts"
import type { StoredMessage } from "../virtual/VirtualStore.ts"

interface Death {
  readonly queue: string
  readonly reason: string
  readonly count: number
}

const deathsOf = ({ headers }: Message): ReadonlyArray<Death> =>
  Array.isArray(headers["x-death"]) ? headers["x-death"].filter(isDeath) : []

/** Back where it died before, and nobody rejected it on the way: RabbitMQ drops it, or it would go round for ever. */
export const isCycle = (message: Message, queue: string): boolean => {
  const deaths = deathsOf(message)
  const last = deaths.findIndex((death) => death.queue === queue)
  return last >= 0 && deaths.slice(0, last + 1).every(({ reason }) => reason !== "rejected")
}

const isDeath = (value: unknown): value is Death => typeof value === "object" && value !== null && "queue" in value

/** The message as RabbitMQ dead-letters it: the newest death first, one entry per queue and reason, no expiration left. */
export const withDeath = (stored: StoredMessage, reason: string, now: number): Message => {
  const { message, queue } = stored
  const earlier = deathsOf(message)
  const same = earlier.find((death) => death.queue === queue && death.reason === reason)
  const death = {
    count: (same?.count ?? 0) + 1,
    reason,
    queue,
    time: new Date(now),
    exchange: stored.exchange,
    "routing-keys": [stored.routingKey]
  }
  return {
    body: message.body,
    properties: { ...message.properties, expiration: undefined },
    headers: {
      "x-first-death-exchange": stored.exchange,
      "x-first-death-queue": queue,
      "x-first-death-reason": reason,
      ...message.headers,
      "x-death": [death, ...earlier.filter((other) => other !== same)]
    }
  }
}
