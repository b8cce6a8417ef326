import * as Redis from "@apium/transport-redis/node"
import { Effect, Layer } from "effect"
import * as Fleet from "../../../../test/support/fleet/Fleet.ts"
import { Redis as Server } from "../../../../test/support/Redis.ts"

/** Milliseconds, of workers and of who sends to them: what a dead one held comes back within four thirds of it, and the script that gives it. */
export const lease = 3000

/** One step: what moves between the two is in one of them. */
const counting = `
local ready = 0
for _, list in ipairs(ARGV) do ready = ready + redis.call('LLEN', list) end
return {ready, redis.call('ZCARD', 'unacked_index')}`

/** A connection to the broker of the layer, and fleets on it: one at a time, for all share one `unacked`. */
export const World = Layer.unwrap(
  Effect.map(Server, (server) =>
    Layer.merge(
      Redis.layer(server.url(), { lease }),
      Fleet.Broker.layer({
        url: server.url(),
        counts: (queue) => {
          const lists = ["", "\x06\x163", "\x06\x166", "\x06\x169"].map((step) => queue + step)
          return server.command("EVAL", counting, 0, ...lists).pipe(
            Effect.orDie,
            Effect.map((reply) => {
              const [ready, unacked] = reply as readonly [number, number]
              return { ready, unacked }
            })
          )
        }
      })
    )
  )
)
