/** What all links of a broker share. */
import type { VirtualBroker } from "@apium/hub/virtual/VirtualBroker"
import type { Command } from "@apium/protocol/amqp/Command"
import type { Limits } from "@apium/protocol/amqp/Tune"
import type * as Latch from "effect/Latch"
import type { Profile } from "./profiles.ts"
import type { Reaction, Step } from "./Reaction.ts"
import type { ServerLink } from "./ServerLink.ts"

export interface Vhost {
  readonly name: string
  readonly broker: VirtualBroker
}

/** What a link asks of its broker. */
export interface Host {
  readonly profile: Profile
  readonly users: Readonly<Record<string, string>>
  readonly mechanisms: ReadonlyArray<string>
  readonly serverProperties: Readonly<Record<string, unknown>>
  readonly limits: Limits
  readonly maxMessageSize: number
  readonly now: () => number
  readonly vhost: (name: string) => Vhost | undefined
  readonly scripted: (step: Step, command?: Command) => Reaction | undefined
  readonly record: (link: ServerLink, command: Command) => void
  /** The reason for which publishers have to wait. */
  readonly alarm: () => string | undefined
  readonly calm: Latch.Latch
}
