/**
 * Celery's configuration: its lower-case keys (celery/app/defaults.py), or their camelCase twins, as one value that gives the options of
 * clients, workers, result backends and transports.
 *
 * ```ts
 * const configuration = yield* Effect.fromResult(
 *   Configuration.decode({ broker_url: "redis://localhost:6379/0", task_default_queue: "mail", worker_concurrency: 10 })
 * )
 * const WorkerLive = Worker.layer(Configuration.worker(configuration))
 * ```
 *
 * Nothing is ignored: a key that nobody knows, one that Apium does not have (unless it says what happens anyway), an old name and a value of
 * another type are all in one {@link ConfigurationError}. Times are seconds, as Celery's, or say their unit: `"10 minutes"`. What is not said
 * is as Apium has it: `Profile.durable`, and not Celery's early acknowledgement.
 */
import type * as Connection from "@apium/hub/Connection"
import * as Exchange from "@apium/hub/Exchange"
import * as Queue from "@apium/hub/Queue"
import * as Duration from "effect/Duration"
import * as Redacted from "effect/Redacted"
import type * as Beat from "./beat/Beat.ts"
import type * as MemoryBackend from "./client/backends/MemoryBackend.ts"
import type * as RedisBackend from "./client/backends/RedisBackend.ts"
import type * as RpcBackend from "./client/backends/RpcBackend.ts"
import type * as Client from "./client/Client.ts"
import * as Router from "./client/Router.ts"
import type { Configuration } from "./configuration/Decode.ts"
import * as QueueSettings from "./configuration/QueueSettings.ts"
import * as Conf from "./control/Conf.ts"
import type * as TransportOptions from "./configuration/TransportOptions.ts"
import * as Profile from "./Profile.ts"
import type * as Worker from "./Worker.ts"

export { type ContentOptions, content, security } from "./configuration/MessageSettings.ts"
export { type Configuration, ConfigurationError, decode, type Input, type Problem } from "./configuration/Decode.ts"

/** What was said: an option that is `undefined` would be one that is there. */
const said = <A extends object>(options: A): A =>
  Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as A

const queuesOf = (configuration: Configuration): ReadonlyArray<Queue.Queue> => {
  const queue = configuration.taskDefaultQueue ?? "celery"
  const routingKey = configuration.taskDefaultRoutingKey ?? queue
  const queues = QueueSettings.make(configuration.taskQueues ?? [], {
    queue,
    exchange: configuration.taskDefaultExchange ?? queue,
    exchangeType: configuration.taskDefaultExchangeType ?? "direct",
    routingKey,
    type: configuration.taskDefaultQueueType ?? "classic",
    maxPriority: configuration.taskQueueMaxPriority
  })
  return queues.map((queue) => Router.keyed(queue, routingKey))
}

/** What is made of a queue that nobody described; nothing where it is a plain one. */
const missingOf = ({
  taskCreateMissingQueueExchangeType: exchangeType = "direct",
  taskCreateMissingQueueType: type = "classic",
  taskCreateMissingQueues = true
}: Configuration): Router.Options["createMissingQueues"] => {
  if (!taskCreateMissingQueues) return false
  if (type === "classic" && exchangeType === "direct") return undefined
  return (name) => {
    const queue = Queue.bindTo(Exchange.make(name, exchangeType), name)(Queue.make(name))
    return type === "quorum" ? Queue.quorum(queue) : queue
  }
}

/** Of all who send. */
const sendingOf = (configuration: Configuration) => ({
  defaultQueue: configuration.taskDefaultQueue,
  routes: configuration.taskRoutes,
  createMissingQueues: missingOf(configuration),
  publishRetry: configuration.taskPublishRetry === false ? false : configuration.taskPublishRetryPolicy
})

/** `durable`, but for what was said; who does not wait for a confirm is not told what no queue took either. */
const profileOf = ({ broker, taskAcksLate }: Configuration): Profile.Profile | undefined => {
  const confirm = broker._tag === "amqp" ? broker.options.confirm : undefined
  return taskAcksLate === undefined && confirm === undefined
    ? undefined
    : {
        ...Profile.durable,
        ...(said({ acksLate: taskAcksLate, confirm, mandatory: confirm }) as Partial<Profile.Profile>)
      }
}

/** Of `Client.layerWith`. */
export const client = (configuration: Configuration): Client.Options =>
  said({
    ...sendingOf(configuration),
    queues: queuesOf(configuration),
    sendSentEvent: configuration.taskSendSentEvent,
    controlNamespace: configuration.controlExchange,
    profile: profileOf(configuration)
  })

/**
 * Of `Worker.layer`. Where `worker_concurrency` does not say it, as many tasks run at once as there are `cpus` (`Host` knows), as with
 * Celery; tasks that wait more than they compute want more.
 */
export const worker = (configuration: Configuration, cpus = 1): Worker.Options =>
  said({
    ...sendingOf(configuration),
    queues: queuesOf(configuration),
    direct: configuration.workerDirect,
    concurrency: configuration.workerConcurrency ?? cpus,
    profile: profileOf(configuration) ?? Profile.durable,
    prefetchMultiplier: configuration.workerPrefetchMultiplier,
    fetch: configuration.workerDisablePrefetch === true ? ("exact" as const) : undefined,
    etaTaskLimit: configuration.workerEtaTaskLimit,
    cancelLongRunningTasksOnConnectionLoss: configuration.workerCancelLongRunningTasksOnConnectionLoss,
    deduplicateSuccessfulTasks: configuration.workerDeduplicateSuccessfulTasks,
    events: configuration.workerSendTaskEvents,
    timeLimit: configuration.taskTimeLimit,
    softTimeLimit: configuration.taskSoftTimeLimit,
    softTimeout: configuration.workerSoftShutdownTimeout,
    controlNamespace: configuration.controlExchange,
    conf: Conf.ofConfiguration(configuration)
  })

/** Of `Beat`, beside its entries. */
export const beat = ({
  beatCronStartingDeadline,
  beatMaxLoopInterval
}: Configuration): Pick<Beat.Options, "maxInterval" | "cronStartingDeadline"> =>
  said({
    // Celery's default is 0, which is the default.
    maxInterval:
      beatMaxLoopInterval !== undefined && Duration.toMillis(beatMaxLoopInterval) > 0 ? beatMaxLoopInterval : undefined,
    cronStartingDeadline: beatCronStartingDeadline
  })

/** Where results are, and the options of who keeps them there. `client` is what the door's `layerRedis` takes. */
export type Backend =
  | {
      readonly _tag: "redis"
      readonly url: Redacted.Redacted
      readonly options: RedisBackend.Options
      readonly client: Pick<TransportOptions.OfResults, "globalKeyprefix" | "masterName" | "sentinelKwargs">
    }
  | { readonly _tag: "rpc"; readonly options: RpcBackend.Options }
  | { readonly _tag: "memory"; readonly options: MemoryBackend.Options }

export const backend = ({ resultBackend, resultExpires, resultExtended, results }: Configuration): Backend => {
  switch (results._tag) {
    case "redis": {
      const { chordOrdered, ...client } = results.options
      const { globalKeyprefix } = client
      return {
        _tag: "redis",
        url: resultBackend!,
        options: said({ expires: resultExpires, extended: resultExtended, globalKeyprefix, chordOrdered }),
        client
      }
    }
    case "rpc":
      return { _tag: "rpc", options: said({ expires: resultExpires }) }
    case "memory":
      return { _tag: "memory", options: said({ expires: resultExpires, extended: resultExtended }) }
  }
}

/** Of a broker that speaks AMQP: for the doors of `@apium/transport-amqp`. */
export interface AmqpOptions extends Connection.Options {
  readonly connectTimeout?: Duration.Input | undefined
  readonly writeTimeout?: Duration.Input | undefined
  readonly failoverStrategy?: "round-robin" | "shuffle" | undefined
}

/** Of a Redis: for the doors of `@apium/transport-redis`. */
export interface RedisOptions extends Connection.Options, TransportOptions.OfRedis {}

/** Where the broker is, and the options of its door. */
export type Transport =
  | { readonly _tag: "amqp"; readonly url: Redacted.Redacted; readonly options: AmqpOptions }
  | { readonly _tag: "redis"; readonly url: Redacted.Redacted; readonly options: RedisOptions }
  | { readonly _tag: "memory"; readonly options: Connection.Options }

export const transport = (configuration: Configuration): Transport => {
  const { broker, brokerUrl: url = Redacted.make("amqp://") } = configuration
  const connection: Connection.Options = {
    poolLimit: configuration.brokerPoolLimit,
    retryOnStartup: configuration.brokerConnectionRetryOnStartup
  }
  switch (broker._tag) {
    case "amqp":
      return {
        _tag: "amqp",
        url,
        options: said({
          ...connection,
          connectTimeout: configuration.brokerConnectionTimeout,
          writeTimeout: broker.options.writeTimeout,
          failoverStrategy: configuration.brokerFailoverStrategy
        })
      }
    case "redis":
      return { _tag: "redis", url, options: said({ ...connection, ...broker.options }) }
    case "memory":
      return { _tag: "memory", options: said(connection) }
  }
}
