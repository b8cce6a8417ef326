import { Connection } from "@apium/hub/Connection"
import * as MemoryTransport from "@apium/hub/memory/MemoryTransport"
import * as MemoryBackend from "@apium/worker/client/backends/MemoryBackend"
import { Layer } from "effect"
import * as CanvasSuite from "../../../../test/support/CanvasSuite.ts"

CanvasSuite.suite(
  "memory",
  Layer.merge(Connection.layer.pipe(Layer.provide(MemoryTransport.layer)), MemoryBackend.layer)
)
