/** Writes `src/amqp/Method.ts` from `methods.ts`: `node packages/protocol/spec/generate.ts`, then the formatter. A test fails while the file is stale. */
import * as fs from "node:fs"
import { fileURLToPath } from "node:url"
import { classes, type ClassSpec, type FieldType, type MethodSpec } from "./methods.ts"

interface Field {
  /** Empty where it is reserved. */
  readonly name: string
  readonly type: FieldType
}

const fieldsOf = (spec: MethodSpec): ReadonlyArray<Field> =>
  spec.fields === ""
    ? []
    : spec.fields.split(" ").map((field) => {
        const [name, type] = field.split(":") as [string, FieldType]
        return { name, type }
      })

const typeOf: Record<FieldType, string> = {
  octet: "number",
  short: "number",
  long: "number",
  longlong: "number",
  bit: "boolean",
  shortstr: "string",
  longtext: "string",
  longbytes: "Uint8Array",
  table: "FieldTable"
}

const defaultOf: Record<FieldType, string> = {
  octet: "0",
  short: "0",
  long: "0",
  longlong: "0",
  bit: "false",
  shortstr: '""',
  longtext: '""',
  longbytes: "noOctets",
  table: "{}"
}

const capital = (text: string): string =>
  text.replaceAll(/(?:^|-)([a-z])/g, (_, letter: string) => letter.toUpperCase())
const typeName = (klass: ClassSpec, spec: MethodSpec): string => capital(klass.name) + capital(spec.name)
const lower = (text: string): string => text[0]!.toLowerCase() + text.slice(1)
const tagOf = (klass: ClassSpec, spec: { readonly name: string }): string => `${klass.name}.${spec.name}`
const hex = (value: number): string => `0x${value.toString(16).padStart(8, "0")}`

const declaration = (klass: ClassSpec, spec: MethodSpec): string => {
  const name = typeName(klass, spec)
  const named = fieldsOf(spec).filter((field) => field.name !== "")
  const properties = named.map((field) => `  readonly ${field.name}: ${typeOf[field.type]}\n`).join("")
  const made = named.map((field) => `  ${field.name}: fields.${field.name} ?? ${defaultOf[field.type]}`).join(",\n")
  const maker =
    named.length === 0
      ? `export const ${lower(name)}: ${name} = { _tag: "${tagOf(klass, spec)}" }`
      : `export const ${lower(name)} = (fields: Fields<${name}> = {}): ${name} => ({\n  _tag: "${tagOf(klass, spec)}",\n${made}\n})`
  return `/** ${spec.doc} */\nexport interface ${name} {\n  readonly _tag: "${tagOf(klass, spec)}"\n${properties}}\n\n${maker}\n`
}

/** `arguments` is a word of JavaScript's own. */
const local = (name: string): string => (name === "arguments" ? "table" : name)

/** Bits that follow each other, and everything else by itself. */
const groups = (fields: ReadonlyArray<Field>): ReadonlyArray<ReadonlyArray<Field>> => {
  const out: Array<Array<Field>> = []
  for (const field of fields) {
    const last = out.at(-1)
    if (field.type === "bit" && last !== undefined && last[0]!.type === "bit" && last.length < 8) last.push(field)
    else out.push([field])
  }
  return out
}

const reading = (klass: ClassSpec, spec: MethodSpec): string => {
  const fields = fieldsOf(spec)
  const named = fields.filter((field) => field.name !== "")
  const lines: Array<string> = []
  for (const group of groups(fields)) {
    const [first] = group
    if (first!.type === "bit") {
      lines.push(group.some((field) => field.name !== "") ? "  const bits = reader.octet()" : "  reader.octet()")
      for (const [index, { name }] of group.entries()) {
        if (name !== "") lines.push(`  const ${name} = (bits & ${1 << index}) !== 0`)
      }
    } else {
      const call = first!.type === "table" ? "readTable(reader)" : `reader.${first!.type}()`
      lines.push(first!.name === "" ? `  ${call}` : `  const ${local(first!.name)} = ${call}`)
    }
  }
  const name = typeName(klass, spec)
  if (named.length === 0) {
    return fields.length === 0
      ? ""
      : `const read${name} = (reader: ByteReader): ${name} => {\n${lines.join("\n")}\n  return ${lower(name)}\n}\n`
  }
  const all = [
    `_tag: "${tagOf(klass, spec)}"`,
    ...named.map(({ name }) => (local(name) === name ? name : `${name}: ${local(name)}`))
  ].join(", ")
  return `const read${name} = (reader: ByteReader): ${name} => {\n${lines.join("\n")}\n  return { ${all} }\n}\n`
}

const writing = (klass: ClassSpec, spec: MethodSpec): string => {
  const lines = groups(fieldsOf(spec)).map((group) => {
    const [first] = group
    if (first!.type === "bit") {
      const named = group.flatMap((field, index) =>
        field.name === "" ? [] : [`(method.${field.name} ? ${1 << index} : 0)`]
      )
      return `  writer.octet(${named.length === 0 ? "0" : named.join(" | ")}, "bits")`
    }
    const value = first!.name === "" ? defaultOf[first!.type] : `method.${first!.name}`
    const path = `"${first!.name === "" ? "reserved" : first!.name}"`
    if (first!.type === "table") return `  writeTable(writer, ${value}, ${path})`
    if (first!.type === "longtext") return `  writer.longstr(${value})`
    if (first!.type === "longbytes") return `  writer.longbytes(${value})`
    return `  writer.${first!.type}(${value}, ${path})`
  })
  const name = typeName(klass, spec)
  const id = hex(klass.id * 0x1_0000 + spec.id)
  const method = lines.some((line) => line.includes("method.")) ? "method" : "_method"
  return `/** @internal */\nexport const write${name} = (writer: ByteWriter, ${method}: ${name}): void => {\n  writer.int(${id})\n${lines.map((line) => `${line}\n`).join("")}}\n`
}

const each = <A>(f: (klass: ClassSpec, spec: MethodSpec) => A): ReadonlyArray<A> =>
  classes.flatMap((klass) => klass.methods.map((spec) => f(klass, spec)))

const readCase = (klass: ClassSpec, spec: MethodSpec): string => {
  const name = typeName(klass, spec)
  return `        case ${spec.id}:\n          return ${fieldsOf(spec).length === 0 ? lower(name) : `read${name}(reader)`}`
}

export const source = (): string =>
  `/**
 * The methods of AMQP 0-9-1 and of RabbitMQ's extensions, both directions. Generated from \`spec/methods.ts\` by \`spec/generate.ts\`: change those.
 *
 * A method is an object with its name in \`_tag\` and all of its fields; the functions make one with what is left out being zero, empty or false. Delivery
 * tags and counts are numbers: beyond 2^53 they are refused.
 */
import * as Result from "effect/Result"
import { ByteReader } from "../internal/byteReader.ts"
import { ByteWriter } from "../internal/byteWriter.ts"
import { readTable, writeTable } from "../internal/table.ts"
import { AmqpError, type InvalidValue } from "./AmqpError.ts"
import * as Constants from "./Constants.ts"
import type { FieldTable } from "./FieldTable.ts"

type Fields<M> = { readonly [K in keyof Omit<M, "_tag">]?: M[K] | undefined }

const noOctets = new Uint8Array(0)

// ------------------------------------------------------------------ methods

${each(declaration).join("\n")}
export type Method =
${each((klass, spec) => `  | ${typeName(klass, spec)}`).join("\n")}

export type Tag = Method["_tag"]

/** Who may send a method. */
export type Sender = "client" | "server" | "both"

export interface Info {
  readonly classId: number
  readonly methodId: number
  readonly sentBy: Sender
  /** Followed by a content header and a body. */
  readonly content: boolean
  /** What answers it; empty where nothing does. */
  readonly replies: ReadonlyArray<Tag>
}

/** Every method, by its name. */
export const infos: { readonly [T in Tag]: Info } = {
${each(
  (klass, spec) =>
    `  "${tagOf(klass, spec)}": { classId: ${klass.id}, methodId: ${spec.id}, sentBy: "${spec.sentBy}", content: ${spec.content === true}, replies: [${(spec.replies ?? []).map((reply) => `"${tagOf(klass, { name: reply })}"`).join(", ")}] }`
).join(",\n")}
}

const names = new Map(Object.entries(infos).map(([tag, info]) => [info.classId * 0x1_0000 + info.methodId, tag]))

/** \`queue.declare\` for 50 and 10, as \`channel.close\` names what failed; \`50.99\` for what is none. */
export const nameOf = (classId: number, methodId: number): string =>
  names.get(classId * 0x1_0000 + methodId) ?? \`\${classId}.\${methodId}\`

// ------------------------------------------------------------------ reading

${each(reading)
  .filter((text) => text !== "")
  .join("\n")}
/** @internal Class, method and arguments; the reader stands behind them. */
export const read = (reader: ByteReader): Method => {
  const classId = reader.short()
  const methodId = reader.short()
  switch (classId) {
${classes
  .map(
    (klass) =>
      `    case ${klass.id}:\n      switch (methodId) {\n${klass.methods.map((spec) => readCase(klass, spec)).join("\n")}\n      }\n      break`
  )
  .join("\n")}
  }
  throw new AmqpError({
    message: \`There is no method \${methodId} of class \${classId}\`,
    replyCode: Constants.notImplemented,
    classId,
    methodId
  })
}

/** Reads the payload of a method frame; throws {@link AmqpError}. */
export const decodeUnsafe = (payload: Uint8Array): Method => {
  const reader = new ByteReader(payload)
  const method = read(reader)
  if (reader.at !== reader.end) throw reader.error(\`\${reader.end - reader.at} octets behind \${method._tag}\`)
  return method
}

/** Reads the payload of a method frame. */
export const decode = (payload: Uint8Array): Result.Result<Method, AmqpError> =>
  Result.try({ try: () => decodeUnsafe(payload), catch: (error) => error as AmqpError })

// ------------------------------------------------------------------ writing

${each(writing).join("\n")}
/** @internal Class, method and arguments. */
export const write = (writer: ByteWriter, method: Method): void => {
  switch (method._tag) {
${each((klass, spec) => `    case "${tagOf(klass, spec)}":\n      return write${typeName(klass, spec)}(writer, method)`).join("\n")}
  }
}

/** The payload of a method frame; throws {@link InvalidValue}. */
export const encodeUnsafe = (method: Method): Uint8Array => {
  const writer = new ByteWriter(256)
  write(writer, method)
  return writer.take()
}

/** The payload of a method frame. */
export const encode = (method: Method): Result.Result<Uint8Array, InvalidValue> =>
  Result.try({ try: () => encodeUnsafe(method), catch: (error) => error as InvalidValue })
`

export const target = fileURLToPath(new URL("../src/amqp/Method.ts", import.meta.url))

if (process.argv[1] === fileURLToPath(import.meta.url)) fs.writeFileSync(target, source())
