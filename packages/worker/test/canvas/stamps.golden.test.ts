/** What stamps each task of a canvas has, against what real Celery 5.6.2 put there (`fixtures/stamps.py` recorded it). */
import * as Wire from "@apium/protocol/celery/Signature"
import type { KombuJson } from "@apium/protocol/kombu/Json"
import * as Stamps from "@apium/worker/client/Stamps"
import { assert, describe, it } from "@effect/vitest"
import * as fs from "node:fs"

interface Case {
  readonly canvas: string
  readonly visitor?: string
  readonly stamps?: ReadonlyArray<Stamps.Headers>
  readonly append: boolean
  readonly stamped: Readonly<Record<string, Readonly<Record<string, KombuJson>>>>
}

const { cases, signatures } = JSON.parse(
  fs.readFileSync(new URL("../fixtures/stamps.json", import.meta.url), "utf8")
) as { readonly signatures: Readonly<Record<string, unknown>>; readonly cases: ReadonlyArray<Case> }

const visitors: Readonly<Record<string, (name: string) => Stamps.Headers>> = {
  true: (name) => ({ [name]: true }),
  "a text": (name) => ({ [name]: `of ${name}` }),
  "a list": (name) => ({ [name]: [name, 1] }),
  "an object": (name) => ({ [name]: { of: name } }),
  "one stamp for all": (name) => ({ by: name }),
  "one list for all": (name) => ({ by: [name] }),
  "an option besides": (name) => ({ [name]: 1, other: "o", stampedHeaders: [name] })
}

const visitor = (value: (name: string) => Stamps.Headers): Stamps.Visitor => ({
  onSignature: () => value("on_signature"),
  onGroupStart: () => value("on_group_start"),
  onChainStart: () => value("on_chain_start"),
  // As Python's visitor that asks its base class first.
  onChordHeaderStart: () => ({ ...value("on_group_start"), ...value("on_chord_header_start") }),
  onChordBody: () => value("on_chord_body"),
  onCallback: () => value("on_callback"),
  onErrback: () => value("on_errback")
})

/** Of each task its options, without links. */
const stampedIn = (value: unknown, found: Record<string, unknown> = {}): Record<string, unknown> => {
  if (typeof value !== "object" || value === null) return found
  if ("task" in value && "options" in value) {
    const { link: _, link_error: _errbacks, ...options } = value.options as Record<string, unknown>
    if (Array.isArray(options.stamped_headers)) {
      found[String(value.task)] = {
        ...options,
        stamped_headers: (options.stamped_headers as ReadonlyArray<string>).toSorted()
      }
    }
  }
  for (const inner of Object.values(value)) stampedIn(inner, found)
  return found
}

describe("stamps are those of Celery", () => {
  const titled = cases.map((one) => ({
    title: `${one.canvas}, ${one.visitor ?? JSON.stringify(one.stamps)}${one.append ? ", appended" : ""}`,
    one
  }))
  it.each(titled)("$title", ({ one: { append, canvas, stamped, stamps = [], visitor: name } }) => {
    const options = { appendStamps: append }
    const given = name === undefined ? stamps : [visitor(visitors[name]!)]
    const signature = given.reduce<Wire.Signature>(
      (before, one) => Stamps.stampUnsafe(before, one, options),
      Wire.decodeUnsafe(signatures[canvas])
    )
    assert.deepStrictEqual(stampedIn(Wire.encode(signature)), stamped)
  })
})
