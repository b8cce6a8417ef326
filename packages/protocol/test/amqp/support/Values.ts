/** Random tables, properties and methods, for codecs to compare. */
import type { Properties } from "@apium/protocol/amqp/BasicProperties"
import type * as Method from "@apium/protocol/amqp/Method"
import { Decimal } from "@apium/protocol/kombu/Json"
import { classes, type FieldType } from "../../../spec/methods.ts"
import type { Random } from "../../support/Random.ts"

export type Fields = Readonly<Record<string, unknown>>

/** What tables are made of. */
export interface Vocabulary {
  readonly leaf: (r: Random) => unknown
  readonly key: (r: Random) => string
}

const text = (r: Random, most: number): string =>
  Array.from({ length: r.below(most) }, () => r.pick(["a", "b", "-", "å", "値", "🐍", "\0", "9"])).join("")

const common: ReadonlyArray<(r: Random) => unknown> = [
  () => null,
  (r) => r.next() < 0.5,
  (r) => r.below(2 ** 31) * r.pick([1, -1, 0.001]) || 0,
  (r) => (r.next() - 0.5) * 10 ** -r.below(300) || 0,
  (r) => text(r, 20),
  (r) => text(r, 400)
]

const wide = (r: Random): bigint => BigInt.asIntN(64, BigInt(r.below(2 ** 32)) * 2n ** 32n + BigInt(r.below(2 ** 32)))

/** A number where it is exact, as it is read. */
const exact = (value: bigint): number | bigint => (Number.isSafeInteger(Number(value)) ? Number(value) : value)

const rest: ReadonlyArray<(r: Random) => unknown> = [
  (r) => exact(wide(r)),
  (r) => exact(wide(r) >> BigInt(r.below(40))),
  (r) => r.pick([Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, -0, 2 ** 60, -(2 ** 31), 2 ** 31]),
  // Not UTF-8: what is comes back as text, from both.
  (r) => Uint8Array.from({ length: 1 + r.below(40) }, (_, index) => (index === 0 ? 0xff : r.below(256))),
  // Python's years have four digits.
  (r) => new Date(r.below(253_402_300_000) * 1000),
  (r) => {
    const digits = String(r.below(2 ** 31)).padStart(10, "0")
    const scale = r.below(10)
    const whole = scale === 0 ? String(Number(digits)) : `${Number(digits.slice(0, -scale))}.${digits.slice(-scale)}`
    return new Decimal(Number(digits) > 0 && r.next() < 0.5 ? `-${whole}` : whole)
  }
]

/**
 * What amqplib can say, too. Not: bytes (it writes `x`), times and decimals (it has no plain value for them), integers beyond 32 bits (it cannot read the
 * `L` that Python and we write), a key `__proto__` (it sets the prototype).
 */
export const amqplib: Vocabulary = { leaf: (r) => r.pick(common)(r), key: (r) => text(r, 30) }

/** Everything that we write. */
export const all: Vocabulary = {
  leaf: (r) => r.pick([...common, ...rest])(r),
  key: (r) => (r.next() < 0.1 ? r.pick(["__proto__", "constructor", "prototype", "toString"]) : text(r, 30))
}

const value = (r: Random, words: Vocabulary, depth: number): unknown => {
  if (depth > 3 || r.next() < 0.75) return words.leaf(r)
  if (r.next() < 0.5) return Array.from({ length: r.below(5) }, () => value(r, words, depth + 1))
  return table(r, words, depth + 1)
}

export const table = (r: Random, words: Vocabulary, depth = 0): Fields =>
  Object.fromEntries(Array.from({ length: r.below(8) }, () => [words.key(r), value(r, words, depth)]))

const texts = [
  "contentType",
  "contentEncoding",
  "correlationId",
  "replyTo",
  "expiration",
  "messageId",
  "type",
  "userId",
  "appId",
  "clusterId"
] as const

export interface Content {
  readonly properties: Properties
  readonly headers: Fields | undefined
}

export const content = (r: Random, words: Vocabulary): Content => {
  const given = Object.fromEntries(texts.filter(() => r.next() < 0.4).map((name) => [name, text(r, 60)]))
  return {
    properties: {
      ...given,
      ...(r.next() < 0.5 ? { deliveryMode: r.pick(["transient", "persistent"] as const) } : {}),
      ...(r.next() < 0.5 ? { priority: r.below(256) } : {}),
      ...(r.next() < 0.5 ? { timestamp: new Date(r.below(2e9) * 1000) } : {})
    },
    headers: r.next() < 0.5 ? table(r, words) : undefined
  }
}

/** Those that were given: a message that was read has all of them. */
export const given = (properties: object): Fields =>
  Object.fromEntries(Object.entries(properties).filter(([, value]) => value !== undefined))

export interface Spec {
  readonly tag: Method.Method["_tag"]
  readonly classId: number
  readonly methodId: number
  /** The name is empty where it is reserved. */
  readonly fields: ReadonlyArray<{ readonly name: string; readonly type: FieldType }>
}

/** All methods, those of AMQP 0-8 last. */
export const specs: ReadonlyArray<Spec> = classes
  .flatMap((klass) =>
    klass.methods.map((spec) => ({
      tag: `${klass.name}.${spec.name}` as Spec["tag"],
      classId: klass.id,
      methodId: spec.id,
      fields: (spec.fields === "" ? [] : spec.fields.split(" ")).map((field) => {
        const [name, type] = field.split(":") as [string, FieldType]
        return { name, type }
      })
    }))
  )
  .toSorted((a, b) => Number(a.classId === 30) - Number(b.classId === 30))

const argument = (type: FieldType, r: Random, words: Vocabulary): unknown => {
  switch (type) {
    case "bit":
      return r.next() < 0.5
    case "octet":
      return r.below(256)
    case "short":
      return r.below(65_536)
    case "long":
      return r.below(2 ** 32)
    case "longlong":
      return r.below(2 ** 32) * r.below(2 ** 20)
    case "longbytes":
      return Uint8Array.from({ length: r.below(40) }, () => r.below(256))
    case "table":
      return table(r, words)
    default:
      return text(r, 60)
  }
}

export const method = (spec: Spec, r: Random, words: Vocabulary): Method.Method =>
  ({
    _tag: spec.tag,
    ...Object.fromEntries(
      spec.fields.filter(({ name }) => name !== "").map(({ name, type }) => [name, argument(type, r, words)])
    )
  }) as Method.Method
