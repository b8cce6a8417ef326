/** Connections without the hub's recovery: what one link does. */
import * as AmqpUri from "@apium/protocol/amqp/AmqpUri"
import * as AmqpConnection from "@apium/transport-amqp/AmqpConnection"
import * as Amqp from "@apium/transport-amqp/node"
import { Effect } from "effect"
import * as Socket from "effect/socket/Socket"

export const connect = (url: string, options: Partial<AmqpConnection.Options> = {}) =>
  Effect.suspend(() => {
    const uri = AmqpUri.parseAllUnsafe(url)[0]
    return AmqpConnection.make({ uri, socket: Amqp.dial(uri), ...options })
  })

/** A socket as `Amqp.dial` makes it; `wrote` hears of all octets that were given to it. */
export const counted = (url: string, wrote: (octets: number) => void) =>
  Effect.map(Amqp.dial(AmqpUri.parseAllUnsafe(url)[0]), ({ reader, writer }) =>
    Socket.make({
      reader,
      writer: Effect.map(writer, ({ write, writeAll }) => ({
        write,
        writeAll: (chunks) => {
          for (const chunk of chunks) wrote(chunk.length)
          return writeAll(chunks)
        }
      }))
    })
  )
