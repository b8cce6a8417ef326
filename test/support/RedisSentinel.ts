/** A Redis with a replica of the tests' own, and three sentinels that agree on who is the master. */
import { Context, Effect, Layer } from "effect"
import { writeFileSync } from "node:fs"
import * as path from "node:path"
import * as Ports from "./Ports.ts"
import * as Redis from "./Redis.ts"
import * as Server from "./Server.ts"

export interface Member extends Redis.Access {
  readonly server: Server.Server
}

export interface Options {
  /** Users by their passwords: `worker` of the servers, `guide` of the sentinels. Nobody else is let in then. */
  readonly acl?: { readonly worker: string; readonly guide: string }
  /**
   * Milliseconds that the master is silent before it is down. 500 where a test kills it; left out, no failover comes that no test asked for,
   * however busy the machine is.
   */
  readonly downAfter?: number
}

export const masterName = "mymaster"

/** The servers' own: what they, the sentinels and the test say to each other. */
const secret = "between themselves"

export class RedisSentinel extends Context.Service<
  RedisSentinel,
  {
    readonly servers: ReadonlyArray<Member>
    readonly sentinels: ReadonlyArray<Member>
    /** `sentinel://user:password@127.0.0.1:20001/0;sentinel://...` */
    readonly url: (login?: string) => string
    /** By the word of most sentinels, and its own. */
    readonly master: Effect.Effect<Member, Redis.RedisFailed>
  }
>()("test/RedisSentinel") {
  static readonly layer = (options: Options = {}) => Layer.effect(RedisSentinel, make(options))
}

const make = ({ acl, downAfter = 60_000 }: Options) =>
  Effect.gen(function* () {
    const user = acl === undefined ? [] : ["--user", "worker", "on", `>${acl.worker}`, "~*", "&*", "+@all"]
    const auth = acl === undefined ? [] : ["--masterauth", secret]
    const server = (more: ReadonlyArray<string>) =>
      Effect.map(
        Redis.start({
          ...(acl === undefined ? {} : { password: secret }),
          config: ["--repl-diskless-sync-delay", "0", "--repl-ping-replica-period", "1", ...user, ...auth, ...more]
        }),
        ({ node, server }): Member => ({ ...Redis.access(node, 0), server })
      )
    const first = yield* server([])
    const second = yield* server(["--replicaof", `${first.node.host} ${first.node.port}`])
    const servers = [first, second]
    yield* until(second, ["INFO", "replication"], /master_link_status:up/)
    const sentinels = yield* Effect.all(
      Array.from({ length: 3 }, () => sentinel(first.node, downAfter, acl)),
      { concurrency: 3 }
    )
    // Without the last of them, one that was held up for two seconds takes no part in a failover for thirty.
    const periods = ["info-period", 200, "publish-period", 200, "tilt-period", 1000]
    for (const one of sentinels) yield* one.command("SENTINEL", "DEBUG", ...periods)
    for (const one of sentinels) yield* until(one, ["INFO", "sentinel"], /status=ok.*slaves=1,sentinels=3/)
    const named = Effect.forEach(
      sentinels,
      (one) =>
        Effect.map(
          Effect.orElseSucceed(one.command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", masterName), () => []),
          (address) => Number((address as ReadonlyArray<string>)[1])
        ),
      { concurrency: 3 }
    )
    const master: Effect.Effect<Member, Redis.RedisFailed> = Effect.gen(function* () {
      const ports = yield* named
      for (const one of servers) {
        if (ports.filter((port) => port === one.node.port).length < 2) continue
        const role = yield* Effect.orElseSucceed(one.command("ROLE"), () => [])
        if ((role as ReadonlyArray<unknown>)[0] === "master") return one
      }
      yield* Server.real(20)
      return yield* master
    })
    return RedisSentinel.of({
      servers,
      sentinels,
      master,
      url: (login = "") => sentinels.map(({ node }) => `sentinel://${login}${node.host}:${node.port}/0`).join(";")
    })
  })

const sentinel = (master: Redis.Node, downAfter: number, acl: Options["acl"]) =>
  Effect.gen(function* () {
    const folder = yield* Server.folder
    const port = yield* Ports.free
    const file = path.join(folder, "sentinel.conf")
    const own = [
      `port ${port}`,
      "bind 127.0.0.1",
      `dir ${folder}`,
      `sentinel monitor ${masterName} ${master.host} ${master.port} 2`,
      `sentinel down-after-milliseconds ${masterName} ${downAfter}`,
      `sentinel failover-timeout ${masterName} 3000`
    ]
    const secured =
      acl === undefined
        ? []
        : [
            `sentinel auth-pass ${masterName} "${secret}"`,
            `requirepass "${secret}"`,
            `sentinel sentinel-pass "${secret}"`,
            `user guide on ">${acl.guide}" +@all`
          ]
    writeFileSync(file, [...own, ...secured, ""].join("\n"))
    const server = yield* Server.start({ command: ["redis-server", file, "--sentinel"], ready: "+monitor master" })
    const node = { host: "127.0.0.1", port, tls: undefined, password: acl === undefined ? undefined : secret }
    return { ...Redis.access(node, 0), server }
  })

const until = (
  one: Redis.Access,
  [command, ...args]: readonly [string, ...ReadonlyArray<string>],
  holds: RegExp
): Effect.Effect<void, Redis.RedisFailed> =>
  Effect.flatMap(one.command(command, ...args), (reply) =>
    holds.test(String(reply)) ? Effect.void : Effect.andThen(Server.real(20), until(one, [command, ...args], holds))
  )
