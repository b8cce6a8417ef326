/**
 * How a connection begins, and what else is said on channel 0, in RabbitMQ's order and words (`rabbit_reader.erl`):
 *
 * ```text
 *   header ─▶ start ─▶ start-ok ─▶ tune ─▶ tune-ok, open ─▶ open-ok
 * ```
 */
import type { HubError } from "@apium/hub/HubError"
import * as Constants from "@apium/protocol/amqp/Constants"
import * as Method from "@apium/protocol/amqp/Method"
import * as Sasl from "@apium/protocol/amqp/Sasl"
import * as Tune from "@apium/protocol/amqp/Tune"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Scope from "effect/Scope"
import { refuse } from "./profiles.ts"
import { ServerChannel } from "./ServerChannel.ts"
import type { ServerLink } from "./ServerLink.ts"

/** As `connection.start` has it in front of what the options say. */
export const serverProperties = (version: string): Readonly<Record<string, unknown>> => ({
  product: "RabbitMQ",
  version,
  platform: "Apium FakeBroker",
  capabilities: {
    publisher_confirms: true,
    exchange_exchange_bindings: true,
    "basic.nack": true,
    consumer_cancel_notify: true,
    "connection.blocked": true,
    consumer_priorities: true,
    authentication_failure_close: true,
    per_consumer_qos: true,
    direct_reply_to: true
  }
})

export class Handshake {
  state: "header" | "starting" | "tuning" | "opening" | "open" = "header"
  /** The client speaks something else. */
  refused = false
  clientProperties: Readonly<Record<string, unknown>> = {}
  limits: Tune.Limits = { channelMax: 0, frameMax: 0, heartbeat: 0 }
  readonly #link: ServerLink
  readonly #header: Array<number> = []

  constructor(link: ServerLink) {
    this.#link = link
  }

  /** Takes the eight octets that come before all frames; what is behind them. */
  header(chunk: Uint8Array): Uint8Array {
    const expected = Constants.protocolHeader
    let at = 0
    while (at < chunk.length && this.#header.length < expected.length) {
      const octet = chunk[at++]!
      if (octet !== expected[this.#header.length]) this.refused = true
      this.#header.push(octet)
    }
    return this.refused ? chunk.subarray(chunk.length) : chunk.subarray(at)
  }

  /** The header is whole. */
  get greeted(): boolean {
    return this.#header.length === Constants.protocolHeader.length
  }

  start(): void {
    const { mechanisms, serverProperties } = this.#link.host
    this.#link.send(
      0,
      Method.connectionStart({
        versionMajor: 0,
        versionMinor: 9,
        serverProperties,
        mechanisms: mechanisms.join(" "),
        locales: "en_US"
      })
    )
  }

  /** What is said on channel 0. */
  handle(method: Method.Method): Effect.Effect<void, HubError> {
    const { state } = this
    if (method._tag === "connection.close") {
      return Effect.map(this.#link.end, () => this.#link.send(0, Method.connectionCloseOk))
    }
    if (method._tag === "connection.start-ok" && state === "starting") return this.#login(method)
    if (method._tag === "connection.tune-ok" && state === "tuning") return this.#tuned(method)
    if (method._tag === "connection.open" && state === "opening") return this.#open(method)
    if (method._tag === "connection.update-secret" && state === "open") {
      return Effect.sync(() => this.#link.send(0, Method.connectionUpdateSecretOk))
    }
    // A client has no word for that; RabbitMQ reads both and does nothing.
    if (method._tag === "connection.blocked" || method._tag === "connection.unblocked") return Effect.void
    return this.unexpected(method)
  }

  unexpected(method: Method.Method): Effect.Effect<never, HubError> {
    return this.channelError(method, `unexpected method in connection state ${this.state}`)
  }

  channelError(method: Method.Method, text: string): Effect.Effect<never, HubError> {
    return refuse(method._tag, Constants.channelError, text)
  }

  #login(method: Method.ConnectionStartOk): Effect.Effect<void, HubError> {
    const { host } = this.#link
    const { mechanism } = method
    this.clientProperties = method.clientProperties
    if (!host.mechanisms.includes(mechanism)) {
      return refuse(method._tag, Constants.commandInvalid, `unknown authentication mechanism '${mechanism}'`)
    }
    const named = Sasl.identify(mechanism as Sasl.Mechanism, method.response)
    const credentials = Result.isSuccess(named) ? named.success : undefined
    const known =
      Result.isSuccess(named) &&
      (credentials === undefined || host.users[credentials.username] === Redacted.value(credentials.password))
    if (!known) {
      // RabbitMQ closes the socket alone where the client does not know what the method would mean.
      if (!this.#link.can("authentication_failure_close")) return this.#link.cut
      const text = `Login was refused using authentication mechanism ${mechanism}. For details see the broker logfile.`
      return refuse(method._tag, Constants.accessRefused, text)
    }
    this.#link.user = credentials?.username ?? "guest"
    this.state = "tuning"
    return Effect.sync(() => this.#link.send(0, Method.connectionTune(host.limits)))
  }

  #tuned(answered: Method.ConnectionTuneOk): Effect.Effect<void, HubError> {
    const { host } = this.#link
    const accepted = Tune.accept(host.limits, answered, host.profile.frameMin)
    if (Result.isFailure(accepted)) return refuse("connection.tune", Constants.notAllowed, accepted.failure.message)
    const { channelMax, frameMax, heartbeat } = answered
    this.state = "opening"
    this.#link.tune({ channelMax, frameMax, heartbeat })
    return heartbeat === 0 ? Effect.void : Effect.asVoid(Effect.forkIn(watch(this.#link), this.#link.scope))
  }

  #open(method: Method.ConnectionOpen): Effect.Effect<void, HubError> {
    const { host } = this.#link
    const vhost = host.vhost(method.virtualHost)
    if (vhost === undefined) return refuse(method._tag, Constants.notAllowed, `vhost ${method.virtualHost} not found`)
    return Effect.sync(() => {
      this.state = "open"
      this.#link.vhost = vhost
      this.#link.state = "running"
      this.#link.send(0, Method.connectionOpenOk)
      const reason = host.alarm()
      if (reason !== undefined) this.blocked(reason)
    })
  }

  /** `undefined`: publishers may go on. */
  blocked(reason: string | undefined): void {
    if (this.#link.state !== "running" || !this.#link.can("connection.blocked")) return
    this.#link.send(0, reason === undefined ? Method.connectionUnblocked : Method.connectionBlocked({ reason }))
  }

  openChannel(id: number, method: Method.Method): Effect.Effect<void, HubError> {
    if (method._tag === "channel.close") return Effect.sync(() => this.#link.send(id, Method.channelCloseOk))
    // The answer to a close of ours that crossed the client's.
    if (method._tag === "channel.close-ok") return Effect.void
    if (method._tag !== "channel.open") return this.channelError(method, "expected 'channel.open'")
    const { channelMax } = this.limits
    if (channelMax !== 0 && id > channelMax) {
      const text = `number of channels opened (${id}) has reached the negotiated channel_max (${channelMax})`
      return refuse(method._tag, Constants.notAllowed, text)
    }
    return Effect.map(Scope.fork(this.#link.scope), (scope) => {
      this.#link.channels.set(id, new ServerChannel(this.#link, id, scope))
      this.#link.send(id, Method.channelOpenOk)
    })
  }
}

/** Heartbeats when half a period went by in silence; a client that says nothing for two is cut off (`rabbit_heartbeat.erl`). */
const watch = (link: ServerLink): Effect.Effect<never> => {
  const { outbox } = link
  const period = link.handshake.limits.heartbeat * 1000
  return Effect.forever(
    Effect.suspend(() => {
      const now = link.host.now()
      if (!link.paused && now - link.lastReceived >= 2 * period) return link.cut
      if (now - outbox.lastSent >= period / 2) {
        outbox.frames.heartbeat()
        outbox.wake()
      }
      return Effect.sleep(period / 2)
    })
  )
}
