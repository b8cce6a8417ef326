/**
 * `APIUM_BROKER_URL` says where tasks wait and results are kept. Today there is one place, the memory of this process; a URL
 * of any other kind is refused with what to do about it, and without its password.
 */
import { Connection } from "@apium/hub/Connection"
import type { HubError } from "@apium/hub/HubError"
import * as MemoryTransport from "@apium/hub/memory/MemoryTransport"
import * as MemoryBackend from "@apium/worker/client/backends/MemoryBackend"
import type { ResultBackend } from "@apium/worker/client/ResultBackend"
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import { UsageError } from "./errors.ts"
import { nearest } from "./suggest.ts"

const url = Config.withDefault(Config.Redacted("APIUM_BROKER_URL"), Redacted.make("memory://"))

/** Schemes that Celery knows, and the package that is to bring them. */
const toCome: ReadonlyMap<string, string> = new Map([
  ["amqp", "@apium/transport-amqp"],
  ["amqps", "@apium/transport-amqp"],
  ["pyamqp", "@apium/transport-amqp"],
  ["redis", "@apium/transport-redis"],
  ["rediss", "@apium/transport-redis"],
  ["sentinel", "@apium/transport-redis"]
])

const supported = "Supported today: memory://, a broker inside this process. It is the default: unset APIUM_BROKER_URL."

/** As kombu shows a URL: the password is two stars. Too much is hidden rather than too little: one may contain `@` and `/`. */
export const mask = (url: string): string =>
  url
    .split(/;(?=[a-z][a-z\d+.-]*:\/\/)/i)
    .map((one) =>
      one
        .replace(/^((?:[^:]*:\/\/)?[^:]*:)(?!\/\/).*@/su, "$1**@")
        // An `@` that was forgotten: what stands where the port should be is no port.
        .replace(/^([^:]*:\/\/[^:@/[]*:)(?!\d*(?:[/?#]|$))[^@]*$/u, "$1**")
        .replaceAll(/([?&][^=&]*(?:password|token|secret)[^=&]*=)[^&]*/giu, "$1**")
    )
    .join(";")
    // What is shown goes to a terminal.
    .replaceAll(/\p{Cc}/gu, "?")

/** The URL, as it may be printed. */
export const shown = Config.map(url, (url) => mask(Redacted.value(url)))

const suggestion = (scheme: string): string => {
  const meant = nearest(scheme, ["memory", ...toCome.keys()])
  return meant === undefined ? "" : ` Did you mean ${meant}://?`
}

/** What is wrong with a URL; nothing if it can be used. */
export const refusal = (url: string): string | undefined => {
  const shown = mask(url)
  const scheme = /^([a-z][a-z\d+.-]*):\/\//i.exec(url)?.[1]?.toLowerCase()
  if (scheme === "memory") return undefined
  if (scheme === undefined) {
    const named = /^[a-z]*/i.exec(url)![0].toLowerCase()
    return `APIUM_BROKER_URL is ${shown}: a broker URL begins with its transport.${suggestion(named)}\n${supported}`
  }
  const needed = toCome.get(scheme)
  return needed === undefined
    ? `APIUM_BROKER_URL is ${shown}: there is no transport named ${scheme}.${suggestion(scheme)}\n${supported}`
    : `APIUM_BROKER_URL is ${shown}: ${scheme}:// needs ${needed}, which is still to come.\n${supported}`
}

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
