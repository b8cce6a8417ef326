/**
 * Field tables: headers, arguments, server properties (section 4.2.5.5 of the specification, in RabbitMQ's dialect of its errata).
 *
 * | letter | RabbitMQ's meaning | here | written for |
 * | --- | --- | --- | --- |
 * | `t` | boolean | boolean | booleans |
 * | `I` | int32 | number | integers of 32 bits |
 * | `L`, `l` | int64 | number, `bigint` beyond 2^53 | `L`: other integers, `bigint` up to 64 bits |
 * | `b` `B` `s` `u` `i` | int8, uint8, int16, uint16, uint32 | number | |
 * | `d`, `f` | double, float | number | `d`: fractions, NaN, infinities, -0, whole numbers beyond 2^53 |
 * | `D` | scale and 32-bit value | `Json.Decimal` | `Json.Decimal` of 32 bits |
 * | `S` | octets | string, or `Uint8Array` where it is not UTF-8 | strings, `Uint8Array` |
 * | `x` | octets | `Uint8Array` | |
 * | `T` | seconds since 1970 | `Date` | `Date`, its milliseconds cut off |
 * | `A`, `F`, `V` | array, table, nothing | array, object, `null` | arrays, plain objects, `null` |
 *
 * Written are only the letters that py-amqp and RabbitMQ read alike: py-amqp swaps `b` and `B`, reads `l` unsigned and takes `s` for a short string. So
 * octets go as `S`, as Python's do, and come back as text where they are UTF-8.
 *
 * Fields that are `undefined` are left out. The last of two equal keys wins; `__proto__` is a key like any other; a key that is not UTF-8 is refused. 64
 * levels, both ways. A moment beyond what a `Date` holds is the last one it holds.
 */
import * as Result from "effect/Result"
import { ByteReader } from "../internal/byteReader.ts"
import { ByteWriter } from "../internal/byteWriter.ts"
import * as table from "../internal/table.ts"
import type { Decimal } from "../kombu/Json.ts"
import type { AmqpError, InvalidValue } from "./AmqpError.ts"

export type Value =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | Date
  | Decimal
  | ReadonlyArray<Value>
  | { readonly [key: string]: Value | undefined }

export type FieldTable = Readonly<Record<string, unknown>>

/** Levels of nesting, both ways. */
export const maxDepth = table.maxDepth

/** Reads a table, its four octets of length included; throws {@link AmqpError}. What follows it is refused. */
export const decodeUnsafe = (bytes: Uint8Array): FieldTable => {
  const reader = new ByteReader(bytes)
  const fields = table.readTable(reader)
  if (reader.at !== reader.end) throw reader.error(`${reader.end - reader.at} octets behind the end of a table`)
  return fields
}

/** Reads a table, its four octets of length included. */
export const decode = (bytes: Uint8Array): Result.Result<FieldTable, AmqpError> =>
  Result.try({ try: () => decodeUnsafe(bytes), catch: (error) => error as AmqpError })

/** A table with its length in front; throws {@link InvalidValue}. */
export const encodeUnsafe = (fields: FieldTable): Uint8Array => {
  const writer = new ByteWriter(256)
  table.writeTable(writer, fields, "table")
  return writer.take()
}

/** A table with its length in front. */
export const encode = (fields: FieldTable): Result.Result<Uint8Array, InvalidValue> =>
  Result.try({ try: () => encodeUnsafe(fields), catch: (error) => error as InvalidValue })
