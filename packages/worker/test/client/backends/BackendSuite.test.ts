import * as MemoryBackend from "@apium/worker/client/backends/MemoryBackend"
import { suite } from "../../../../../test/support/BackendSuite.ts"

suite("memory", MemoryBackend.layer)
