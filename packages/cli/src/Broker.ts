/**
 * Which broker and which result backend a command uses: by URL, from a flag or from the environment. A transport is one line
 * of `transports`, a result backend one line of `backends`.
 */
import { Connection } from "@apium/hub/Connection"
import type { HubError } from "@apium/hub/HubError"
import * as MemoryTransport from "@apium/hub/memory/MemoryTransport"
import * as MemoryBackend from "@apium/worker/client/backends/MemoryBackend"
import type { ResultBackend } from "@apium/worker/client/ResultBackend"
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as BrokerUrl from "./BrokerUrl.ts"
import { UsageError } from "./Errors.ts"

type Url = Redacted.Redacted

interface Transport {
  /** Other processes do not see its messages. */
  readonly local: boolean
  readonly layer: (url: Url) => Layer.Layer<Connection, HubError>
}

const transports: Readonly<Record<string, Transport>> = {
  memory: { local: true, layer: () => Connection.layer.pipe(Layer.provide(MemoryTransport.layer)) }
}

const backends: Readonly<Record<string, (url: Url) => Layer.Layer<ResultBackend, HubError>>> = {
  memory: () => MemoryBackend.layer
}

export interface Broker {
  /** As they may be shown. */
  readonly transport: string
  readonly results: string
  /** What is sent stays in this process. */
  readonly local: boolean
  readonly layer: Layer.Layer<Connection | ResultBackend, HubError>
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

const find = <A>(known: Readonly<Record<string, A>>, { url, where }: Named): Effect.Effect<A, UsageError> => {
  const text = Redacted.value(url)
  const scheme = BrokerUrl.schemeOf(text)
  return scheme !== undefined && Object.hasOwn(known, scheme)
    ? Effect.succeed(known[scheme]!)
    : Effect.fail(new UsageError({ text: BrokerUrl.refusal(text, where, Object.keys(known)) }))
}

const shown = ({ url }: Named): string => BrokerUrl.mask(Redacted.value(url))

/** Of the flags, else of `APIUM_BROKER_URL` and `APIUM_RESULT_BACKEND`, else memory. Connects to nothing yet. */
export const resolve = Effect.fnUntraced(function* (flags: Flags): Effect.fn.Return<Broker, UsageError> {
  const memory = { url: Redacted.make("memory://"), where: "The default" }
  const broker = Option.getOrElse(yield* read(flags.broker, "--broker", "APIUM_BROKER_URL"), () => memory)
  const results = Option.getOrElse(
    yield* read(flags.resultBackend, "--result-backend", "APIUM_RESULT_BACKEND"),
    () => memory
  )
  const { layer, local } = yield* find(transports, broker)
  const backend = yield* find(backends, results)
  return {
    transport: shown(broker),
    results: shown(results),
    local,
    layer: Layer.merge(layer(broker.url), backend(results.url))
  }
})
