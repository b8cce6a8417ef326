/**
 * `APIUM_BROKER_URL` says where tasks wait and results are kept. Today there is one place, the memory of this process; a URL
 * of any other kind is refused with what to do about it, and without its password.
 */
import * as BrokerUrl from "@apium/cli/BrokerUrl"
import { UsageError } from "@apium/cli/Errors"
import { Connection } from "@apium/hub/Connection"
import type { HubError } from "@apium/hub/HubError"
import * as MemoryTransport from "@apium/hub/memory/MemoryTransport"
import * as MemoryBackend from "@apium/worker/client/backends/MemoryBackend"
import type { ResultBackend } from "@apium/worker/client/ResultBackend"
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"

const url = Config.withDefault(Config.Redacted("APIUM_BROKER_URL"), Redacted.make("memory://"))

/** The URL, as it may be printed. */
export const shown = Config.map(url, (url) => BrokerUrl.mask(Redacted.value(url)))

/** What is wrong with a URL; nothing if it can be used. */
export const refusal = (url: string): string | undefined =>
  BrokerUrl.schemeOf(url) === "memory" ? undefined : BrokerUrl.refusal(url, "APIUM_BROKER_URL", ["memory"])

const memory = Layer.merge(MemoryBackend.layer, Connection.layer.pipe(Layer.provide(MemoryTransport.layer)))

/** The broker that the demo runs on. */
export const layer: Layer.Layer<Connection | ResultBackend, UsageError | Config.ConfigError | HubError> = Layer.unwrap(
  Effect.gen(function* () {
    const reason = refusal(Redacted.value(yield* url))
    return reason === undefined ? memory : yield* new UsageError({ text: reason })
  })
)

/** A broker for several processes: the memory of one of them is none. `command` is who asks. */
export const shared = (
  command: "worker" | "producer" | "monitor"
): Layer.Layer<Connection | ResultBackend, UsageError | Config.ConfigError | HubError> =>
  Layer.unwrap(
    Effect.gen(function* () {
      const reason = refusal(Redacted.value(yield* url))
      return yield* new UsageError({
        text:
          reason ??
          [
            `demo ${command} needs a broker that two processes can share; memory:// lives inside one. Those to share are`,
            "  APIUM_BROKER_URL=amqp://guest:guest@localhost:5672//  RabbitMQ, by @apium/transport-amqp",
            "  APIUM_BROKER_URL=redis://localhost:6379/0             Redis, by @apium/transport-redis",
            "Both packages are still to come: today there is memory:// alone, and `pnpm demo` without a command",
            "runs worker, producer and monitor together in one process."
          ].join("\n")
      })
    })
  )
