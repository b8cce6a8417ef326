/** What a configuration says of messages, where there are files: keys and certificates, and the packages that serializers need. */
import type { HubError } from "@apium/hub/HubError"
import { layerCompression, layerSecurity } from "@apium/hub/node"
import type { SecurityError } from "@apium/hub/Security"
import * as Serializer from "@apium/hub/Serializer"
import type * as Content from "@apium/protocol/kombu/Content"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Configuration from "../Configuration.ts"

const msgpack = Effect.promise(() => import("@apium/protocol/kombu/Msgpack"))

const yaml = Effect.promise(() => import("@apium/protocol/kombu/Yaml"))

/** Loaded where they are named: msgpack is a package that not everybody has. */
const named = (names: ReadonlySet<string | undefined>): Effect.Effect<ReadonlyArray<Content.Serializer>> =>
  Effect.gen(function* () {
    const found: Array<Content.Serializer> = []
    if (names.has("msgpack") || names.has("application/x-msgpack")) found.push((yield* msgpack).msgpack)
    if (names.has("yaml") || names.has("application/x-yaml")) found.push((yield* yaml).yaml)
    return found
  })

/**
 * `accept_content`, `task_serializer`, `task_compression`, and the keys and certificates of `security_key` and its kin, which are read once:
 * for the layers of clients and workers, and for who calls them.
 */
export const layerMessages = (
  configuration: Configuration.Configuration
): Layer.Layer<never, HubError | SecurityError> =>
  Layer.unwrap(
    Effect.gen(function* () {
      const content = Configuration.content(configuration)
      const serializers = yield* named(new Set([...(content.accept ?? []), content.serializer]))
      const registry = Serializer.layer({ ...content, serializers })
      const files = Configuration.security(configuration)
      return Layer.merge(
        files === undefined ? registry : Layer.provide(registry, layerSecurity(files)),
        layerCompression
      )
    })
  )
