/** Field tables on the wire; what they promise is in `amqp/FieldTable.ts`. */
import { InvalidValue } from "../amqp/AmqpError.ts"
import { Decimal } from "../kombu/Json.ts"
import type { ByteReader } from "./byteReader.ts"
import type { ByteWriter } from "./byteWriter.ts"
import { describe, setField } from "./record.ts"

export const maxDepth = 64

/** The last moment that a `Date` can hold, in milliseconds. */
const lastMoment = 8.64e15

const tag = {
  array: 0x41, // A
  boolean: 0x74, // t
  bytes: 0x78, // x
  decimal: 0x44, // D
  double: 0x64, // d
  float: 0x66, // f
  int8: 0x62, // b
  int16: 0x73, // s
  int32: 0x49, // I
  int64: 0x6c, // l
  int64Python: 0x4c, // L
  string: 0x53, // S
  table: 0x46, // F
  timestamp: 0x54, // T
  uint8: 0x42, // B
  uint16: 0x75, // u
  uint32: 0x69, // i
  void: 0x56 // V
} as const

// ------------------------------------------------------------------ reading

/** A table with its length in front. */
export const readTable = (reader: ByteReader, depth = 1): Record<string, unknown> => {
  const length = reader.long()
  const stop = reader.skip(length) + length
  const outer = reader.end
  // What the table holds may not reach beyond it.
  reader.at = stop - length
  reader.end = stop
  const table: Record<string, unknown> = {}
  while (reader.at < stop) {
    const key = reader.key()
    setField(table, key, readValue(reader, depth))
  }
  reader.end = outer
  return table
}

const readArray = (reader: ByteReader, depth: number): ReadonlyArray<unknown> => {
  const length = reader.long()
  const stop = reader.skip(length) + length
  const outer = reader.end
  reader.at = stop - length
  reader.end = stop
  const items: Array<unknown> = []
  while (reader.at < stop) items.push(readValue(reader, depth))
  reader.end = outer
  return items
}

const deeper = (reader: ByteReader, depth: number): number => {
  if (depth >= maxDepth) throw reader.error(`A table of more than ${maxDepth} levels`, reader.at - 1)
  return depth + 1
}

const readValue = (reader: ByteReader, depth: number): unknown => {
  const type = reader.octet()
  switch (type) {
    case tag.string:
      return reader.longstr()
    case tag.int32:
      return reader.int()
    case tag.void:
      return null
    case tag.boolean:
      return reader.octet() !== 0
    case tag.table:
      return readTable(reader, deeper(reader, depth))
    case tag.array:
      return readArray(reader, deeper(reader, depth))
    case tag.int64:
    case tag.int64Python:
      return reader.int64()
    case tag.double:
      return reader.double()
    case tag.timestamp:
      return readTimestamp(reader)
    case tag.bytes:
      return reader.longbytes()
    case tag.decimal:
      return readDecimal(reader)
    case tag.int8:
      return (reader.octet() << 24) >> 24
    case tag.uint8:
      return reader.octet()
    case tag.int16:
      return (reader.short() << 16) >> 16
    case tag.uint16:
      return reader.short()
    case tag.uint32:
      return reader.long()
    case tag.float:
      return reader.float()
    default:
      throw reader.error(`A table value of unknown type ${type}`, reader.at - 1)
  }
}

export const readTimestamp = (reader: ByteReader): Date =>
  new Date(Math.min(reader.longlongInexact() * 1000, lastMoment))

const readDecimal = (reader: ByteReader): Decimal => {
  const scale = reader.octet()
  const value = reader.int()
  if (scale === 0) return new Decimal(String(value))
  const digits = String(Math.abs(value)).padStart(scale + 1, "0")
  return new Decimal(`${value < 0 ? "-" : ""}${digits.slice(0, -scale)}.${digits.slice(-scale)}`)
}

// ------------------------------------------------------------------ writing

/** A table with its length in front. Throws `InvalidValue`; what was written by then is the caller's to take back. */
export const writeTable = (writer: ByteWriter, table: object, name: string): void => {
  if (typeof table !== "object" || table === null) {
    throw new InvalidValue({ message: `${name} should be an object, and is ${describe(table)}`, path: name })
  }
  writer.path.length = 0
  writer.path.push(name)
  writeFields(writer, table as Record<string, unknown>)
}

const writeFields = (writer: ByteWriter, table: Record<string, unknown>): void => {
  writer.int(0)
  const begun = writer.at - writer.start
  for (const key in table) {
    const value = table[key]
    if (value === undefined) continue
    writer.shortstr(key, "the key of a table")
    writeValue(writer, value, key)
  }
  finish(writer, begun)
}

/** Puts in the length; the slab may have been changed in between. */
const finish = (writer: ByteWriter, begun: number): void => {
  const from = writer.start + begun
  writer.patch(from - 4, writer.at - from)
}

const writeValue = (writer: ByteWriter, value: unknown, key: string | number): void => {
  if (typeof value === "string") {
    tagged(writer, tag.string)
    writer.longstr(value)
  } else if (value === null) {
    tagged(writer, tag.void)
  } else if (typeof value === "number") {
    writeNumber(writer, value)
  } else if (typeof value === "object") {
    writeObject(writer, value, key)
  } else if (typeof value === "boolean") {
    tagged(writer, tag.boolean)
    writer.bytes[writer.at++] = value ? 1 : 0
  } else if (typeof value === "bigint") {
    writeBigInt(writer, value, key)
  } else {
    throw refused(writer, `cannot carry ${describe(value)}`, key)
  }
}

/** The letter, and room for it and eight octets more. */
const tagged = (writer: ByteWriter, letter: number): void => {
  writer.room(9)
  writer.bytes[writer.at++] = letter
}

const writeNumber = (writer: ByteWriter, value: number): void => {
  if (value === (value | 0) && value !== smallest && (value !== 0 || 1 / value > 0)) {
    tagged(writer, tag.int32)
    writer.int(value)
  } else if (Number.isSafeInteger(value) && value !== 0) {
    tagged(writer, tag.int64Python)
    writer.int(Math.floor(value / 0x1_0000_0000))
    writer.int(value)
  } else {
    // Fractions, and -0: it has a sign to keep.
    tagged(writer, tag.double)
    writer.double(value)
  }
}

/** Fits 32 bits, and py-amqp writes it with 64. */
const smallest = -0x8000_0000

const writeBigInt = (writer: ByteWriter, value: bigint, key: string | number): void => {
  if (value > BigInt(smallest) && value < 0x8000_0000n) return writeNumber(writer, Number(value))
  if (BigInt.asIntN(64, value) !== value) throw refused(writer, "cannot carry an integer of more than 64 bits", key)
  tagged(writer, tag.int64Python)
  writer.int64(value)
}

const writeObject = (writer: ByteWriter, value: object, key: string | number): void => {
  if (Array.isArray(value)) {
    enter(writer, key)
    tagged(writer, tag.array)
    writer.int(0)
    const begun = writer.at - writer.start
    for (let index = 0; index < value.length; index++) writeValue(writer, value[index], index)
    finish(writer, begun)
    writer.path.pop()
    return
  }
  const prototype: unknown = Object.getPrototypeOf(value)
  if (prototype === Object.prototype || prototype === null) {
    enter(writer, key)
    tagged(writer, tag.table)
    writeFields(writer, value as Record<string, unknown>)
    writer.path.pop()
  } else if (value instanceof Uint8Array) {
    tagged(writer, tag.string)
    writer.longbytes(value)
  } else if (value instanceof Date) {
    tagged(writer, tag.timestamp)
    writeTimestamp(writer, value, place(writer, key))
  } else if (value instanceof Decimal) {
    writeDecimal(writer, value, key)
  } else {
    throw refused(writer, `cannot carry ${describe(value)}: send its text`, key)
  }
}

/** The path is as long as the nesting is deep: a cycle ends here, too. */
const enter = (writer: ByteWriter, key: string | number): void => {
  if (writer.path.length >= maxDepth) {
    throw refused(writer, `carries ${maxDepth} levels, and this is a cycle or deeper`, key)
  }
  writer.path.push(key)
}

export const writeTimestamp = (writer: ByteWriter, value: Date, path: string): void => {
  const seconds = Math.floor(value.getTime() / 1000)
  if (!(seconds >= 0)) {
    throw new InvalidValue({ message: `${path} should be a time from 1970 on, for AMQP counts from there`, path })
  }
  writer.longlong(seconds, path)
}

const decimalText = /^([+-]?)(\d+)(?:\.(\d*))?$/

const writeDecimal = (writer: ByteWriter, value: Decimal, key: string | number): void => {
  const match = value.text.length > 300 ? null : decimalText.exec(value.text)
  const [, sign = "", whole = "", fraction = ""] = match ?? []
  const unscaled = Number(`${sign}${whole}${fraction}`)
  if (match === null || Math.abs(unscaled) > 0x7fff_ffff || fraction.length > 255) {
    throw refused(writer, "carries decimals of 32 bits, such as 10.20: send the text of this one", key)
  }
  tagged(writer, tag.decimal)
  writer.bytes[writer.at++] = fraction.length
  writer.int(unscaled)
}

/** `headers.timelimit[1]`; cut at 200 characters, for keys are foreign. */
const place = (writer: ByteWriter, key: string | number): string =>
  [...writer.path, key]
    .map((name, index) => (typeof name === "number" ? `[${name}]` : index === 0 ? name : `.${name.slice(0, 100)}`))
    .join("")
    .slice(0, 200)

const refused = (writer: ByteWriter, message: string, key: string | number): InvalidValue => {
  const path = place(writer, key)
  return new InvalidValue({ message: `A field table ${message} (at ${path})`, path })
}
