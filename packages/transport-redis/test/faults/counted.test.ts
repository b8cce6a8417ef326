/** Deliveries are counted across languages, as far as they are known: what kills every worker it meets does not go round for ever. */
import * as Redis from "@apium/transport-redis/node"
import { Client, MemoryBackend } from "@apium/worker"
import { assert, layer } from "@effect/vitest"
import { Effect, Layer } from "effect"
import * as Program from "../../../../test/support/Program.ts"
import * as Python from "../../../../test/support/Python.ts"
import { Redis as Server } from "../../../../test/support/Redis.ts"
import * as stores from "../support/stores.ts"

/** What a worker of Python's leaves behind that is killed with its task: popped, noted, and nothing more. */
const dies = `
import os, sys, time
from kombu import Connection
connection = Connection(sys.argv[1], transport_options={"visibility_timeout": 2})
channel = connection.channel()
queue = connection.SimpleQueue(sys.argv[2])
end = time.time() + 120
while time.time() < end:
    channel.qos.restore_visible(interval=1)
    try:
        queue.get(timeout=0.2)
    except queue.Empty:
        continue
    print("dies")
    sys.stdout.flush()
    os._exit(0)
`

layer(Server.layer(), { excludeTestServices: true })("a task that kills its worker", (it) => {
  it.effect("Python's and ours in turn, ends in the list of the dead when it was delivered too often", () =>
    Effect.gen(function* () {
      const server = yield* Server
      const queue = "poison"
      const file = yield* Program.bundle("packages/transport-redis/test/support/worker.ts")
      yield* Effect.flatMap(Client, (client) =>
        client.sendTask("proj.dies", [], {}, { queue, ignoreResult: true })
      ).pipe(
        Effect.provide(Client.layer.pipe(Layer.provide(Redis.layer(server.url())), Layer.provide(MemoryBackend.layer)))
      )
      const dead = Effect.map(server.command("LLEN", "poison.dead"), Number)
      const deaths = { ours: 0, theirs: 0 }
      while ((yield* dead) === 0 && deaths.ours + deaths.theirs < 12) {
        yield* Effect.gen(function* () {
          const ours = yield* Program.start(file, { args: [server.url(), queue, "6000", "2000"] })
          // First it is among the dead, and then it is settled.
          const over = Effect.map(
            Effect.all([dead, server.command("HLEN", "unacked")]),
            ([count, held]) => count > 0 && held === 0
          )
          yield* Effect.raceFirst(ours.ended, stores.until(over))
          if ((yield* dead) > 0) return
          deaths.ours++
          const said = yield* Python.run(dies, { args: [server.url(), queue] })
          assert.include(said, "dies")
          deaths.theirs++
        }).pipe(Effect.scoped)
      }
      console.log(`poison deaths ours=${deaths.ours} theirs=${deaths.theirs}, then in poison.dead`)
      assert.strictEqual(yield* dead, 1)
      assert.deepStrictEqual(
        [
          yield* server.command("EXISTS", queue, "poison\x06\x163", "poison\x06\x166", "poison\x06\x169"),
          yield* server.command("HLEN", "unacked")
        ],
        [0, 0]
      )
      assert.isAtMost(deaths.ours, 3)
    })
  )
})
