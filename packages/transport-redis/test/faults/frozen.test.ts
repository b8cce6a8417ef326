/** Processes that stand still for longer than their lease, as a laptop does that sleeps: others have their messages when they go on. */
import * as Redis from "@apium/transport-redis/node"
import { Client, MemoryBackend, Task } from "@apium/worker"
import { assert, layer } from "@effect/vitest"
import { Effect, Layer, Schema } from "effect"
import * as Program from "../../../../test/support/Program.ts"
import { Redis as Server } from "../../../../test/support/Redis.ts"
import { times } from "../../../../test/support/Times.ts"
import * as stores from "../support/stores.ts"

const notes = Task.make("proj.notes", {
  params: { n: Schema.Number, ms: Schema.Number },
  result: Schema.Void,
  ignoreResult: true
})

layer(Server.layer(), { excludeTestServices: true, timeout: "30 seconds" })("a worker that is frozen", (it) => {
  it.effect(
    "for longer than its lease begins nothing of what others run meanwhile, and goes on with what is left",
    () =>
      Effect.gen(function* () {
        const server = yield* Server
        const rounds = times(2, 20)
        const file = yield* Program.bundle("packages/transport-redis/test/support/worker.ts")
        let [reserved, twice] = [0, 0]
        for (let round = 0; round < rounds; round++) {
          const queue = `frozen-${round}`
          const count = 16
          yield* Effect.gen(function* () {
            const one = yield* Program.start(file, { args: [server.url(), queue, "1500"] })
            yield* one.line("ready")
            const client = yield* Client
            yield* client.sendAll(
              notes,
              Array.from({ length: count }, (_, n) => ({ n, ms: 100 })),
              { queue }
            )
            yield* one.line("runs 3")
            // A command takes long enough for the acknowledgement of the one before, and not as long as the task.
            yield* server.command("PING")
            yield* one.signal("SIGSTOP")
            reserved += Number(yield* server.command("ZCARD", "unacked_index")) - 1
            const other = yield* Program.start(file, { args: [server.url(), queue, "1500"] })
            // The other has what the first one held.
            yield* other.line(`runs ${count - 1}`)
            yield* one.signal("SIGCONT")
            yield* stores.until(
              Effect.map(
                Effect.all([server.command("ZCARD", "unacked_index"), server.command("LLEN", queue)]),
                ([held, waiting]) => held === 0 && waiting === 0
              )
            )
            // The first one is a worker as before.
            yield* other.signal("SIGKILL")
            const { lines } = yield* other.ended
            yield* client.send(notes, { n: 1000, ms: 0 }, { queue })
            yield* one.line("ran 1000")
            yield* one.signal("SIGKILL")
            const all = [...(yield* one.ended).lines, ...lines]
            const runs = all.filter((line) => line.startsWith("runs ")).map((line) => Number(line.slice(5)))
            for (let n = 0; n < count; n++) assert.include(runs, n)
            // The one that ran when it was stopped may run once more: it had begun.
            twice += runs.length - new Set(runs).size
            assert.isAtMost(runs.length - new Set(runs).size, 1)
          }).pipe(
            Effect.provide(
              Client.layer.pipe(Layer.provideMerge(Redis.layer(server.url())), Layer.provide(MemoryBackend.layer))
            )
          )
        }
        console.log(`frozen rounds=${rounds} lost=0 reserved=${reserved} begun_twice=${twice} (the one that ran)`)
        assert.isAbove(reserved, rounds)
      }),
    120_000
  )
})
