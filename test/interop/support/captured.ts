/** What Celery 5.6.3 was recorded to send, octet by octet, and what comes of it. */
import type { KombuJson } from "@apium/protocol/kombu/Json"
import * as Captures from "../../../packages/protocol/test/support/Captures.ts"

export type Fields = Readonly<Record<string, unknown>>

export const records = (value: unknown): ReadonlyArray<Fields> => (Array.isArray(value) ? (value as Array<Fields>) : [])

/** Where Celery's client looks for the result: one id, or those of a group. */
export const idsOf = (tuple: unknown): string | ReadonlyArray<unknown> => {
  const [[id], children] = tuple as [[string], ReadonlyArray<unknown> | null]
  return children === null ? id : children.map(idsOf)
}

export const fixture = (name: string) => Captures.fixture(name) as Fields

export const capture = (transport: "amqp" | "redis", name: string) => fixture(`5.6.3/tasks-${transport}/${name}.json`)

/** `echoes`: what it was called with. */
export type End = { readonly result: KombuJson } | { readonly failure: string } | "echoes"

const sum = { result: 4 }
const value = (result: KombuJson): End => ({ result })
const echoes = "echoes"
const written = value({ args: [1, "å", null, 2.5], kwargs: { k: [1] } })
const compressed = value({ args: ["z".repeat(300)], kwargs: {} })

/** The members of a header whose body the client waits for: they are counted, and whoever sent them has said how many they are. */
export const headerOf = (tuple: unknown): readonly [group: string, size: number] | undefined => {
  const [[, parent]] = tuple as [[string, unknown]]
  const [[group], members] = (parent ?? [[], null]) as [[string], ReadonlyArray<unknown> | null]
  return members === null ? undefined : [group, members.length]
}

/**
 * By the name of the capture: the result of what its client waits for. Left out are those that nobody waits for (a route to an exchange of their own, a
 * result that is ignored, or in a backend that is none or `rpc://`), that are not due before 2031, and whose body was not kept.
 */
export const ends: Readonly<Record<string, End>> = {
  argsrepr: sum,
  chain3: value(16),
  chain3_pipe_link_error: value(16),
  chain_group_task: value(12),
  chain_task_chord: value(10),
  chain_with_group: value([8, 12]),
  chord: value(6),
  chord_chains: value(13),
  chord_empty_header: value(0),
  chord_link_error: { failure: "ChordError" },
  compression_bzip2: compressed,
  compression_gzip: compressed,
  compression_lzma: { failure: "ContentDisallowed" },
  compression_zlib: compressed,
  countdown: sum,
  custom_headers: sum,
  delay: sum,
  eta_no_utc: sum,
  expires_datetime: sum,
  expires_seconds: { failure: "TaskRevokedError" },
  group: value([0, 2, 4]),
  group_nested: value([2, 4, 10]),
  json_numbers: echoes,
  json_types: echoes,
  kwargs: echoes,
  link: sum,
  link_and_link_error: sum,
  link_error: { failure: "ValueError" },
  map: value([3, 3]),
  priority: sum,
  priority_0: sum,
  priority_queue: sum,
  protocol_v1: sum,
  protocol_v1_chord: value(6),
  quorum_default: sum,
  reply_to_correlation: sum,
  route_queue: sum,
  send_task: value(3),
  serializer_msgpack: written,
  serializer_pickle: { failure: "ContentDisallowed" },
  serializer_yaml: written,
  shadow: sum,
  stamped_kwargs_chain: sum,
  stamped_visitor: sum,
  starmap_chunks: value([
    [0, 2],
    [4, 6]
  ]),
  time_limits: sum,
  transient: sum,
  unicode: echoes
}
