/**
 * The serializer `msgpack` (`application/x-msgpack`) over the optional peer `@msgpack/msgpack`: strings are `str`, `Uint8Array` is `bin`, as Python's
 * `packb(use_bin_type=True)` writes and `unpackb(raw=False)` reads. Integers beyond 2^53 are `bigint` both ways (64 bits at most). A `Date` is the timestamp
 * extension, which Python reads as `msgpack.Timestamp`.
 *
 * Not re-exported from the package's root: importing this module needs the peer.
 */
import { decode, encode } from "@msgpack/msgpack"
import type { Serializer } from "./Content.ts"
import * as Json from "./Json.ts"

/** MessagePack in and out. Both directions throw; `Content` turns that into a typed error. */
export const msgpack: Serializer = {
  name: "msgpack",
  contentType: "application/x-msgpack",
  contentEncoding: "binary",
  encode: (value) => {
    const useBigInt64 = inspect(value, "$", 0)
    return encode(useBigInt64 ? widen(value) : value, {
      useBigInt64,
      ignoreUndefined: true,
      maxDepth: Json.maxDepth + 1
    })
  },
  decode: (body) => {
    // 0xcf and 0xd3 open the 64-bit integers; without them no number can need a bigint
    const wide = body.includes(0xcf) || body.includes(0xd3)
    const value = decode(body, { useBigInt64: wide })
    return wide || body.length > Json.maxDepth ? narrow(value, 0) : value
  }
}

const fail = (what: string, path: string): Json.JsonError =>
  new Json.JsonError({ message: `MessagePack cannot carry ${what} at ${path.slice(0, 200)}`, path: path.slice(0, 200) })

const isTree = (value: unknown): value is object =>
  typeof value === "object" && value !== null && !(value instanceof Uint8Array) && !(value instanceof Date)

/** Refuses what the peer would write as something else, and says whether there is a bigint. */
const inspect = (value: unknown, path: string, depth: number): boolean => {
  if (typeof value === "bigint") {
    if (value >= 2n ** 64n || value < -(2n ** 63n)) throw fail("an integer of more than 64 bits", path)
    return true
  }
  if (typeof value === "function" || typeof value === "symbol" || value === undefined)
    throw fail(`a ${typeof value}`, path)
  if (!isTree(value)) return false
  if (depth >= Json.maxDepth) throw fail(`more than ${Json.maxDepth} levels, or a cycle`, path)
  let found = false
  if (Array.isArray(value)) {
    for (let index = 0; index < value.length; index++)
      found = inspect(value[index], `${path}[${index}]`, depth + 1) || found
    return found
  }
  const prototype: unknown = Object.getPrototypeOf(value)
  if (prototype !== Object.prototype && prototype !== null && Object.keys(value).length === 0) {
    throw fail(`a ${value.constructor?.name ?? "object"}`, path)
  }
  if (value instanceof Json.PyDateTime || value instanceof Json.LocalDate || value instanceof Json.LocalTime) {
    throw fail(`a ${value.constructor.name} (kombu's msgpack knows no typed values; send its text)`, path)
  }
  if (value instanceof Json.Decimal || value instanceof Json.Uuid) {
    throw fail(`a ${value.constructor.name} (kombu's msgpack knows no typed values; send its text)`, path)
  }
  for (const [key, item] of Object.entries(value)) {
    if (item !== undefined) found = inspect(item, `${path}.${key}`, depth + 1) || found
  }
  return found
}

/** With `useBigInt64` the peer writes numbers beyond 32 bits as floats: they go as bigint, too. */
const widen = (value: unknown): unknown => {
  if (typeof value === "number") {
    return Number.isSafeInteger(value) && (value > 0xffff_ffff || value < -0x8000_0000) ? BigInt(value) : value
  }
  if (!isTree(value)) return value
  if (Array.isArray(value)) return value.map(widen)
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, widen(item)]))
}

/** In place, for the tree is ours: bigints that fit become numbers, and the depth is bounded. */
const narrow = (value: unknown, depth: number): unknown => {
  if (typeof value === "bigint") {
    const number = Number(value)
    return Number.isSafeInteger(number) ? number : value
  }
  if (!isTree(value)) return value
  if (depth >= Json.maxDepth) throw new Json.JsonError({ message: `More than ${Json.maxDepth} levels of nesting` })
  if (Array.isArray(value)) {
    for (let index = 0; index < value.length; index++) value[index] = narrow(value[index], depth + 1)
    return value
  }
  const record = value as Record<string, unknown>
  for (const key of Object.keys(record)) record[key] = narrow(record[key], depth + 1)
  return record
}
