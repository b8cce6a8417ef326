/**
 * Who listens to what on one connection. Each name is subscribed to once, however many listen, and as long as one does.
 *
 * node-redis shares names too, but when two listeners come before the first reply and one of them leaves, Redis is told to forget what
 * the other believes in. Here nobody leaves before the reply.
 */
import type { Heard } from "../RedisStore.ts"

interface Channel {
  readonly heard: Set<Heard>
  readonly subscribed: Promise<unknown>
}

export interface Commands {
  readonly open: (names: ReadonlyArray<string>) => Promise<unknown>
  readonly close: (names: ReadonlyArray<string>) => Promise<unknown>
}

export class Channels {
  readonly #commands: Commands
  readonly #channels = new Map<string, Channel>()

  constructor(commands: Commands) {
    this.#commands = commands
  }

  /** Of this name a message came on this channel. */
  hear(name: string, text: string, channel: string): void {
    for (const heard of this.#channels.get(name)?.heard ?? []) heard(text, channel)
  }

  /** By one command at most. Whoever fails has to leave, too. */
  async join(names: ReadonlyArray<string>, heard: Heard): Promise<void> {
    const fresh = names.filter((name) => !this.#channels.has(name))
    if (fresh.length > 0) {
      const subscribed = this.#commands.open(fresh)
      for (const name of fresh) this.#channels.set(name, { heard: new Set(), subscribed })
      subscribed.catch(() => {
        for (const name of fresh) {
          if (this.#channels.get(name)?.subscribed === subscribed) this.#channels.delete(name)
        }
      })
    }
    const replies = new Set<Promise<unknown>>()
    for (const name of names) {
      const channel = this.#channels.get(name)!
      channel.heard.add(heard)
      replies.add(channel.subscribed)
    }
    await Promise.all(replies)
  }

  /** By one command at most, for which nobody waits: a client that is gone never answers. */
  leave(names: ReadonlyArray<string>, heard: Heard): void {
    const left = new Map<string, Channel>()
    for (const name of names) {
      const channel = this.#channels.get(name)
      if (channel?.heard.delete(heard) === true && channel.heard.size === 0) left.set(name, channel)
    }
    Promise.all([...left.values()].map(({ subscribed }) => subscribed))
      .then(() => {
        const empty = [...left]
          .filter(([name, channel]) => channel.heard.size === 0 && this.#channels.get(name) === channel)
          .map(([name]) => name)
        for (const name of empty) this.#channels.delete(name)
        return empty.length === 0 ? undefined : this.#commands.close(empty)
      })
      .catch(() => {})
  }
}
