/**
 * Celery's `task_queues`, by Kombu's names (kombu/entity.py `Queue.from_dict`, celery/app/amqp.py `Queues`), and the queues that it and the
 * defaults of queues come to.
 */
import * as Exchange from "@apium/hub/Exchange"
import * as Queue from "@apium/hub/Queue"
import * as Result from "effect/Result"
import * as Kind from "./Kind.ts"

interface Described {
  readonly exchange?: string
  readonly exchangeType?: string
  readonly routingKey?: string
  readonly bindingKey?: string
  readonly durable?: boolean
  readonly queueDurable?: boolean
  readonly exchangeDurable?: boolean
  readonly autoDelete?: boolean
  readonly queueAutoDelete?: boolean
  readonly exchangeAutoDelete?: boolean
  readonly exclusive?: boolean
  readonly queueArguments?: Exchange.Arguments
  readonly exchangeArguments?: Exchange.Arguments
  readonly bindingArguments?: Exchange.Arguments
}

/** A queue of ours, or what Kombu is told of one. */
export type Named = readonly [name: string, queue: Queue.Queue | Described]

const described: Kind.Kind<Described> = Kind.fields("a queue", {
  exchange: ["exchange", Kind.name],
  exchange_type: ["exchangeType", Kind.name],
  routing_key: ["routingKey", Kind.text],
  binding_key: ["bindingKey", Kind.text],
  durable: ["durable", Kind.flag],
  queue_durable: ["queueDurable", Kind.flag],
  exchange_durable: ["exchangeDurable", Kind.flag],
  auto_delete: ["autoDelete", Kind.flag],
  queue_auto_delete: ["queueAutoDelete", Kind.flag],
  exchange_auto_delete: ["exchangeAutoDelete", Kind.flag],
  exclusive: ["exclusive", Kind.flag],
  queue_arguments: ["queueArguments", Kind.object],
  exchange_arguments: ["exchangeArguments", Kind.object],
  binding_arguments: ["bindingArguments", Kind.object]
})

export const isQueue = (value: unknown): value is Queue.Queue => {
  const queue = Kind.object.read(value)
  return (
    Kind.name.read(queue?.["name"]) !== undefined &&
    Array.isArray(queue?.["bindings"]) &&
    Kind.object.read(queue["arguments"]) !== undefined
  )
}

/** Of `{ mail: { exchange: "mail", routing_key: "mail.#" } }`, or of a list of `Queue.make("mail")`. */
export const queues: Kind.Kind<ReadonlyArray<Named>> = {
  takes: 'an object of queues by their names, as {"mail": {"routing_key": "mail"}}, or a list of Queue values',
  read: (value) => {
    if (Array.isArray(value)) return value.every(isQueue) ? value.map((queue) => [queue.name, queue]) : undefined
    const given = Kind.object.read(value)
    if (given === undefined) return undefined
    return Object.entries(given).map(([name, queue]): Named => {
      if (name === "") throw new Kind.Wrong("a queue has no name")
      const read = isQueue(queue) ? queue : described.read(queue)
      if (read === undefined) throw new Kind.Wrong(`${Kind.shown(name)} takes ${described.takes}`)
      return [name, read]
    })
  }
}

export interface Defaults {
  readonly queue: string
  readonly exchange: string
  readonly exchangeType: string
  readonly routingKey: string
  readonly type: "classic" | "quorum"
  readonly maxPriority: number | undefined
}

/** Without any, it is the default queue; the type is for that one alone, and the priority for who has none. */
export const make = (named: ReadonlyArray<Named>, defaults: Defaults): ReadonlyArray<Queue.Queue> => {
  const exchange = Exchange.make(defaults.exchange, defaults.exchangeType)
  const all =
    named.length > 0
      ? named.map(([name, queue]) => ("bindings" in queue ? queue : queueOf(name, queue, exchange)))
      : [
          Queue.bindTo(
            exchange,
            defaults.routingKey
          )(Queue.make(defaults.queue, defaults.type === "quorum" ? { arguments: { "x-queue-type": "quorum" } } : {}))
        ]
  const { maxPriority } = defaults
  return maxPriority === undefined
    ? all
    : all.map((queue) => ("x-max-priority" in queue.arguments ? queue : Queue.priority(maxPriority)(queue)))
}

/**
 * One that was described by Kombu's names, or what is wrong with it; exchange and routing key are called as the queue unless it says
 * otherwise (celery/worker/consumer/consumer.py `add_task_queue`).
 */
export const queueNamed = (name: string, options: Readonly<Record<string, unknown>>): Queue.Queue | string =>
  Result.match(Kind.read(described, options), {
    onFailure: (wrong) => wrong,
    onSuccess: (read) => queueOf(name, { exchange: name, ...read }, Exchange.direct(name))
  })

const queueOf = (name: string, queue: Described, byDefault: Exchange.Exchange): Queue.Queue =>
  Queue.bindTo(
    queue.exchange === undefined
      ? byDefault
      : Exchange.make(queue.exchange, queue.exchangeType ?? "direct", {
          durable: queue.exchangeDurable ?? queue.durable ?? true,
          autoDelete: queue.exchangeAutoDelete ?? queue.autoDelete ?? false,
          arguments: queue.exchangeArguments ?? {}
        }),
    queue.bindingKey ?? queue.routingKey ?? name,
    queue.bindingArguments
  )(
    Queue.make(name, {
      durable: queue.queueDurable ?? queue.durable ?? true,
      autoDelete: queue.exclusive === true || (queue.queueAutoDelete ?? queue.autoDelete ?? false),
      exclusive: queue.exclusive ?? false,
      arguments: queue.queueArguments ?? {}
    })
  )
