/** How messages are written and read, by the environment: Celery's settings, each with `APIUM_` before its name. */
import { layerCompression } from "@apium/hub/node/compression"
import { Serializers } from "@apium/hub/Serializer"
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import { UsageError } from "./Errors.ts"

const keys = [
  "accept_content",
  "task_serializer",
  "task_compression",
  "security_key",
  "security_key_password",
  "security_certificate",
  "security_cert_store",
  "security_digest"
] as const

const variable = (key: string): string => `APIUM_${key.toUpperCase()}`

const told = Effect.gen(function* () {
  const found: { [K in (typeof keys)[number]]?: unknown } = {}
  for (const key of keys) {
    const value = Option.getOrUndefined(yield* Effect.orDie(Config.option(Config.Redacted(variable(key)))))
    // A variable that is set to nothing is one that is not set.
    const text = value === undefined ? "" : Redacted.value(value)
    if (text !== "") found[key] = key === "accept_content" ? text.split(",").map((name) => name.trim()) : text
  }
  // As `setup_security` wants them: who has a key has no other choice.
  return found.security_key === undefined ? found : { task_serializer: "auth", accept_content: ["auth"], ...found }
})

const refused = (text: string) => new UsageError({ text })

/** Of twenty modules, for who says something. */
const settings = Effect.promise(async () => {
  const [Configuration, { layerMessages }] = await Promise.all([
    import("@apium/worker/Configuration"),
    import("@apium/worker/node/messages")
  ])
  return { Configuration, layerMessages }
})

/** For all that is sent and read; keys and certificates are read now. */
export const layer: Effect.Effect<Layer.Layer<never>, UsageError> = Effect.gen(function* () {
  const found = yield* told
  if (Object.keys(found).length === 0) return layerCompression
  const { Configuration, layerMessages } = yield* settings
  const configuration = yield* Effect.mapError(Effect.fromResult(Configuration.decode(found)), ({ problems }) =>
    refused(problems.map(({ key, text }) => `${variable(key)}: ${text}`).join("\n"))
  )
  const registry = yield* Effect.provide(Serializers, layerMessages(configuration)).pipe(
    Effect.mapError(({ message }) => refused(message))
  )
  return Layer.merge(Layer.succeed(Serializers, registry), layerCompression)
})
