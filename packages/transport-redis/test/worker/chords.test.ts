import { layer } from "@effect/vitest"
import { Layer } from "effect"
import * as chords from "../../../../test/support/fleet/chords.ts"
import { Redis as Server } from "../../../../test/support/Redis.ts"
import { lease, World } from "./World.ts"

layer(World.pipe(Layer.provideMerge(Server.layer())), { excludeTestServices: true })(
  "chords whose workers are killed",
  (it) => {
    it.effect(
      `of ${chords.chords} chords of 10 every body runs, and none twice, though ${chords.kills} workers are killed`,
      () => chords.killed("Redis", 41, { lease })
    )
  }
)
