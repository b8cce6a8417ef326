/**
 * Which broker and which result backend a command uses: by URL, from a flag or from the environment. A transport is one line
 * of `transports`, a result backend one line of `backends`.
 */
import { Connection } from "@apium/hub/Connection"
import * as AmqpUri from "@apium/protocol/amqp/AmqpUri"
import * as RedisUri from "@apium/transport-redis/RedisUri"
import type { ResultBackend } from "@apium/worker/client/ResultBackend"
import * as Config from "effect/Config"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as BrokerUrl from "./BrokerUrl.ts"
import * as Messages from "./Messages.ts"
import { Unavailable, UsageError } from "./Errors.ts"
import * as TransportOptions from "./TransportOptions.ts"

type Secret = Redacted.Redacted

/** A broker or a result backend is not to be had. The message says which one and why, and holds no password. */
export class CannotConnect extends Data.TaggedError("CannotConnect")<{ readonly message: string }> {}

/** A URL, and the JSON of what is said beside it: of `broker_transport_options`, or of those of the result backend. */
interface Place {
  readonly url: string
  readonly options: string
}

/** A layer, or what is wrong with the place. */
type Reading<A, R = never> = Result.Result<Layer.Layer<A, { readonly message: string }, R>, string>

interface Kind<A, R = never> {
  /** Other processes do not see its messages, or its results. */
  readonly local: boolean
  readonly read: (place: Place) => Reading<A, R>
}

const without = <A, R>({ options }: Place, layer: Reading<A, R>): Reading<A, R> =>
  options === "" ? layer : Result.fail("only a Redis takes transport options")

/** The layer of a module that is loaded when a URL asks for it, as the doors are. */
const layerFrom = <A, E, R>(load: () => Promise<{ readonly layer: Layer.Layer<A, E, R> }>): Layer.Layer<A, E, R> =>
  Layer.unwrap(Effect.map(Effect.promise(load), ({ layer }) => layer))

const amqpDoor = Effect.promise(() => import("@apium/transport-amqp/node"))

const amqp: Kind<Connection> = {
  local: false,
  read: (place) =>
    without(
      place,
      Result.mapBoth(AmqpUri.parseAll(place.url), {
        onFailure: ({ message, suggestion }) =>
          suggestion === undefined ? message : `${message}\nPerhaps: ${suggestion}`,
        onSuccess: () => Layer.unwrap(Effect.map(amqpDoor, ({ layer }) => layer(place.url)))
      })
    )
}

const redisDoor = Effect.promise(() => import("./Redis.ts"))

/** The door speaks of options as it has them, and here they are JSON. */
const inKombusNames = (message: string): string =>
  message
    .replace("the option masterName", "master_name of the transport options")
    .replace("the option globalKeyprefix", "global_keyprefix of the transport options")

/** The options, and a URL that is right with them. */
const redisAt = <A extends RedisUri.Options>(
  { options, url }: Place,
  of: (text: string) => Result.Result<A, string>
): Result.Result<A, string> =>
  Result.flatMap(of(options), (options) =>
    Result.mapBoth(RedisUri.parse(url, options), {
      onFailure: ({ message }) => inKombusNames(message),
      onSuccess: () => options
    })
  )

const redis: Kind<Connection> = {
  local: false,
  read: (place) =>
    Result.map(redisAt(place, TransportOptions.ofBroker), (options) =>
      Layer.unwrap(Effect.map(redisDoor, ({ broker }) => broker(place.url, options)))
    )
}

const redisResults: Kind<ResultBackend> = {
  local: false,
  read: (place) =>
    Result.map(redisAt(place, TransportOptions.ofResults), (options) =>
      Layer.unwrap(Effect.map(redisDoor, ({ results }) => results(place.url, options)))
    )
}

/** Broker and results at one Redis share what listens there. */
const redisBoth = (ofResults: TransportOptions.OfResults): Kind<Connection | ResultBackend> => ({
  local: false,
  read: (place) =>
    Result.map(redisAt(place, TransportOptions.ofBroker), (options) =>
      Layer.unwrap(Effect.map(redisDoor, ({ both }) => both(place.url, options, ofResults)))
    )
})

const redisSchemes = ["redis", "rediss", "redis+socket", "sentinel", "redis+cluster", "rediss+cluster"]

const each = <A>(schemes: ReadonlyArray<string>, kind: A) => Object.fromEntries(schemes.map((name) => [name, kind]))

const transports: Readonly<Record<string, Kind<Connection>>> = {
  memory: {
    local: true,
    read: (place) => {
      const transport = layerFrom(() => import("@apium/hub/memory/MemoryTransport"))
      return without(place, Result.succeed(Connection.layer.pipe(Layer.provide(transport))))
    }
  },
  ...each(["amqp", "amqps", "pyamqp"], amqp),
  ...each(redisSchemes, redis)
}

const backends: Readonly<Record<string, Kind<ResultBackend, Connection>>> = {
  memory: {
    local: true,
    read: (place) =>
      without(place, Result.succeed(layerFrom(() => import("@apium/worker/client/backends/MemoryBackend"))))
  },
  // Over the broker, to who sent the task and to nobody else.
  rpc: {
    local: false,
    read: (place) => without(place, Result.succeed(layerFrom(() => import("@apium/worker/client/backends/RpcBackend"))))
  },
  ...each(redisSchemes, redisResults)
}

export interface Broker {
  /** As they may be shown. */
  readonly transport: string
  readonly results: string
  /** What is sent stays in this process. */
  readonly local: boolean
  /** Results of others are not to be had. */
  readonly localResults: boolean
  readonly layer: Layer.Layer<Connection | ResultBackend, CannotConnect>
}

export interface Flags {
  readonly broker: Option.Option<Secret>
  readonly resultBackend: Option.Option<Secret>
  readonly brokerTransportOptions: Option.Option<Secret>
  readonly resultBackendTransportOptions: Option.Option<Secret>
}

/** No flags: for programs that are told by their environment. */
export const environment: Flags = {
  broker: Option.none(),
  resultBackend: Option.none(),
  brokerTransportOptions: Option.none(),
  resultBackendTransportOptions: Option.none()
}

interface Named {
  readonly text: string
  /** What said so. */
  readonly where: string
}

const read = (flag: Option.Option<Secret>, name: string, variable: string): Effect.Effect<Named | undefined> =>
  Option.isSome(flag)
    ? Effect.succeed({ text: Redacted.value(flag.value), where: name })
    : Effect.map(Effect.orDie(Config.option(Config.Redacted(variable))), (found) => {
        const text = Option.match(found, { onNone: () => "", onSome: Redacted.value })
        // A variable that is set to nothing is one that is not set.
        return text === "" ? undefined : { text, where: variable }
      })

const find = <A>(
  known: Readonly<Record<string, A>>,
  what: "transport" | "result backend",
  { text, where }: Named
): Effect.Effect<A, UsageError> => {
  const scheme = BrokerUrl.schemeOf(text)
  return scheme !== undefined && Object.hasOwn(known, scheme)
    ? Effect.succeed(known[scheme]!)
    : Effect.fail(new UsageError({ text: BrokerUrl.refusal(text, where, Object.keys(known), what) }))
}

const layerOf = <A, R>(kind: Kind<A, R>, what: string, url: Named, options: Named | undefined) => {
  const shown = BrokerUrl.mask(url.text)
  return Result.match(kind.read({ url: url.text, options: options?.text ?? "" }), {
    onFailure: (wrong) => {
      const beside = options === undefined ? "" : ` (with ${options.where})`
      return Effect.fail(new UsageError({ text: `${url.where} is ${shown}${beside}: ${wrong}` }))
    },
    onSuccess: (layer) =>
      Effect.succeed(
        Layer.catch(layer, ({ message }) =>
          Layer.effectContext(
            Effect.fail(new CannotConnect({ message: `The ${what} ${shown} is not to be had: ${message}` }))
          )
        )
      )
  })
}

const ofResults = (options: Named | undefined): Effect.Effect<TransportOptions.OfResults, UsageError> =>
  Result.match(TransportOptions.ofResults(options?.text ?? ""), {
    onFailure: (wrong) => Effect.fail(new UsageError({ text: `${options?.where}: ${wrong}` })),
    onSuccess: Effect.succeed
  })

/** For clients, who end when there is no broker. */
export const connected = (broker: Broker): Layer.Layer<Connection | ResultBackend, Unavailable> =>
  Layer.catch(broker.layer, ({ message }) => Layer.effectContext(Effect.fail(new Unavailable({ text: message }))))

/**
 * Of the flags, else of `APIUM_BROKER_URL` and `APIUM_RESULT_BACKEND`, else memory; a Redis keeps the results of who names no place for them.
 * Connects to nothing yet.
 */
export const resolve = Effect.fnUntraced(function* (flags: Flags): Effect.fn.Return<Broker, UsageError> {
  const memory: Named = { text: "memory://", where: "The default" }
  const broker = (yield* read(flags.broker, "--broker", "APIUM_BROKER_URL")) ?? memory
  const brokerOptions = yield* read(
    flags.brokerTransportOptions,
    "--broker-transport-options",
    "APIUM_BROKER_TRANSPORT_OPTIONS"
  )
  const transport = yield* find(transports, "transport", broker)
  const named = yield* read(flags.resultBackend, "--result-backend", "APIUM_RESULT_BACKEND")
  const resultOptions = yield* read(
    flags.resultBackendTransportOptions,
    "--result-backend-transport-options",
    "APIUM_RESULT_BACKEND_TRANSPORT_OPTIONS"
  )
  const results = named ?? (transport === redis ? broker : memory)
  const backend = yield* find(backends, "result backend", results)
  const layer =
    transport === redis && results.text === broker.text
      ? yield* layerOf(redisBoth(yield* ofResults(resultOptions)), "broker", broker, brokerOptions)
      : Layer.provideMerge(
          yield* layerOf(backend, "result backend", results, resultOptions),
          yield* layerOf(transport, "broker", broker, brokerOptions)
        )
  return {
    transport: BrokerUrl.mask(broker.text),
    results: BrokerUrl.mask(results.text),
    local: transport.local,
    localResults: backend.local,
    layer: Layer.provideMerge(layer, yield* Messages.layer)
  }
})
