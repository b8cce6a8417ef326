/**
 * Who has answered, by its own word. Behind the address of a Redis there may be a replica, a node of a Cluster or a Sentinel: they take a
 * connection, and refuse what is asked of it later, each in its own words.
 */
import { ConnectionLost, fail, type HubError, ProtocolMismatch } from "@apium/hub/HubError"
import * as Effect from "effect/Effect"
import type * as Redis from "effect/persistence/Redis"

/** `HELLO` as a map of RESP3, or as RESP2 has it: names and values in turn. */
const fieldsOf = (hello: unknown): Readonly<Record<string, unknown>> => {
  if (!Array.isArray(hello)) return Object(hello) as Readonly<Record<string, unknown>>
  return Object.fromEntries(hello.flatMap((name, at) => (at % 2 === 0 ? [[String(name), hello[at + 1]]] : [])))
}

export type Mode = "standalone" | "sentinel" | "cluster"

const found: Readonly<Record<Mode, (where: string) => string>> = {
  standalone: (where) => `a Redis that stands alone at ${where}, whose URL is redis://`,
  sentinel: (where) => `a Sentinel at ${where}, whose URL is sentinel://`,
  cluster: (where) => `a node of a Cluster at ${where}, whose URL is redis+cluster://`
}

type Send = Redis.Redis["Service"]["send"]

// Whoever falls silent here is found out by those who watch the link. One older than 6.0 does not say.
const hello = (send: Send): Effect.Effect<Readonly<Record<string, unknown>>> =>
  Effect.map(
    Effect.orElseSucceed(Effect.timeout(send("HELLO"), "5 seconds"), () => undefined),
    fieldsOf
  )

const ofMode = (
  { mode }: Readonly<Record<string, unknown>>,
  where: string,
  wanted: Mode
): Effect.Effect<void, HubError> =>
  mode !== wanted && typeof mode === "string" && Object.hasOwn(found, mode)
    ? fail(new ProtocolMismatch({ offered: found[mode as Mode](where) }))
    : Effect.void

/** Fails when it is something else. */
export const expect = (send: Send, where: string, wanted: Mode): Effect.Effect<void, HubError> =>
  Effect.flatMap(hello(send), (said) => ofMode(said, where, wanted))

/** Fails when it is something else, or a replica. */
export const expectMaster = (send: Send, where: string, wanted: Mode): Effect.Effect<void, HubError> =>
  Effect.flatMap(hello(send), (said) =>
    Effect.andThen(
      ofMode(said, where, wanted),
      said["role"] === "replica" || said["role"] === "slave"
        ? // A failover may make it a master: asking again can help.
          fail(
            new ConnectionLost({
              cause: "unreachable",
              text: `${where} is a replica, which takes no messages; name its master, or the sentinels that know it (sentinel://)`
            })
          )
        : Effect.void
    )
  )
