/**
 * A broker of AMQP 0-9-1 in the memory of this process, for tests: a real server on the wire, made of the same codec as the client,
 * with the hub's embedded broker behind it. It can be told to refuse, to be slow, to fall silent, to send nonsense and to go away, at
 * any method, and shows what it was sent.
 *
 * ```ts
 * const fake = yield* FakeBroker.make({ profile: "strict43" })
 * fake.on("queue.declare", FakeBroker.first(1, FakeBroker.cut))
 * const program = myService.pipe(Effect.provide(AmqpTransport.layer("amqp://localhost//", fake.dial)))
 * ```
 *
 * What it does not do: keep anything, bound a queue's length, and drop a queue that nobody uses (`x-expires`). There are no transactions (540), no policies, and queues of
 * type `quorum` and `stream` are declared as such and behave as classic ones.
 */
import { Transport } from "@apium/hub/Transport"
import * as Exchange from "@apium/hub/Exchange"
import * as MemoryStore from "@apium/hub/memory/MemoryStore"
import * as VirtualBroker from "@apium/hub/virtual/VirtualBroker"
import type { StoredMessage } from "@apium/hub/virtual/VirtualStore"
import * as AmqpUri from "@apium/protocol/amqp/AmqpUri"
import type { Command } from "@apium/protocol/amqp/Command"
import * as Tune from "@apium/protocol/amqp/Tune"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import * as Latch from "effect/Latch"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import * as Scope from "effect/Scope"
import type * as Socket from "effect/socket/Socket"
import * as AmqpTransport from "../AmqpTransport.ts"
import { serverProperties } from "../internal/fake/Handshake.ts"
import { pair } from "../internal/fake/pipe.ts"
import { type ProfileName, profiles } from "../internal/fake/profiles.ts"
import { type Script, Scripted, type ScriptOf, type Step } from "../internal/fake/Reaction.ts"
import type { Host, Vhost } from "../internal/fake/Host.ts"
import { ServerLink } from "../internal/fake/ServerLink.ts"

export { answer, cut, delay, first, refuse, send, silence } from "../internal/fake/Reaction.ts"
export type { Reaction, Script, ScriptOf, Step } from "../internal/fake/Reaction.ts"
export type { ProfileName } from "../internal/fake/profiles.ts"

export interface Options {
  /** Whose habits it has: RabbitMQ 3.10 (the default), or 4.3, which refuses more. */
  readonly profile?: ProfileName | undefined
  /** Passwords by name. Default `guest`, `guest`. */
  readonly users?: Readonly<Record<string, string>> | undefined
  /** Default `/`. */
  readonly vhosts?: ReadonlyArray<string> | undefined
  /** What `connection.tune` offers, 0 for no limit; the heartbeat in seconds. Default RabbitMQ's: 2047, 131072, 60. */
  readonly limits?: Partial<Tune.Limits> | undefined
  /** Octets of a body; a larger one closes its channel (406). Default the profile's: 128 MiB, or 16. */
  readonly maxMessageSize?: number | undefined
  /** Of SASL, as they are offered. Default PLAIN and AMQPLAIN. EXTERNAL and ANONYMOUS let everybody in, as `guest`. */
  readonly mechanisms?: ReadonlyArray<string> | undefined
  /** Beside, or in place of, RabbitMQ's. */
  readonly serverProperties?: Readonly<Record<string, unknown>> | undefined
  readonly script?: Script | undefined
  /** How many commands `received` keeps, the newest. Default 0: none. */
  readonly record?: number | undefined
}

/** A client that is connected. */
export interface FakeConnection {
  /** 1 is the first that ever came. */
  readonly id: number
  /** `opening` before `connection.open-ok`, `closing` once one side has said goodbye. */
  readonly state: "opening" | "running" | "closing"
  readonly user: string
  readonly clientProperties: Readonly<Record<string, unknown>>
  /** What was agreed on; zeros before. */
  readonly limits: Tune.Limits
  /** The numbers of those that are open. */
  readonly channels: ReadonlyArray<number>
  /** Ends the socket without a word. */
  readonly cut: Effect.Effect<void>
  readonly close: (replyCode: number, replyText: string) => Effect.Effect<void>
  readonly closeChannel: (id: number, replyCode: number, replyText: string) => Effect.Effect<void>
  /** Octets of any kind, behind what was sent before. */
  readonly send: (octets: Uint8Array) => Effect.Effect<void>
}

/** What a client has sent. Responses to a login are left out. */
export interface Received extends Command {
  /** {@link FakeConnection.id}. */
  readonly connection: number
}

export class FakeBroker extends Context.Service<
  FakeBroker,
  {
    /** Opens a link to it, whatever the URL's host. */
    readonly dial: AmqpTransport.Dial
    /** Serves a socket that somebody else has accepted, to its end: for clients over TCP. */
    readonly serve: (socket: Socket.Socket) => Effect.Effect<void>
    readonly connections: () => ReadonlyArray<FakeConnection>
    /** The newest {@link Options.record} commands of all connections, in order. */
    readonly received: () => ReadonlyArray<Received>
    /** Sets what is done at this step from now on; `undefined` is what a broker does. */
    readonly on: <S extends Step>(step: S, does: ScriptOf<S> | undefined) => void
    /** As at a memory alarm: `connection.blocked` to all, and nothing more is read of who publishes. */
    readonly block: (reason: string) => Effect.Effect<void>
    readonly unblock: Effect.Effect<void>
    /** Ends all links without a word. */
    readonly cut: Effect.Effect<void>
    /** Says goodbye to all, as `rabbitmqctl close_all_connections` does. Default 320, CONNECTION_FORCED. */
    readonly closeConnections: (replyCode?: number, replyText?: string) => Effect.Effect<void>
  }
>()("@apium/transport-amqp/testing/FakeBroker") {}

const predeclared = [
  Exchange.direct("amq.direct"),
  Exchange.topic("amq.topic"),
  Exchange.fanout("amq.fanout"),
  Exchange.headers("amq.headers"),
  Exchange.headers("amq.match")
]

/** What expires in a queue is dead-lettered when its time has come, though nobody takes it: delayed delivery is made of that. */
const brokerOf = Effect.gen(function* () {
  const expired = yield* Queue.unbounded<StoredMessage>()
  const store = yield* MemoryStore.makeWith({ onExpired: (stored) => void Queue.offerUnsafe(expired, stored) })
  const broker = VirtualBroker.make(store, predeclared)
  yield* Effect.forkScoped(
    Effect.forever(Effect.flatMap(Queue.take(expired), (stored) => Effect.ignore(broker.discard(stored, "expired"))))
  )
  return broker
})

/** A broker that lives as long as the scope, and its links with it. */
export const make = (options: Options = {}): Effect.Effect<FakeBroker["Service"], never, Scope.Scope> =>
  Effect.gen(function* () {
    const clock = yield* Clock.Clock
    // Links made later than something that uses them end after it all the same.
    const scope = yield* Scope.fork(yield* Effect.scope)
    const profile = profiles[options.profile ?? "3.10"]
    const vhosts = new Map<string, Vhost>()
    for (const name of options.vhosts ?? ["/"]) vhosts.set(name, { name, broker: yield* brokerOf })
    const scripted = new Scripted(options.script ?? {})
    const links = new Set<ServerLink>()
    const calm = Latch.makeUnsafe(true)
    const keep = options.record ?? 0
    let record: Array<Received> = []
    let alarm: string | undefined
    let ids = 0

    const host: Host = {
      profile,
      users: options.users ?? { guest: "guest" },
      mechanisms: options.mechanisms ?? ["PLAIN", "AMQPLAIN"],
      serverProperties: { ...serverProperties(profile.version), ...options.serverProperties },
      limits: { ...Tune.rabbitmq, ...options.limits },
      maxMessageSize: options.maxMessageSize ?? profile.maxMessageSize,
      now: () => Number(clock.monotonicTimeNanosUnsafe() / 1_000_000n),
      vhost: (name) => vhosts.get(name),
      scripted: (step, command) => scripted.at(step, command?.method, command?.channel, command?.content),
      record: (link, command) => {
        if (keep === 0) return
        record.push({ ...command, method: withoutSecret(command.method), connection: link.id })
        // Rarely, for what is left is moved.
        if (record.length >= 2 * keep) record = record.slice(-keep)
      },
      alarm: () => alarm,
      calm
    }

    const serve = (socket: Socket.Socket): Effect.Effect<void> =>
      Effect.suspend(() => {
        const link = new ServerLink(host, ++ids)
        links.add(link)
        return Effect.ensuring(
          link.run(socket),
          Effect.sync(() => links.delete(link))
        )
      })

    const all = (work: (link: ServerLink) => Effect.Effect<void>): Effect.Effect<void> =>
      Effect.suspend(() => Effect.forEach([...links], work, { discard: true }))

    const sound = (reason: string | undefined): Effect.Effect<void> =>
      Effect.suspend(() => {
        alarm = reason
        if (reason === undefined) calm.openUnsafe()
        else calm.closeUnsafe()
        return all(({ handshake }) => Effect.sync(() => handshake.blocked(reason)))
      })

    return FakeBroker.of({
      dial: () =>
        Effect.suspend(() => {
          const [client, server] = pair()
          return Effect.as(Effect.forkIn(serve(server), scope), client)
        }),
      serve,
      connections: () => [...links].map(shown),
      received: () => record.slice(-keep),
      on: (step, does) => scripted.set(step, does as never),
      block: sound,
      unblock: sound(undefined),
      cut: all(({ cut }) => cut),
      closeConnections: (
        replyCode = 320,
        replyText = "CONNECTION_FORCED - Closed via management plugin or command line"
      ) => all((link) => link.close(replyCode, replyText))
    })
  })

const shown = (link: ServerLink): FakeConnection => ({
  id: link.id,
  state: link.state,
  user: link.user,
  clientProperties: link.handshake.clientProperties,
  limits: link.handshake.limits,
  channels: [...link.channels.keys()],
  cut: link.cut,
  close: (replyCode, replyText) => link.close(replyCode, replyText),
  closeChannel: (id, replyCode, replyText) => link.closeChannel(id, replyCode, replyText),
  send: (octets) => link.raw(octets)
})

const withoutSecret = (method: Command["method"]): Command["method"] => {
  const nothing = new Uint8Array(0)
  if ("response" in method) return { ...method, response: nothing }
  return "newSecret" in method ? { ...method, newSecret: nothing } : method
}

/** The broker, and a transport that is connected to it. */
export const layer = (
  options: Options & {
    /** User, vhost, heartbeat and so on; where its host is does not matter. Default `amqp://guest:guest@localhost//`. */
    readonly url?: string | undefined
    readonly transport?: AmqpTransport.Options | undefined
  } = {}
): Layer.Layer<FakeBroker | Transport, AmqpUri.InvalidUri> =>
  Layer.effectContext(
    Effect.gen(function* () {
      const uris = AmqpUri.parseAll(options.url ?? "amqp://guest:guest@localhost//")
      if (Result.isFailure(uris)) return yield* uris.failure
      const fake = yield* make(options)
      const transport = AmqpTransport.make(uris.success, fake.dial, options.transport)
      return Context.make(FakeBroker, fake).pipe(Context.add(Transport, transport))
    })
  )
