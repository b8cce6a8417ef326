/**
 * Which broker and which result backend a command uses: by URL, from a flag or from the environment. A transport is one line
 * of `transports`, a result backend one line of `backends`.
 */
import { Connection } from "@apium/hub/Connection"
import type { HubError } from "@apium/hub/HubError"
import * as MemoryTransport from "@apium/hub/memory/MemoryTransport"
import * as AmqpUri from "@apium/protocol/amqp/AmqpUri"
import * as Amqp from "@apium/transport-amqp/node"
import * as MemoryBackend from "@apium/worker/client/backends/MemoryBackend"
import type { ResultBackend } from "@apium/worker/client/ResultBackend"
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as BrokerUrl from "./BrokerUrl.ts"
import { Unavailable, UsageError } from "./Errors.ts"

type Url = Redacted.Redacted

export type CannotConnect = HubError | AmqpUri.InvalidUri

interface Transport {
  /** Other processes do not see its messages. */
  readonly local: boolean
  /** What is wrong with a URL of this scheme. */
  readonly fault?: (url: string) => string | undefined
  readonly layer: (url: Url) => Layer.Layer<Connection, CannotConnect>
}

interface Backend {
  /** Other processes do not see its results. */
  readonly local: boolean
  readonly layer: (url: Url) => Layer.Layer<ResultBackend, HubError>
}

const amqp: Transport = {
  local: false,
  fault: (url) => {
    const read = AmqpUri.parseAll(url)
    if (Result.isSuccess(read)) return undefined
    const { message, suggestion } = read.failure
    return suggestion === undefined ? message : `${message}\nPerhaps: ${suggestion}`
  },
  layer: (url) => Amqp.layer(Redacted.value(url))
}

const transports: Readonly<Record<string, Transport>> = {
  memory: { local: true, layer: () => Connection.layer.pipe(Layer.provide(MemoryTransport.layer)) },
  amqp,
  amqps: amqp,
  pyamqp: amqp
}

const backends: Readonly<Record<string, Backend>> = {
  memory: { local: true, layer: () => MemoryBackend.layer }
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
  readonly broker: Option.Option<Url>
  readonly resultBackend: Option.Option<Url>
}

interface Named {
  readonly url: Url
  /** What said so. */
  readonly where: string
}

const read = (flag: Option.Option<Url>, name: string, variable: string): Effect.Effect<Option.Option<Named>> =>
  Option.isSome(flag)
    ? Effect.succeedSome({ url: flag.value, where: name })
    : Effect.map(Effect.orDie(Config.option(Config.Redacted(variable))), (found) =>
        // A variable that is set to nothing is one that is not set.
        Option.map(
          Option.filter(found, (url) => Redacted.value(url) !== ""),
          (url) => ({ url, where: variable })
        )
      )

const find = <A>(
  known: Readonly<Record<string, A>>,
  what: "transport" | "result backend",
  { url, where }: Named
): Effect.Effect<A, UsageError> => {
  const text = Redacted.value(url)
  const scheme = BrokerUrl.schemeOf(text)
  return scheme !== undefined && Object.hasOwn(known, scheme)
    ? Effect.succeed(known[scheme]!)
    : Effect.fail(new UsageError({ text: BrokerUrl.refusal(text, where, Object.keys(known), what) }))
}

const shown = ({ url }: Named): string => BrokerUrl.mask(Redacted.value(url))

/** For clients, who end when there is no broker. */
export const connected = (broker: Broker): Layer.Layer<Connection | ResultBackend, Unavailable> =>
  Layer.catch(broker.layer, ({ message }) =>
    Layer.effectContext(
      Effect.fail(new Unavailable({ text: `The broker ${broker.transport} is not to be had: ${message}` }))
    )
  )

/** Of the flags, else of `APIUM_BROKER_URL` and `APIUM_RESULT_BACKEND`, else memory. Connects to nothing yet. */
export const resolve = Effect.fnUntraced(function* (flags: Flags): Effect.fn.Return<Broker, UsageError> {
  const memory = { url: Redacted.make("memory://"), where: "The default" }
  const broker = Option.getOrElse(yield* read(flags.broker, "--broker", "APIUM_BROKER_URL"), () => memory)
  const results = Option.getOrElse(
    yield* read(flags.resultBackend, "--result-backend", "APIUM_RESULT_BACKEND"),
    () => memory
  )
  const { fault, layer, local } = yield* find(transports, "transport", broker)
  const wrong = fault?.(Redacted.value(broker.url))
  if (wrong !== undefined) return yield* new UsageError({ text: `${broker.where} is ${shown(broker)}: ${wrong}` })
  const backend = yield* find(backends, "result backend", results)
  return {
    transport: shown(broker),
    results: shown(results),
    local,
    localResults: backend.local,
    layer: Layer.merge(layer(broker.url), backend.layer(results.url))
  }
})
