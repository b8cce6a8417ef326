/**
 * A transport made of a store: every backend that is no broker (memory, Redis) gets exchanges, routing, prefetch,
 * consumers and settling from here (kombu/transport/virtual/base.py).
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
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

/** A store behind a link that can be lost. */
export interface VirtualLink {
  readonly store: VirtualStore
  /** Never succeeds; fails the moment the link is lost. Every verb of the store fails from then on, and none waits. */
  readonly closed: Effect.Effect<never, HubError>
}

class VirtualConnection {
  readonly broker: VirtualBroker.VirtualBroker
  readonly channels = new Set<VirtualChannel>()
  readonly closed = Deferred.makeUnsafe<never, HubError>()

  constructor(broker: VirtualBroker.VirtualBroker) {
    this.broker = broker
  }

  /** Channels before queues: what they hold of an exclusive queue goes with it. */
  close(error: HubError): Effect.Effect<void> {
    return Effect.uninterruptibleMask(() =>
      Deferred.doneUnsafe(this.closed, Effect.fail(error))
        ? Effect.andThen(
            Effect.forEach([...this.channels], (channel) => channel.close(error), { discard: true }),
            Effect.ignore(this.broker.release(this))
          )
        : Effect.void
    )
  }
}

/** One store for all links, of which none is lost unless `disconnect` cuts it. */
export const make = (name: string, store: VirtualStore, capabilities: Partial<Capabilities> = {}): VirtualTransport =>
  makeLinked(name, Effect.succeed({ store, closed: Effect.never }), capabilities)

/** Each link opens a store of its own, and knows what the others declared. */
export const makeLinked = (
  name: string,
  link: Effect.Effect<VirtualLink, HubError, Scope.Scope>,
  capabilities: Partial<Capabilities> = {}
): VirtualTransport => {
  const able: Capabilities = {
    exchangeTypes: new Set(["direct", "topic", "fanout", "headers"]),
    confirms: true,
    mandatory: true,
    exchangeBindings: true,
    prefetch: "channel",
    heartbeats: false,
    deliveryCount: "store",
    delay: "store",
    priority: "highest-first",
    eventExchange: "topic",
    ...capabilities
  }
  const declared = VirtualBroker.declared()
  const connections = new Set<VirtualConnection>()

  const channel = (connection: VirtualConnection) =>
    Effect.map(
      Effect.acquireRelease(
        Effect.suspend(() => {
          if (Deferred.isDoneUnsafe(connection.closed)) return Deferred.await(connection.closed)
          const opened = new VirtualChannel(connection.broker, connection)
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

  const connect = Effect.flatMap(link, ({ store, closed }) =>
    Effect.acquireRelease(
      Effect.sync(() => {
        const connection = new VirtualConnection(VirtualBroker.over(store, declared, able))
        connections.add(connection)
        return connection
      }),
      (connection) => {
        connections.delete(connection)
        return connection.close(lost("the connection was closed"))
      }
    ).pipe(Effect.tap((connection) => Effect.forkScoped(Effect.catch(closed, (error) => connection.close(error)))))
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
      capabilities: able,
      connect
    },
    disconnect: (text) =>
      Effect.suspend(() =>
        Effect.forEach([...connections], (connection) => connection.close(lost(text)), { discard: true })
      )
  }
}
