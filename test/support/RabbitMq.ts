/**
 * A RabbitMQ of the tests' own: its ports, folder, epmd and cookie are nobody else's, and nothing of /etc/rabbitmq is read.
 *
 * ```text
 *   RabbitMq.shared            one node for all files of a run, started when a project needs it; each layer gets a virtual host of its own
 *   RabbitMq.layer(options)    a node for this layer alone, which a test may stop, kill, freeze and start again: `rabbit.server`
 * ```
 *
 * What a test does to a broker goes through `erl_call` into the node itself: 20 ms, where `rabbitmqctl` takes two seconds and the
 * management API shows what was true five seconds ago.
 */
import { Context, Data, Effect, Layer, type Scope } from "effect"
import { randomUUID } from "node:crypto"
import { chmodSync, mkdirSync, writeFileSync } from "node:fs"
import * as path from "node:path"
import { inject } from "vitest"
import * as Certificates from "./Certificates.ts"
import * as Commands from "./Commands.ts"
import * as Erlang from "./Erlang.ts"
import * as Ports from "./Ports.ts"
import type * as Process from "./Process.ts"
import * as Server from "./Server.ts"

/** Where a node is and how to get into it: plain data, which goes from vitest's own process to those of the tests. */
export interface Node {
  readonly host: string
  readonly port: number
  /** Port, and paths of what it takes. Clients with a certificate log in as `apium` by EXTERNAL. */
  readonly tls: (Certificates.Certificates & { readonly port: number }) | undefined
  /** The port of the management API, as guest, guest. */
  readonly management: number | undefined
  readonly name: string
  readonly env: Readonly<Record<string, string>>
}

declare module "vitest" {
  interface ProvidedContext {
    rabbitmq: Node
  }
}

export interface Options {
  readonly tls?: boolean
  readonly management?: boolean
  /** More lines of rabbitmq.conf. */
  readonly config?: ReadonlyArray<string>
  /** Arguments of Erlang's, such as `-rabbit channel_max 3`. */
  readonly erl?: string
}

export interface QueueState {
  readonly name: string
  readonly type: "classic" | "quorum" | "stream"
  readonly ready: number
  readonly unacked: number
  readonly consumers: number
}

export interface ConnectionState {
  readonly name: string
  readonly user: string
  readonly vhost: string
  readonly state: string
  readonly channels: number
  readonly heartbeat: number
}

export interface ConsumerState {
  readonly queue: string
  readonly tag: string
  readonly prefetch: number
  readonly ackRequired: boolean
}

export class RabbitMqFailed extends Data.TaggedError("RabbitMqFailed")<{ readonly message: string }> {}

type Asked<A> = Effect.Effect<A, RabbitMqFailed>

type CannotStart = Commands.CommandFailed | Commands.MissingCommand | Ports.NoPort | Process.Silent

interface Access {
  readonly node: Node
  readonly vhost: string
  /** `amqp://guest:guest@127.0.0.1:20001/vhost`; another port, as that of a `FaultProxy`, on request. */
  readonly url: (port?: number) => string
  /**
   * Closes all connections of the virtual host, as an administrator does: `connection.close` 320 with this text. How many there were. They
   * are gone by now, and listed no more; those of clients that stand still may take longer than the 10 s that it waits.
   */
  readonly closeConnections: (text?: string) => Asked<number>
  /** Of the whole node: with it, publishers are blocked. */
  readonly memoryAlarm: (on: boolean) => Asked<void>
  /**
   * Puts on disk what is declared. RabbitMQ 3 answers a declaration before it is there: a SIGKILL soon after may forget the queue (3 of 18
   * here; with this, 0 of 19), and with it the messages that it has confirmed. A quorum queue is on a list of Ra's as well, which is saved
   * every half second: one that is missing there is in RabbitMQ's own list, and never has a leader again.
   */
  readonly flush: Asked<void>
  /** Those of the virtual host. */
  readonly queues: Asked<ReadonlyArray<QueueState>>
  readonly connections: Asked<ReadonlyArray<ConnectionState>>
  readonly consumers: Asked<ReadonlyArray<ConsumerState>>
  /** With all permissions in the virtual host, if `may` does not say otherwise: patterns to configure, write and read. */
  readonly addUser: (
    name: string,
    password: string,
    may?: readonly [configure: string, write: string, read: string] | "nothing"
  ) => Effect.Effect<void, RabbitMqFailed, Scope.Scope>
  /** Removed when the scope closes, with what is in it. guest may do everything in it. */
  readonly addVhost: (name: string) => Effect.Effect<void, RabbitMqFailed, Scope.Scope>
  /** Runs Erlang in the node. The value of the last expression comes back through JSON. */
  readonly evaluate: (erlang: string) => Asked<unknown>
}

export class RabbitMq extends Context.Service<RabbitMq, Access>()("test/RabbitMq") {
  /** The node of this run, and a virtual host that is removed with the layer. For projects with `test/support/setup/rabbitmq.ts`. */
  static readonly shared: Layer.Layer<RabbitMq, RabbitMqFailed> = Layer.effect(
    RabbitMq,
    Effect.suspend(() => {
      const node = inject("rabbitmq")
      const vhost = `test-${randomUUID()}`
      return Effect.as(access(node, "/").addVhost(vhost), RabbitMq.of(access(node, vhost)))
    })
  )

  static readonly layer = (options?: Options): Layer.Layer<RabbitMq | RabbitMqServer, CannotStart> =>
    Layer.effectContext(
      Effect.map(start(options), ({ node, server }) =>
        Context.make(RabbitMq, access(node, "/")).pipe(Context.add(RabbitMqServer, server))
      )
    )
}

/** The process of a node that belongs to one layer. */
export class RabbitMqServer extends Context.Service<RabbitMqServer, Server.Server>()("test/RabbitMqServer") {}

const program = "/usr/lib/rabbitmq/bin/rabbitmq-server"

export const start = ({ tls = false, management = false, config = [], erl = "" }: Options = {}): Effect.Effect<
  { readonly node: Node; readonly server: Server.Server },
  CannotStart,
  Scope.Scope
> =>
  Effect.gen(function* () {
    yield* Commands.require({ [program]: "rabbitmq-server", erl_call: "erlang-base" })
    const folder = yield* Server.folder
    const [epmdPort, distPort, port] = [yield* Ports.free, yield* Ports.free, yield* Ports.free]
    const secured = tls ? { ...(yield* Certificates.make(folder)), port: yield* Ports.free } : undefined
    const managed = management ? yield* Ports.free : undefined
    const file = (name: string, ...lines: ReadonlyArray<string>) => {
      writeFileSync(path.join(folder, name), lines.map((line) => `${line}\n`).join(""))
      return path.join(folder, name)
    }
    const name = `apium-${port}@localhost`
    chmodSync(file(".erlang.cookie", "apium"), 0o400)
    mkdirSync(path.join(folder, "data"))
    const plugins = [managed && "rabbitmq_management", secured && "rabbitmq_auth_mechanism_ssl"].filter(Boolean)
    const env = {
      HOME: folder,
      ERL_CRASH_DUMP_SECONDS: "0",
      ERL_EPMD_PORT: String(epmdPort),
      ERL_EPMD_ADDRESS: "127.0.0.1",
      // With both, the script becomes the VM instead of staying as a shell above it: signals arrive.
      RABBITMQ_ALLOW_INPUT: "1",
      RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: `-noinput ${thrift} ${erl}`,
      RABBITMQ_NODENAME: name,
      RABBITMQ_DIST_PORT: String(distPort),
      RABBITMQ_MNESIA_BASE: path.join(folder, "data"),
      RABBITMQ_LOG_BASE: folder,
      RABBITMQ_LOGS: "-",
      RABBITMQ_PID_FILE: path.join(folder, "pid"),
      RABBITMQ_CONF_ENV_FILE: file("rabbitmq-env.conf"),
      // Fifteen seconds; rabbitmq.conf has no name for it.
      RABBITMQ_ADVANCED_CONFIG_FILE: file("advanced.config", "[{rabbit, [{channel_operation_timeout, 60000}]}]."),
      RABBITMQ_ENABLED_PLUGINS_FILE: file("enabled_plugins", `[${plugins.join(",")}].`),
      // Its name without the ending.
      RABBITMQ_CONFIG_FILE: file(
        "rabbitmq.conf",
        `listeners.tcp.1 = 127.0.0.1:${port}`,
        "log.console = true",
        // A small disk blocks publishers otherwise.
        "disk_free_limit.absolute = 50MB",
        `vm_memory_high_watermark.absolute = ${memory}`,
        // Ten and five seconds are a limit for a machine of its own.
        "handshake_timeout = 60000",
        ...(secured === undefined ? [] : ["ssl_handshake_timeout = 60000"]),
        ...(secured === undefined ? [] : tlsLines(secured)),
        ...(managed === undefined ? [] : ["management.tcp.ip = 127.0.0.1", `management.tcp.port = ${managed}`]),
        ...config
      ).replace(/\.conf$/, "")
    }
    // One of its own, and in the foreground: the one that Erlang would start outlives everything.
    yield* Server.start({ command: ["epmd", "-d"], env, ready: "epmd running" })
    const server = yield* Server.start({ command: [program], env, ready: "Server startup complete" })
    const node: Node = { host: "127.0.0.1", port, tls: secured, management: managed, name, env }
    if (secured !== undefined) yield* Effect.orDie(Effect.scoped(access(node, "/").evaluate(Erlang.externalUser)))
    return { node, server }
  })

const memory = 536_870_912

// Two schedulers that do not spin when idle: the machine's cores belong to the tests. Nobody else reaches the node.
const thrift = "+S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none -kernel inet_dist_use_interface {127,0,0,1}"

const tlsLines = ({ authority, server, port }: Certificates.Certificates & { readonly port: number }) => [
  `listeners.ssl.1 = 127.0.0.1:${port}`,
  `ssl_options.cacertfile = ${authority}`,
  `ssl_options.certfile = ${server.certificate}`,
  `ssl_options.keyfile = ${server.key}`,
  "ssl_options.verify = verify_peer",
  "ssl_options.fail_if_no_peer_cert = false",
  "auth_mechanisms.1 = PLAIN",
  "auth_mechanisms.2 = AMQPLAIN",
  "auth_mechanisms.3 = EXTERNAL",
  "ssl_cert_login_from = common_name"
]

export const access = (node: Node, vhost: string): Access => {
  const evaluate = (erlang: string): Asked<unknown> =>
    // Two callers of one name shut each other out, and its own random names (-r) are the same for a second.
    Commands.run(["erl_call", "-h", randomUUID(), "-c", "apium", "-n", node.name, "-e"], {
      env: node.env,
      input: Erlang.inJson(erlang)
    }).pipe(
      Effect.mapError(({ message }) => new RabbitMqFailed({ message })),
      Effect.flatMap((answer) => {
        const coded = /^\{ok, (".*"|\[.*\])\}$/.exec(answer.trim())?.[1]
        if (coded === undefined)
          return Effect.fail(new RabbitMqFailed({ message: `${node.name} did not do this:\n${erlang}\n${answer}` }))
        // Beyond 65,535 characters it prints their numbers.
        const text = JSON.parse(coded) as string | Array<number>
        const base64 = typeof text === "string" ? text : Buffer.from(text).toString("latin1")
        return Effect.succeed(JSON.parse(Buffer.from(base64, "base64").toString()) as unknown)
      })
    )
  const done = (erlang: string) => Effect.asVoid(evaluate(`${erlang}, ok`))
  /** Asks again: while it looks, a queue or a connection may go, and a quorum queue may have no leader yet. */
  const listed = <A>(erlang: string): Asked<ReadonlyArray<A>> =>
    evaluate(erlang).pipe(
      Effect.tapError(() => Server.real(50)),
      Effect.retry({ times: 40 })
    ) as Asked<ReadonlyArray<A>>
  const here = Erlang.text(vhost)
  return {
    node,
    vhost,
    evaluate,
    url: (port = node.port) => `amqp://guest:guest@${node.host}:${port}/${encodeURIComponent(vhost)}`,
    closeConnections: (why = "closed by a test") =>
      Effect.map(
        evaluate(`
          All = [Pid || [{pid, Pid}, {vhost, Host}] <- rabbit_networking:connection_info_all([pid, vhost]), Host =:= ${here}],
          Ends = [monitor(process, Pid) || Pid <- All],
          [(catch rabbit_networking:close_connection(Pid, ${Erlang.text(why)})) || Pid <- All],
          [receive {'DOWN', End, _, _, _} -> ok after 10000 -> ok end || End <- Ends],
          length(All)`),
        Number
      ),
    memoryAlarm: (on) =>
      done(`vm_memory_monitor:set_vm_memory_high_watermark(${on ? "0.00001" : `{absolute, ${memory}}`})`),
    flush: done("ok = mnesia:sync_log(), [ok = dets:sync(Table) || Table <- dets:all()]"),
    queues: listed<QueueState>(Erlang.queuesOf(here)),
    connections: listed<ConnectionState>(`
      [(maps:without([timeout], maps:from_list(C)))#{heartbeat => proplists:get_value(timeout, C)}
        || C <- rabbit_networking:connection_info_all([name, user, vhost, state, channels, timeout]),
           proplists:get_value(vhost, C) =:= ${here}]`),
    consumers: listed<ConsumerState>(`
      [#{queue => element(4, proplists:get_value(queue_name, C)),
         tag => proplists:get_value(consumer_tag, C),
         prefetch => proplists:get_value(prefetch_count, C),
         ackRequired => proplists:get_value(ack_required, C)}
        || C <- rabbit_amqqueue:consumers_all(${here})]`),
    addUser: (name, password, may = [".*", ".*", ".*"]) =>
      Effect.acquireRelease(
        done(
          [
            `rabbit_auth_backend_internal:add_user(${Erlang.text(name)}, ${Erlang.text(password)}, ${Erlang.self})`,
            ...(may === "nothing" ? [] : [Erlang.permit(name, vhost, may)])
          ].join(", ")
        ),
        () => Effect.ignore(done(`rabbit_auth_backend_internal:delete_user(${Erlang.text(name)}, ${Erlang.self})`))
      ),
    addVhost: (name) =>
      Effect.acquireRelease(
        done(
          `rabbit_vhost:add(${Erlang.text(name)}, ${Erlang.self}), ${Erlang.permit("guest", name, [".*", ".*", ".*"])}`
        ),
        () => Effect.ignore(done(`rabbit_vhost:delete(${Erlang.text(name)}, ${Erlang.self})`))
      )
  }
}
