/**
 * From what is said of a task to the exchange it is published to (celery/app/routes.py `Router`, celery/app/amqp.py `Queues` and
 * `send_task_message`).
 *
 * ```text
 * send's options ─▶ task's definition ─▶ route ─▶ default queue      the first that says it, for each of queue, exchange, routing key
 * ```
 *
 * A queue of a direct exchange is published to by its name, over the nameless exchange, while its own is declared and bound beside it. One
 * of another exchange gets its tasks there, with the routing key that was said or else its own.
 *
 * Unlike in Celery, an exchange that a send names is where the task goes: Celery without a routing key sends it to the default queue, or
 * nowhere. The key is then that of the queue described at this exchange.
 */
import * as Exchange from "@apium/hub/Exchange"
import { HubError, QueueNotFound } from "@apium/hub/HubError"
import * as Queue from "@apium/hub/Queue"
import type { Topology } from "@apium/hub/Topology"
import * as Equal from "effect/Equal"
import * as Routes from "./Routes.ts"

export interface Destination {
  /** The queue that is meant, if one is. */
  readonly queue?: string | undefined
  readonly exchange: string
  readonly routingKey: string
  /** Declared before, once per link. */
  readonly declare?: Topology | undefined
}

export interface Options {
  /** Queues that are not Celery's plain ones. Default: the default queue. */
  readonly queues?: ReadonlyArray<Queue.Queue> | undefined
  /** Celery's `task_default_queue`; default `celery`. */
  readonly defaultQueue?: string | undefined
  /** Celery's `task_routes`: where tasks go by their names. */
  readonly routes?: Routes.Routes | undefined
  /**
   * What becomes of a queue that nobody described (Celery's `task_create_missing_queues`): made by its name as Celery's plain ones
   * (`true`, the default), as this says, or an error, `QueueNotFound` (`false`).
   */
  readonly createMissingQueues?: boolean | ((name: string) => Queue.Queue) | undefined
}

export interface Router {
  /** What is wrong with the routes, before any of them is asked. */
  readonly broken: HubError | undefined
  /** Asks the routes; throws `HubError`. */
  readonly route: Routes.Lookup
  /** Of a task that says this, whose definition names this queue; throws `HubError`, and `RangeError` for a queue without a name. */
  readonly destination: (
    own: Pick<Routes.Options, "queue" | "exchange" | "routingKey">,
    defined: string | undefined,
    route: Routes.Route | undefined
  ) => Destination
  /** A queue that a worker was told of while it works (`add_consumer`). */
  readonly describe: (queue: Queue.Queue) => void
}

/** A queue as Celery makes it when nobody defined it: exchange, queue and routing key all of one name. */
export const queueNamed = (name: string): Queue.Queue => Queue.bindTo(Exchange.direct(name), name)(Queue.make(name))

/**
 * With the default routing key where a broadcast has none, as Celery's app has it: on Redis it is a part of the channel. Who listens does so
 * without a key as well, which is what Python publishes with by a route that names queue and exchange.
 */
export const keyed = (queue: Queue.Queue, routingKey: string): Queue.Queue => {
  const [first] = queue.bindings
  if (queue.alias === undefined || queue.bindings.length > 1 || first?.exchange.type !== "fanout") return queue
  const own = first.routingKey === "" ? { ...first, routingKey } : first
  return { ...queue, bindings: [own, { ...first, routingKey: "" }] }
}

interface Known {
  readonly direct: boolean
  readonly to: Destination
}

/** Names may come from users: past so many they are looked up anew, and of the queues that were added the newest are known. */
const maxRemembered = 10_000

export const make = (options: Options = {}): Router => {
  const { createMissingQueues = true, defaultQueue = "celery", routes } = options
  const described = (options.queues ?? []).map((queue) => keyed(queue, defaultQueue))
  if (described.length === 0) described.push(queueNamed(defaultQueue))
  const table = new Map<string, Known>()
  let known = table
  /** The names that a worker was told of while it works, the newest last: what it sends again after `cancel_consumer` goes there, too. */
  const added = new Set<string>()
  /** By their names, for each send may make its own: declared once, as long as it is the same one. */
  const values = new Map<string, readonly [queue: Queue.Queue, known: Known]>()
  let lookup: Routes.Lookup | undefined
  let broken: HubError | undefined
  try {
    if (routes !== undefined) lookup = Routes.compileUnsafe(routes)
  } catch (error) {
    broken = error as HubError
  }

  const knownOf = (queue: Queue.Queue): Known => {
    const [binding] = queue.bindings
    const direct = binding === undefined || binding.exchange.type === "direct"
    const declare =
      queue.alias === undefined
        ? { queues: [queue] }
        : { exchanges: [...new Set(queue.bindings.map(({ exchange }) => exchange))] }
    return {
      direct,
      to: direct
        ? { queue: queue.name, exchange: "", routingKey: queue.name, declare }
        : {
            queue: queue.name,
            exchange: binding.exchange.name,
            routingKey: binding.routingKey === "" ? defaultQueue : binding.routingKey,
            declare
          }
    }
  }

  for (const queue of described) table.set(queue.name, knownOf(queue))
  for (const { alias, name } of described) if (alias !== undefined) table.set(alias, table.get(name)!)
  known = new Map(table)

  const missing = (name: string): Queue.Queue => {
    if (createMissingQueues === false) {
      throw new HubError({ reason: new QueueNotFound({ queue: name, known: [...table.keys()] }) })
    }
    return createMissingQueues === true ? queueNamed(name) : createMissingQueues(name)
  }

  const valueOf = (queue: Queue.Queue): Known => {
    const last = values.get(queue.name)
    if (last !== undefined && Equal.equals(last[0], queue)) return last[1]
    const made = knownOf(keyed(queue, defaultQueue))
    if (values.size > maxRemembered) values.clear()
    values.set(queue.name, [queue, made])
    return made
  }

  const remember = (name: string, made: Known): void => {
    if (known.size >= table.size + maxRemembered) known = new Map(table)
    known.set(name, made)
  }

  const find = (queue: string | Queue.Queue): Known => {
    const found = typeof queue === "string" ? known.get(queue) : undefined
    if (found !== undefined) return found
    if ((typeof queue === "string" ? queue : queue.name) === "") {
      throw new RangeError("the queue has no name: leave it out, and the task goes where it goes by default")
    }
    if (typeof queue !== "string") return valueOf(queue)
    const made = knownOf(missing(queue))
    remember(queue, made)
    return made
  }

  /** Of the first queue described at this exchange. */
  const bindingAt = (exchange: string): Queue.Binding | undefined =>
    described.find(({ bindings }) => bindings[0]?.exchange.name === exchange)?.bindings[0]

  const destination: Router["destination"] = (own, defined, route) => {
    const routingKey = own.routingKey ?? route?.routingKey
    const exchange = own.exchange ?? route?.exchange
    const queue = own.queue ?? (own.exchange === undefined ? (defined ?? route?.queue) : undefined)
    if (exchange === undefined || (exchange === "" && (routingKey === undefined || queue !== undefined))) {
      const { direct, to } = find(queue ?? defaultQueue)
      return direct || routingKey === undefined ? to : { ...to, routingKey }
    }
    if (queue !== undefined) {
      const { direct, to } = find(queue)
      if (direct && routingKey === undefined) return to
      return { ...to, exchange, routingKey: routingKey ?? bindingAt(exchange)?.routingKey ?? "" }
    }
    if (routingKey !== undefined) return { exchange, routingKey }
    const binding = bindingAt(exchange)
    return {
      exchange,
      routingKey: binding?.routingKey ?? "",
      declare: { exchanges: binding ? [binding.exchange] : [] }
    }
  }

  return {
    broken,
    route: (name, call, send, task) => {
      if (broken !== undefined) throw broken
      return lookup?.(name, call, send, task)
    },
    destination,
    describe: (queue) => {
      const { name } = queue
      if (added.delete(name) || !table.has(name)) added.add(name)
      if (added.size > maxRemembered) {
        const [oldest] = added
        added.delete(oldest!)
        table.delete(oldest!)
        known.delete(oldest!)
      }
      const made = knownOf(keyed(queue, defaultQueue))
      table.set(name, made)
      remember(name, made)
    }
  }
}

/** The queues a worker consumes: with its own, where it has one. */
export const consumed = (
  queues: ReadonlyArray<Queue.Queue>,
  {
    defaultQueue = "celery",
    direct = false,
    nodename
  }: { readonly defaultQueue?: string | undefined; readonly direct?: boolean | undefined; readonly nodename: string }
): ReadonlyArray<Queue.Queue> => {
  const all = queues.map((queue) => keyed(queue, defaultQueue))
  return direct ? [...all, Queue.workerDirect(nodename)] : all
}
