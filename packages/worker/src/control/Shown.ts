/**
 * How remote control shows what a worker has: tasks (celery/worker/request.py `Request.info`), queues (kombu/entity.py
 * `Queue.as_dict`) and definitions of tasks, under Python's names.
 */
import type { Arguments, Exchange } from "@apium/hub/Exchange"
import type { Queue } from "@apium/hub/Queue"
import type * as ControlMessage from "@apium/protocol/celery/ControlMessage"
import * as PythonRepr from "@apium/protocol/celery/PythonRepr"
import * as Duration from "effect/Duration"
import type { AnyTask } from "../task/Task.ts"
import type { Request } from "../execution/Request.ts"
import type { Options } from "./Conf.ts"

export interface Node {
  readonly hostname: string
  readonly pid: number
}

/** `timeStart` in milliseconds, of one that runs. `safe`: arguments as text, for those that JSON may not show. */
export const request = (
  { message: { headers, args, kwargs }, delivery, acknowledged }: Request,
  node: Node,
  options: { readonly timeStart?: number | undefined; readonly safe?: boolean | undefined } = {}
): ControlMessage.RequestInfo => ({
  id: headers.id,
  name: headers.shadow ?? headers.task,
  args: options.safe === true ? (headers.argsrepr ?? PythonRepr.argsRepr(args)) : args,
  kwargs: options.safe === true ? (headers.kwargsrepr ?? PythonRepr.kwargsRepr(kwargs)) : kwargs,
  type: headers.task,
  hostname: node.hostname,
  time_start: options.timeStart === undefined ? null : options.timeStart / 1000,
  acknowledged: acknowledged === true,
  delivery_info: {
    exchange: delivery.route.exchange,
    routing_key: delivery.route.routingKey,
    priority: delivery.message.properties.priority ?? 0,
    redelivered: delivery.redelivered
  },
  worker_pid: options.timeStart === undefined ? null : node.pid
})

const orNull = (args: Arguments): Arguments | null => (Object.keys(args).length === 0 ? null : args)

const exchange = ({ name, type, durable, autoDelete, arguments: args }: Exchange) => ({
  name,
  type,
  arguments: orNull(args),
  durable,
  passive: false,
  auto_delete: autoDelete,
  delivery_mode: null,
  no_declare: false
})

/** The nameless exchange, where a queue without a binding gets its messages from. */
const nameless: Exchange = {
  name: "",
  type: "direct",
  durable: true,
  autoDelete: false,
  internal: false,
  arguments: {}
}

const millis = (value: unknown): number | null => (typeof value === "number" ? value / 1000 : null)

/** The first binding is kombu's `exchange` and `routing_key`, the others are its `bindings`. */
export const queue = ({ name, durable, exclusive, autoDelete, arguments: args, bindings, alias }: Queue) => {
  const [first, ...others] = bindings
  const {
    "x-expires": expires,
    "x-message-ttl": ttl,
    "x-max-length": maxLength = null,
    "x-max-length-bytes": maxLengthBytes = null,
    "x-max-priority": maxPriority = null,
    ...rest
  } = args
  return {
    name,
    exchange: exchange(first?.exchange ?? nameless),
    routing_key: first?.routingKey ?? name,
    queue_arguments: orNull(rest),
    binding_arguments: first === undefined ? null : orNull(first.arguments),
    consumer_arguments: null,
    durable,
    exclusive,
    auto_delete: autoDelete,
    no_ack: false,
    alias: alias ?? null,
    bindings: others.map((binding) => ({
      exchange: exchange(binding.exchange),
      routing_key: binding.routingKey,
      arguments: orNull(binding.arguments)
    })),
    no_declare: null,
    expires: millis(expires),
    message_ttl: millis(ttl),
    max_length: maxLength,
    max_length_bytes: maxLengthBytes,
    max_priority: maxPriority
  }
}

/** What remote control changed of a definition. */
export interface Changed {
  readonly rate_limit?: string | number | null
  readonly time_limit?: number | null
  readonly soft_time_limit?: number | null
}

/** What the worker says for tasks that do not say it themselves. */
export type Defaults = Pick<Options, "profile" | "timeLimit" | "softTimeLimit">

const seconds = (limit: Duration.Input | undefined): number | undefined =>
  limit === undefined ? undefined : Duration.toMillis(limit) / 1000

/** A definition's attributes by Celery's names. */
const attributes = ({ name, options }: AnyTask, defaults: Defaults): Readonly<Record<string, unknown>> => ({
  name,
  queue: options.queue,
  rate_limit: options.rateLimit,
  time_limit: seconds(options.timeLimit ?? defaults.timeLimit),
  soft_time_limit: seconds(options.softTimeLimit ?? defaults.softTimeLimit),
  expires: seconds(options.expires),
  priority: options.priority,
  serializer: "json",
  acks_late: options.acksLate ?? defaults.profile?.acksLate ?? true,
  reject_on_worker_lost: options.rejectOnWorkerLost,
  ignore_result: options.ignoreResult ?? false,
  track_started: options.trackStarted ?? false
})

const defaultItems = ["exchange", "routing_key", "rate_limit"]

/** `proj.add [rate_limit=10/m]`: the name, and those of these attributes that are set. */
export const task = (
  definition: AnyTask,
  changed: Changed | undefined,
  items: ReadonlyArray<string>,
  defaults: Defaults
): string => {
  const all: Readonly<Record<string, unknown>> = { ...attributes(definition, defaults), ...changed }
  const shown = (items.length === 0 ? defaultItems : items).flatMap((item) => {
    const value = Object.hasOwn(all, item) ? (all[item] ?? null) : null
    if (value === null) return []
    return [`${item}=${typeof value === "string" ? value : PythonRepr.repr(value)}`]
  })
  return shown.length === 0 ? definition.name : `${definition.name} [${shown.join(" ")}]`
}
