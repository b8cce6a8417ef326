/** A Redis Cluster of the tests' own: three masters, each with a third of the slots. */
import { Context, Effect, Layer } from "effect"
import * as Ports from "./Ports.ts"
import * as Redis from "./Redis.ts"
import * as Server from "./Server.ts"

export interface ClusterNode extends Redis.Access {
  readonly server: Server.Server
  readonly id: string
}

export class RedisCluster extends Context.Service<
  RedisCluster,
  {
    readonly nodes: ReadonlyArray<ClusterNode>
    /** `redis+cluster://127.0.0.1:20001;127.0.0.1:20002;127.0.0.1:20003` */
    readonly url: string
    /** The node that has this slot, by the word of all of them: they agree. */
    readonly owner: (slot: number) => Effect.Effect<ClusterNode, Redis.RedisFailed>
    /** Gives the slot, with all that is in it, to this node. */
    readonly move: (slot: number, to: ClusterNode) => Effect.Effect<void, Redis.RedisFailed>
  }
>()("test/RedisCluster") {
  static readonly layerWith = (options: Pick<Redis.Options, "appendfsync">) => Layer.effect(RedisCluster, make(options))

  static readonly layer = Layer.suspend(() => RedisCluster.layerWith({}))
}

const make = (options: Pick<Redis.Options, "appendfsync">) =>
  Effect.gen(function* () {
    const nodes = yield* Effect.all(
      Array.from({ length: 3 }, () => start(options)),
      { concurrency: 3 }
    )
    for (const [index, node] of nodes.entries()) {
      yield* node.command("CLUSTER", "SET-CONFIG-EPOCH", index + 1)
      yield* node.command("CLUSTER", "ADDSLOTSRANGE", ...slots[index]!)
    }
    // Each with each: what they only hear of one another takes seconds.
    for (const [index, one] of nodes.entries()) {
      for (const { bus, node } of nodes.slice(index + 1)) {
        yield* one.command("CLUSTER", "MEET", node.host, node.port, bus)
      }
    }
    yield* Effect.forEach(nodes, ready, { discard: true })
    const ownerOn = (slot: number) => (node: ClusterNode) =>
      Effect.map(node.command("CLUSTER", "SLOTS"), (ranges) =>
        (ranges as ReadonlyArray<readonly [number, number, readonly [string, number, string]]>)
          .filter(([first, last]) => first <= slot && slot <= last)
          .map(([, , [, , id]]) => id)
          .join()
      )
    const owner = (slot: number): Effect.Effect<ClusterNode, Redis.RedisFailed> =>
      Effect.flatMap(Effect.forEach(nodes, ownerOn(slot)), (ids) => {
        const found = nodes.find(({ id }) => ids.every((one) => one === id))
        return found === undefined ? Effect.andThen(Server.real(20), owner(slot)) : Effect.succeed(found)
      })
    return RedisCluster.of({
      nodes,
      url: `redis+cluster://${nodes.map(({ node }) => `${node.host}:${node.port}`).join(";")}`,
      owner,
      move: (slot, to) =>
        Effect.gen(function* () {
          const from = yield* owner(slot)
          yield* to.command("CLUSTER", "SETSLOT", slot, "IMPORTING", from.id)
          yield* from.command("CLUSTER", "SETSLOT", slot, "MIGRATING", to.id)
          for (;;) {
            const keys = (yield* from.command("CLUSTER", "GETKEYSINSLOT", slot, 100)) as ReadonlyArray<string>
            if (keys.length === 0) break
            yield* from.command("MIGRATE", to.node.host, to.node.port, "", 0, 5000, "KEYS", ...keys)
          }
          for (const node of [to, from]) yield* node.command("CLUSTER", "SETSLOT", slot, "NODE", to.id)
        })
    })
  })

const slots = [
  [0, 5460],
  [5461, 10_922],
  [10_923, 16_383]
] as const

const start = (options: Pick<Redis.Options, "appendfsync">) =>
  Effect.gen(function* () {
    const bus = yield* Ports.free
    // Redis' own, but said: a node that is held up for two seconds on a busy machine has not failed.
    const timeout = "--cluster-node-timeout 15000"
    const config = `--cluster-enabled yes --cluster-port ${bus} ${timeout} --cluster-require-full-coverage no`
    const { node, server } = yield* Redis.start({ ...options, config: config.split(" ") })
    const access = Redis.access(node, 0)
    return { ...access, server, bus, id: String(yield* access.command("CLUSTER", "MYID")) }
  })

const ready = (node: Redis.Access): Effect.Effect<void, Redis.RedisFailed> =>
  Effect.flatMap(node.command("CLUSTER", "INFO"), (info) =>
    /cluster_state:ok/.test(String(info)) && /cluster_known_nodes:3/.test(String(info))
      ? Effect.void
      : Effect.andThen(Server.real(20), ready(node))
  )
