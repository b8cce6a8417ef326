/**
 * An exchange as a value (kombu/entity.py `Exchange`, without the binding to a channel): nothing happens until it is
 * declared, and it is declared where it is used, again on each new link.
 */

/** Arguments of a declaration, a binding or a message: what an AMQP field table can hold. */
export type Arguments = Readonly<Record<string, unknown>>

export type ExchangeType = "direct" | "topic" | "fanout" | "headers" | (string & {})

export interface Exchange {
  readonly name: string
  readonly type: ExchangeType
  readonly durable: boolean
  readonly autoDelete: boolean
  readonly internal: boolean
  readonly arguments: Arguments
}

export type Options = Partial<Omit<Exchange, "name" | "type">>

/** Durable unless the options say otherwise, as in kombu. */
export const make = (name: string, type: ExchangeType, options: Options = {}): Exchange => ({
  name,
  type,
  durable: options.durable ?? true,
  autoDelete: options.autoDelete ?? false,
  internal: options.internal ?? false,
  arguments: options.arguments ?? {}
})

/** To the queues bound with exactly the message's routing key. */
export const direct = (name: string, options?: Options): Exchange => make(name, "direct", options)

/** To the queues whose pattern matches: `*` is one word, `#` any number of words, words are parted by dots. */
export const topic = (name: string, options?: Options): Exchange => make(name, "topic", options)

/** To every bound queue. */
export const fanout = (name: string, options?: Options): Exchange => make(name, "fanout", options)

/** By the message's headers against the binding's arguments; `x-match` is `all` (default) or `any`. */
export const headers = (name: string, options?: Options): Exchange => make(name, "headers", options)

/** The nameless exchange: it routes to the queue whose name is the routing key, and can be neither declared nor bound. */
export const defaultExchange: Exchange = direct("")
