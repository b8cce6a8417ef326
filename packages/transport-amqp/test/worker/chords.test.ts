import { layer } from "@effect/vitest"
import { Layer } from "effect"
import * as chords from "../../../../test/support/fleet/chords.ts"
import { RabbitMq } from "../../../../test/support/RabbitMq.ts"
import { Redis } from "../../../../test/support/Redis.ts"
import { World } from "./World.ts"

layer(World.pipe(Layer.provideMerge(Layer.merge(RabbitMq.shared, Redis.layer()))), {
  excludeTestServices: true
})("chords whose workers are killed", (it) => {
  it.effect(
    `of ${chords.chords} chords of 10 every body runs, and none twice, though ${chords.kills} workers are killed`,
    () => chords.killed("RabbitMQ, results in Redis", 42)
  )
})
