/**
 * A Redis of the tests' own.
 *
 * ```text
 *   Redis.shared            one server for all files of a run; each layer gets a database of its own, empty at first
 *   Redis.layer(options)    a server for this layer alone, which a test may stop, kill, freeze and start again: `RedisServer`
 * ```
 */
import { Context, Data, Effect, Layer, type Scope } from "effect"
import { inject } from "vitest"
import * as Certificates from "./Certificates.ts"
import * as Commands from "./Commands.ts"
import * as Ports from "./Ports.ts"
import type * as Process from "./Process.ts"
import * as Server from "./Server.ts"

/** Plain data, which goes from vitest's own process to those of the tests. */
export interface Node {
  readonly host: string
  readonly port: number
  readonly tls: (Certificates.Certificates & { readonly port: number }) | undefined
  readonly password: string | undefined
}

declare module "vitest" {
  interface ProvidedContext {
    redis: Node
  }
}

export interface Options {
  readonly tls?: boolean
  readonly password?: string
  /** When what it acknowledged is on disk; without it nothing ever is, and a restart comes back empty. */
  readonly appendfsync?: "always" | "everysec" | "no"
  /** More arguments, as `["--timeout", "1"]`. */
  readonly config?: ReadonlyArray<string>
}

export class RedisFailed extends Data.TaggedError("RedisFailed")<{ readonly message: string }> {}

type CannotStart = Commands.CommandFailed | Commands.MissingCommand | Ports.NoPort | Process.Silent

export interface Access {
  readonly node: Node
  readonly database: number
  /** `redis://127.0.0.1:20001/3`; another port, as that of a `FaultProxy`, on request. */
  readonly url: (port?: number) => string
  /** Runs one command, in the database. Replies come back through JSON, and reports (INFO) as they are. */
  readonly command: (...args: ReadonlyArray<string | number>) => Effect.Effect<unknown, RedisFailed>
}

export class Redis extends Context.Service<Redis, Access>()("test/Redis") {
  /** The server of this run. For projects with `test/support/setup/redis.ts`. */
  static readonly shared: Layer.Layer<Redis, RedisFailed> = Layer.effect(
    Redis,
    Effect.gen(function* () {
      const node = inject("redis")
      const taken = yield* access(node, 0).command("INCR", "apium:tests:databases")
      const redis = access(node, Number(taken))
      yield* Effect.addFinalizer(() => Effect.ignore(redis.command("FLUSHDB")))
      return Redis.of(redis)
    })
  )

  static readonly layer = (options?: Options): Layer.Layer<Redis | RedisServer, CannotStart> =>
    Layer.effectContext(
      Effect.map(start(options), ({ node, server }) =>
        Context.make(Redis, access(node, 0)).pipe(Context.add(RedisServer, server))
      )
    )
}

/** The process of a server that belongs to one layer. */
export class RedisServer extends Context.Service<RedisServer, Server.Server>()("test/RedisServer") {}

export const start = ({ tls = false, password, appendfsync, config = [] }: Options = {}): Effect.Effect<
  { readonly node: Node; readonly server: Server.Server },
  CannotStart,
  Scope.Scope
> =>
  Effect.gen(function* () {
    yield* Commands.require({ "redis-server": "redis-server", "redis-cli": "redis-tools" })
    const folder = yield* Server.folder
    const port = yield* Ports.free
    const secured = tls ? { ...(yield* Certificates.make(folder)), port: yield* Ports.free } : undefined
    const server = yield* Server.start({
      command: [
        ...`redis-server --port ${port} --bind 127.0.0.1 --databases 4096 --dir`.split(" "),
        folder,
        "--save",
        "",
        ...(appendfsync === undefined ? [] : ["--appendonly", "yes", "--appendfsync", appendfsync]),
        ...(password === undefined ? [] : ["--requirepass", password]),
        ...(secured === undefined ? [] : tlsArguments(secured)),
        ...config
      ],
      ready: "Ready to accept connections"
    })
    return { node: { host: "127.0.0.1", port, tls: secured, password }, server }
  })

const tlsArguments = ({ authority, server, port }: Certificates.Certificates & { readonly port: number }) => [
  ...`--tls-port ${port} --tls-auth-clients optional --tls-ca-cert-file`.split(" "),
  authority,
  "--tls-cert-file",
  server.certificate,
  "--tls-key-file",
  server.key
]

/** `CLUSTER INFO` begins with `cluster_state:`, `INFO` with `# Server`, `CLIENT LIST` with `id=`. */
const report = /^(?:#|\w+[:=])/

export const access = (node: Node, database: number): Access => ({
  node,
  database,
  url: (port = node.port) =>
    `redis://${node.password === undefined ? "" : `:${encodeURIComponent(node.password)}@`}${node.host}:${port}/${database}`,
  command: (...args) =>
    Commands.run(
      [
        "redis-cli",
        "-e",
        "--json",
        "-h",
        node.host,
        "-p",
        String(node.port),
        "-n",
        String(database),
        ...args.map(String)
      ],
      { env: node.password === undefined ? {} : { REDISCLI_AUTH: node.password } }
    ).pipe(
      Effect.map((reply): unknown => (report.test(reply) ? reply : JSON.parse(reply))),
      Effect.mapError(({ message }) => new RedisFailed({ message: `${args[0]}: ${message}` }))
    )
})
