/**
 * Kombu for TypeScript. Each module is a namespace here, or its one service, and a subpath of its own (`@apium/hub/Queue`), which
 * keeps bundles small.
 *
 * @module
 */
export * as Channel from "./Channel.ts"
export * as Compression from "./Compression.ts"
export { Connection } from "./Connection.ts"
export * as Consumer from "./Consumer.ts"
export * as DeadLetter from "./DeadLetter.ts"
export * as Delivery from "./Delivery.ts"
export * as Exchange from "./Exchange.ts"
export * as Failover from "./Failover.ts"
export { Host } from "./Host.ts"
export { Hub } from "./Hub.ts"
export * as HubError from "./HubError.ts"
export * as Mailbox from "./Mailbox.ts"
export * as MemoryTransport from "./memory/MemoryTransport.ts"
export * as Message from "./Message.ts"
export * as Producer from "./Producer.ts"
export * as Queue from "./Queue.ts"
export * as Security from "./Security.ts"
export * as Serializer from "./Serializer.ts"
export * as SimpleQueue from "./SimpleQueue.ts"
export { Subscriptions } from "./Subscriptions.ts"
export * as Topology from "./Topology.ts"
export { Transport } from "./Transport.ts"
export * as VirtualStore from "./virtual/VirtualStore.ts"
export * as VirtualTransport from "./virtual/VirtualTransport.ts"
