/**
 * A transport made of a store: every backend that is no broker (memory, Redis) gets exchanges, routing, prefetch,
 * consumers and settling from here (kombu/transport/virtual/base.py).
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { ConnectionLost, HubError } from "../HubError.ts"
import type { Capabilities, Transport, TransportConnection } from "../Transport.ts"
import * as VirtualBroker from "./VirtualBroker.ts"
import { VirtualChannel } from "./VirtualChannel.ts"
import type { VirtualStore } from "./VirtualStore.ts"

export interface VirtualTransport {
  readonly transport: Transport["Service"]
  /** Cuts every link, as `rabbitmqctl close_all_connections` does: what they hold goes back to its queues. */
  readonly disconnect: (text: string) => Effect.Effect<void>
}

const lost = (text: string) => new HubError({ reason: new ConnectionLost({ cause: "closed", text }) })

class VirtualConnection {
  readonly channels = new Set<VirtualChannel>()
  readonly closed = Deferred.makeUnsafe<never, HubError>()

  /** Channels before queues: what they hold of an exclusive queue goes with it. */
  close(broker: VirtualBroker.VirtualBroker, error: HubError): Effect.Effect<void> {
    return Effect.uninterruptibleMask(() =>
      Deferred.doneUnsafe(this.closed, Effect.fail(error))
        ? Effect.andThen(
            Effect.forEach([...this.channels], (channel) => channel.close(error), { discard: true }),
            Effect.ignore(broker.release(this))
          )
        : Effect.void
    )
  }
}

export const make = (name: string, store: VirtualStore, capabilities: Partial<Capabilities> = {}): VirtualTransport => {
  const broker = VirtualBroker.make(store)
  const connections = new Set<VirtualConnection>()

  const channel = (connection: VirtualConnection) =>
    Effect.map(
      Effect.acquireRelease(
        Effect.suspend(() => {
          if (Deferred.isDoneUnsafe(connection.closed)) return Deferred.await(connection.closed)
          const opened = new VirtualChannel(broker, connection)
          connection.channels.add(opened)
          return Effect.succeed(opened)
        }),
        (opened) => {
          connection.channels.delete(opened)
          return opened.close(lost("the channel was closed"))
        }
      ),
      (opened) => opened.verbs
    )

  const connect = Effect.acquireRelease(
    Effect.sync(() => {
      const connection = new VirtualConnection()
      connections.add(connection)
      return connection
    }),
    (connection) => {
      connections.delete(connection)
      return connection.close(broker, lost("the connection was closed"))
    }
  ).pipe(
    Effect.map((connection): TransportConnection => ({
      channel: channel(connection),
      closed: Deferred.await(connection.closed),
      blocked: Stream.never
    }))
  )

  return {
    transport: {
      name,
      capabilities: {
        exchangeTypes: new Set(["direct", "topic", "fanout", "headers"]),
        confirms: true,
        mandatory: true,
        exchangeBindings: true,
        prefetch: "channel",
        heartbeats: false,
        deliveryCount: "store",
        delay: "store",
        priority: "highest-first",
        ...capabilities
      },
      connect
    },
    disconnect: (text) =>
      Effect.suspend(() =>
        Effect.forEach([...connections], (connection) => connection.close(broker, lost(text)), { discard: true })
      )
  }
}
