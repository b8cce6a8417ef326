/** AMQP 0-9-1 for Apium. The doors are `@apium/transport-amqp/node` and its siblings: they choose the socket. */
export * as AmqpConnection from "./AmqpConnection.ts"
export * as AmqpTransport from "./AmqpTransport.ts"
export * as ChannelIds from "./ChannelIds.ts"
export * as DelayedDelivery from "./DelayedDelivery.ts"
