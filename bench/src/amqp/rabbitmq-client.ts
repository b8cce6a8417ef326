/** rabbitmq-client 5. */
import { Connection } from "rabbitmq-client"
import type { AsyncMessage } from "rabbitmq-client"
import { body, each, lanes, largeBody, many, nowhere, prefetch, queue, type Client } from "./work.ts"

const open = async (url: string) => {
  const connection = new Connection({ url, noDelay: true })
  return { connection, channel: await connection.acquire() }
}
const buffer = Buffer.from(body)

export const client: Client = {
  publish: async (url, headers) => {
    const { channel } = await open(url)
    const properties = headers === undefined ? {} : { headers: headers as Record<string, unknown> }
    return {
      turn: async (count, key = nowhere) => {
        for (let index = 0; index < count; index++) {
          await channel.basicPublish({ routingKey: key, ...properties }, buffer)
        }
        await channel.queueDeclare({ queue, passive: true })
      }
    }
  },
  confirm: async (url) => {
    const { channel } = await open(url)
    await channel.confirmSelect()
    return { turn: (count) => lanes(count, () => channel.basicPublish({ routingKey: queue }, buffer)) }
  },
  consume: async (url) => {
    const { channel } = await open(url)
    await channel.basicQos({ prefetchCount: prefetch })
    return {
      turn: async (count) => {
        let octets = 0
        let taken = 0
        const consumerTag = "bench"
        await new Promise<void>((resolve) => {
          void channel.basicConsume({ queue, consumerTag }, (message) => {
            octets += (message.body as Buffer).length
            channel.basicAck({ deliveryTag: message.deliveryTag })
            if (++taken === count) resolve()
          })
        })
        await channel.basicCancel({ consumerTag })
        await channel.queueDeclare({ queue, passive: true })
        if (octets !== count * body.length) throw new Error(`${octets} octets`)
      }
    }
  },
  rpc: async (url) => {
    const { channel } = await open(url)
    return { turn: (count) => each(count, () => channel.queueDeclare({ queue, passive: true })) }
  },
  connect: async (url) => ({
    turn: async (count) => {
      const opened: Array<Awaited<ReturnType<typeof open>>> = []
      const times = await each(count, async () => opened.push(await open(url)))
      for (const { channel, connection } of opened) {
        await channel.close()
        await connection.close()
      }
      return times
    }
  }),
  unconfirmed: async (url) => {
    const { channel } = await open(url)
    await channel.confirmSelect()
    let all: Promise<unknown> = Promise.resolve()
    return {
      turn: async (count) => {
        const sent: Array<Promise<void>> = []
        for (let index = 0; index < count; index++) {
          sent.push(channel.basicPublish({ routingKey: nowhere }, Buffer.from(largeBody().buffer)))
        }
        all = Promise.all(sent)
      },
      end: async () => void (await all)
    }
  },
  held: async (url) => {
    const { channel, connection } = await open(url)
    await channel.basicQos({ prefetchCount: many })
    const held: Array<AsyncMessage> = []
    return {
      turn: (count) =>
        new Promise((resolve) => {
          void channel.basicConsume({ queue }, (message) => {
            if (held.push(message) === count) resolve()
          })
        }),
      end: async () => connection.unsafeDestroy()
    }
  }
}
