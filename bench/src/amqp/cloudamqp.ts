/** @cloudamqp/amqp-client 4. It has no option for TCP_NODELAY. */
import { AMQPClient, type AMQPMessage } from "@cloudamqp/amqp-client"
import { body, each, lanes, largeBody, many, nowhere, prefetch, queue, type Client } from "./work.ts"

const open = async (url: string) => {
  const connection = new AMQPClient(url)
  await connection.connect()
  return { connection, channel: await connection.channel() }
}
const passive = { passive: true }

export const client: Client = {
  publish: async (url, headers) => {
    const { channel } = await open(url)
    const properties = headers === undefined ? {} : { headers: headers as Record<string, never> }
    return {
      turn: async (count, key = nowhere) => {
        for (let index = 0; index < count; index++) await channel.basicPublish("", key, body, properties)
        await channel.queueDeclare(queue, passive)
      }
    }
  },
  confirm: async (url) => {
    const { channel } = await open(url)
    await channel.confirmSelect()
    return { turn: (count) => lanes(count, () => channel.basicPublish("", queue, body)) }
  },
  consume: async (url) => {
    const { channel } = await open(url)
    await channel.prefetch(prefetch)
    return {
      turn: async (count) => {
        let octets = 0
        let taken = 0
        const tag = "bench"
        await new Promise<void>((resolve) => {
          void channel.basicConsume(queue, { tag, noAck: false }, (message) => {
            octets += message.bodySize
            void message.ack()
            if (++taken === count) resolve()
          })
        })
        await channel.basicCancel(tag)
        await channel.queueDeclare(queue, passive)
        if (octets !== count * body.length) throw new Error(`${octets} octets`)
      }
    }
  },
  rpc: async (url) => {
    const { channel } = await open(url)
    return { turn: (count) => each(count, () => channel.queueDeclare(queue, passive)) }
  },
  connect: async (url) => ({
    turn: async (count) => {
      const opened: Array<Awaited<ReturnType<typeof open>>> = []
      const times = await each(count, async () => opened.push(await open(url)))
      for (const { connection } of opened) await connection.close()
      return times
    }
  }),
  unconfirmed: async (url) => {
    const { channel } = await open(url)
    await channel.confirmSelect()
    let all: Promise<unknown> = Promise.resolve()
    return {
      turn: async (count) => {
        const sent: Array<Promise<number>> = []
        for (let index = 0; index < count; index++) sent.push(channel.basicPublish("", nowhere, largeBody()))
        all = Promise.all(sent)
      },
      end: async () => void (await all)
    }
  },
  held: async (url) => {
    const { channel, connection } = await open(url)
    await channel.prefetch(many)
    const held: Array<AMQPMessage> = []
    return {
      turn: (count) =>
        new Promise((resolve) => {
          void channel.basicConsume(queue, { noAck: false }, (message) => {
            if (held.push(message) === count) resolve()
          })
        }),
      end: async () => void connection.close().catch(() => {})
    }
  }
}
