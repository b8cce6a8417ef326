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

const stops = Task.make("proj.stops", { params: notes.params, result: Schema.Void, ignoreResult: true })

const begun = (lines: ReadonlyArray<string>): ReadonlyArray<number> =>
  lines.filter((line) => line.startsWith("runs ")).map((line) => Number(line.slice(5)))

layer(Server.layer(), { excludeTestServices: true })("a worker that is frozen", (it) => {
  it.effect(
    "for longer than its lease begins nothing of what others run meanwhile, and goes on with what is left",
    () =>
      Effect.gen(function* () {
        const server = yield* Server
        const rounds = times(2, 3, 20)
        const file = yield* Program.bundle("packages/transport-redis/test/support/worker.ts")
        let [reserved, twice] = [0, 0]
        for (let round = 0; round < rounds; round++) {
          const queue = `frozen-${round}`
          const count = 16
          yield* Effect.gen(function* () {
            const client = yield* Client
            for (let n = 0; n < count; n++) yield* client.send(n === 3 ? stops : notes, { n, ms: 100 }, { queue })
            const one = yield* Program.start(file, { args: [server.url(), queue, "3000"] })
            yield* one.line("runs 3")
            reserved += Number(yield* server.command("ZCARD", "unacked_index")) - 1
            const other = yield* Program.start(file, { args: [server.url(), queue, "3000"] })
            // What the first one held comes to the other, when the lease is over.
            for (let n = 3; n < count; n++) yield* other.line(`runs ${n}`)
            // Nothing of it is under way: the first one would be given that, were the other one held up for a lease.
            yield* stores.until(
              Effect.map(
                Effect.all([server.command("LLEN", queue), server.command("ZCARD", "unacked_index")]),
                ([waiting, held]) => waiting === 0 && held === 0
              )
            )
            const before = begun(one.lines())
            yield* one.signal("SIGCONT")
            // The first one is a worker as before.
            yield* other.signal("SIGKILL")
            const { lines } = yield* other.ended
            yield* client.send(notes, { n: 1000, ms: 0 }, { queue })
            yield* one.line("ran 1000")
            yield* one.signal("SIGKILL")
            const [ours, theirs] = [begun((yield* one.ended).lines), begun(lines)]
            for (let n = 0; n < count; n++) assert.include([...ours, ...theirs], n)
            assert.deepStrictEqual(
              ours.slice(before.length).filter((n) => theirs.includes(n)),
              []
            )
            // The one that ran when it was stopped; and the one before it, were its settle not out yet.
            const both = before.filter((n) => theirs.includes(n))
            assert.include(both, 3)
            assert.includeMembers([2, 3], both)
            twice += both.length
          }).pipe(
            Effect.provide(
              Client.layer.pipe(Layer.provideMerge(Redis.layer(server.url())), Layer.provide(MemoryBackend.layer))
            )
          )
        }
        console.log(`frozen rounds=${rounds} lost=0 reserved=${reserved} begun_twice=${twice} (the one that ran)`)
        assert.isAbove(reserved, rounds)
      })
  )
})
