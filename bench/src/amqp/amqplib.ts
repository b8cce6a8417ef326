/** amqplib 2, whose package has no types. */
import { createRequire } from "node:module"
import { body, each, largeBody, many, nowhere, prefetch, queue, window, type Client } from "./work.ts"

interface Message {
  readonly content: Buffer
}
interface Channel {
  readonly publish: (
    exchange: string,
    key: string,
    body: Buffer,
    options?: object,
    confirmed?: (error: unknown) => void
  ) => boolean
  readonly once: (event: "drain", listener: () => void) => void
  readonly checkQueue: (queue: string) => Promise<unknown>
  readonly prefetch: (count: number) => Promise<unknown>
  readonly consume: (queue: string, onMessage: (message: Message) => void) => Promise<{ readonly consumerTag: string }>
  readonly cancel: (tag: string) => Promise<unknown>
  readonly ack: (message: Message) => void
}
interface Connection {
  readonly createChannel: () => Promise<Channel>
  readonly createConfirmChannel: () => Promise<Channel>
  readonly close: () => Promise<void>
}

const amqplib = createRequire(import.meta.url)("amqplib") as {
  readonly connect: (url: string, options: object) => Promise<Connection>
}
const connect = (url: string): Promise<Connection> => amqplib.connect(url, { noDelay: true })
const buffer = Buffer.from(body)

export const client: Client = {
  publish: async (url, headers) => {
    const channel = await (await connect(url)).createChannel()
    const options = headers === undefined ? {} : { headers }
    return {
      turn: async (count, key = nowhere) => {
        for (let index = 0; index < count; index++) {
          if (!channel.publish("", key, buffer, options)) {
            await new Promise<void>((resolve) => channel.once("drain", resolve))
          }
        }
        await channel.checkQueue(queue)
      }
    }
  },
  confirm: async (url) => {
    const channel = await (await connect(url)).createConfirmChannel()
    return {
      turn: (count) =>
        new Promise((resolve, reject) => {
          let sent = 0
          let confirmed = 0
          const next = (error?: unknown) => {
            if (error) return reject(new Error("Not confirmed", { cause: error }))
            if (++confirmed === count) return resolve()
            if (sent < count) send()
          }
          const send = () => {
            sent++
            channel.publish("", queue, buffer, {}, next)
          }
          for (let index = 0; index < window; index++) send()
        })
    }
  },
  consume: async (url) => {
    const channel = await (await connect(url)).createChannel()
    await channel.prefetch(prefetch)
    return {
      turn: async (count) => {
        let octets = 0
        let taken = 0
        let tag = ""
        await new Promise<void>((resolve) => {
          void channel
            .consume(queue, (message) => {
              octets += message.content.length
              channel.ack(message)
              if (++taken === count) resolve()
            })
            .then(({ consumerTag }) => (tag = consumerTag))
        })
        await channel.cancel(tag)
        await channel.checkQueue(queue)
        if (octets !== count * body.length) throw new Error(`${octets} octets`)
      }
    }
  },
  rpc: async (url) => {
    const channel = await (await connect(url)).createChannel()
    return { turn: (count) => each(count, () => channel.checkQueue(queue)) }
  },
  connect: async (url) => ({
    turn: async (count) => {
      const open: Array<Connection> = []
      const times = await each(count, async () => {
        const connection = await connect(url)
        await connection.createChannel()
        open.push(connection)
      })
      for (const connection of open) await connection.close()
      return times
    }
  }),
  unconfirmed: async (url) => {
    const channel = await (await connect(url)).createConfirmChannel()
    let confirmed = 0
    let all = () => {}
    const done = new Promise<void>((resolve) => (all = resolve))
    return {
      turn: async (count) => {
        for (let index = 0; index < count; index++) {
          channel.publish("", nowhere, Buffer.from(largeBody().buffer), {}, () => {
            if (++confirmed === count) all()
          })
        }
      },
      end: () => done
    }
  },
  held: async (url) => {
    const connection = await connect(url)
    const channel = await connection.createChannel()
    await channel.prefetch(many)
    const held: Array<Message> = []
    return {
      turn: (count) =>
        new Promise((resolve) => {
          void channel.consume(queue, (message) => {
            if (held.push(message) === count) resolve()
          })
        }),
      end: () => connection.close()
    }
  }
}
