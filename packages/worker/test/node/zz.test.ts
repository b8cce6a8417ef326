import { layerProcessPool, layerThreadPool } from "@apium/worker/node"
import { it } from "@effect/vitest"
import { Effect } from "effect"
import { module } from "./support/Jobs.ts"
import { killing, quietly } from "./support/Killing.ts"
it.live("p", () => killing(50, (child) => Effect.sync(() => void process.kill(child, "SIGKILL")), /SIGKILL/).pipe(Effect.provide(layerProcessPool({ module, size: 2 })), quietly, Effect.tap((s) => Effect.sync(() => console.error("FIG process", s)))), 60000)
it.live("t", () => killing(50, (_c, job) => job, /was killed/).pipe(Effect.provide(layerThreadPool({ module, size: 2 })), quietly, Effect.tap((s) => Effect.sync(() => console.error("FIG thread", s)))), 60000)
