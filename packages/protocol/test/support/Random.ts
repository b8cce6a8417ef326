/** Values from a seed: the same seed gives the same value, so that a failing property names its case. */
import { Decimal, type KombuJson, LocalDate, LocalTime, PyDateTime, Uuid } from "@apium/protocol/kombu/Json"

export interface Random {
  /** 0 to 1. */
  readonly next: () => number
  /** 0 to below `limit`. */
  readonly below: (limit: number) => number
  readonly pick: <A>(items: ReadonlyArray<A>) => A
}

/** Mulberry32. */
export const random = (seed: number): Random => {
  let state = seed >>> 0
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
  const below = (limit: number): number => Math.floor(next() * limit)
  return { next, below, pick: (items) => items[below(items.length)]! }
}

const texts = [
  "",
  "a",
  "å値🐍",
  "\u2028\u0000\"\\'",
  "__proto__",
  "constructor",
  "NaN",
  "1e5",
  "line\nline",
  "\ud800",
  "- - x",
  "yes"
]

const leaf = (r: Random): KombuJson => {
  switch (r.below(15)) {
    case 0:
      return null
    case 1:
      return r.next() < 0.5
    case 2:
      return r.below(2_000_000) - 1_000_000
    case 3:
      return r.next() * 10 ** (r.below(600) - 300)
    case 4:
      return r.pick([Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY])
    case 5:
      return BigInt(Number.MAX_SAFE_INTEGER) + BigInt(1 + r.below(1e9)) ** BigInt(1 + r.below(20))
    case 6:
      return -(2n ** BigInt(54 + r.below(500)))
    case 7:
      return new Date(r.below(4e12))
    case 8:
      return Uint8Array.from({ length: r.below(40) }, () => r.below(256))
    case 9:
      return new TextEncoder().encode(r.pick(["", "plain", "å値"]))
    case 10:
      return new PyDateTime(r.pick(["2031-05-06T07:08:09", "2031-05-06T07:08:09.123456+02:00"]))
    case 11:
      return r.pick([new LocalDate("2031-05-06"), new LocalTime("07:08:09.000001")])
    case 12:
      return r.pick([new Decimal("10.20"), new Decimal("-1E+400"), new Uuid("12345678-1234-5678-abcd-ef0123456789")])
    default:
      return r.pick(texts)
  }
}

/** A tree of everything that kombu's JSON can hold. */
export const kombuJson = (r: Random, depth = 4): KombuJson => {
  const kind = depth === 0 ? 0 : r.below(4)
  if (kind === 1) return Array.from({ length: r.below(4) }, () => kombuJson(r, depth - 1))
  if (kind === 2)
    return Object.fromEntries(Array.from({ length: r.below(4) }, () => [r.pick(texts), kombuJson(r, depth - 1)]))
  return leaf(r)
}

const strangers: ReadonlyArray<unknown> = [
  undefined,
  null,
  0,
  -1,
  1.5,
  Number.NaN,
  2n ** 70n,
  "",
  "text",
  "2031-99-99",
  true,
  [],
  [1],
  [null, null, null],
  [[], [], []],
  {},
  { task: 1 },
  { id: "x", task: "t" },
  JSON.parse('{"__proto__": {"polluted": true}}'),
  new Uint8Array(3),
  new Date(Number.NaN),
  Symbol.iterator,
  () => 1,
  new Map()
]

/** A copy of `value` in which one place holds something else, is gone, or is there twice. */
export const mutate = (r: Random, value: unknown): unknown => {
  if (r.next() < 0.15 || typeof value !== "object" || value === null) return r.pick(strangers)
  if (Array.isArray(value)) {
    const copy: Array<unknown> = [...(value as ReadonlyArray<unknown>)]
    const at = r.below(copy.length + 1)
    if (r.next() < 0.3) copy.splice(at, 1)
    else if (at === copy.length) copy.push(r.pick(strangers))
    else copy[at] = mutate(r, copy[at])
    return copy
  }
  const entries = Object.entries(value)
  const at = r.below(entries.length + 1)
  const entry = entries[at]
  if (entry === undefined) entries.push([r.pick(texts), r.pick(strangers)])
  else if (r.next() < 0.3) entries.splice(at, 1)
  else entry[1] = mutate(r, entry[1])
  return Object.fromEntries(entries)
}

/** Octets of `body` with a few of them changed, cut or repeated. */
export const mutateBytes = (r: Random, body: Uint8Array): Uint8Array => {
  const copy = Uint8Array.from(body)
  for (let times = 1 + r.below(4); times > 0; times--) if (copy.length > 0) copy[r.below(copy.length)] = r.below(256)
  return r.next() < 0.3 ? copy.subarray(0, r.below(copy.length + 1)) : copy
}
