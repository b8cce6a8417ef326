/** Exchanges, queues and bindings as the arguments of the methods that declare and tie them. */
import type { Exchange } from "@apium/hub/Exchange"
import type { Binding, Queue } from "@apium/hub/Queue"

export const exchangeOf = ({ name, type, durable, autoDelete, internal, arguments: args }: Exchange) => ({
  exchange: name,
  type,
  durable,
  autoDelete,
  internal,
  arguments: args
})

export const queueOf = ({ name, durable, exclusive, autoDelete, arguments: args }: Queue) => ({
  queue: name,
  durable,
  exclusive,
  autoDelete,
  arguments: args
})

export const fromExchange = ({ exchange, routingKey, arguments: args }: Binding) => ({
  source: exchange.name,
  routingKey,
  arguments: args
})

export const toQueue = ({ exchange, routingKey, arguments: args }: Binding) => ({
  exchange: exchange.name,
  routingKey,
  arguments: args
})
