/**
 * The task message: protocol 2 (headers and a body of three), protocol 1 (all in the body) and the hybrid of both that some senders write
 * (`celery/app/amqp.py`, `celery/worker/strategy.py`, WIRE 4.1.1 to 4.1.4).
 *
 * ```text
 * headers  {lang, task, id, eta, expires, group, retries, timelimit: [hard, soft], root_id, ..., and any header of the application's own}
 * body     [args, kwargs, {callbacks, errbacks, chain, chord}]
 * ```
 *
 * Only `task` and `id` have to be there. Every shape that is not a task message is a typed error: nine of them kill Python's worker (WIRE 6, fact 38). Nothing
 * here changes its input; arrays and objects of the input are shared with the output.
 */
import * as Data from "effect/Data"
import * as Result from "effect/Result"
import { type Fields, field, isRecord, nothing, rest } from "../internal/record.ts"
import {
  InvalidTask,
  invalid,
  type Named,
  noLimits,
  readLimits,
  readNames,
  readNumber,
  readShown,
  readText,
  readTime
} from "../internal/taskFields.ts"
import { brokerHeaders } from "../kombu/BrokerHeaders.ts"
import * as IsoTime from "../kombu/IsoTime.ts"
import type { KombuJson } from "../kombu/Json.ts"
import { parseEta } from "./Eta.ts"
import * as Signature from "./Signature.ts"

export { formatEta, InvalidEta, parseEta } from "./Eta.ts"
export { InvalidTask } from "../internal/taskFields.ts"

/** What happens after the task: sent on as it is, apart from the results. */
export interface Embed {
  readonly callbacks: ReadonlyArray<Signature.Signature> | null
  readonly errbacks: ReadonlyArray<Signature.Signature> | null
  /** In REVERSE order: the last element is the next step. */
  readonly chain: ReadonlyArray<Signature.Signature> | null
  readonly chord: Signature.Signature | null
}

export interface TaskHeaders {
  readonly lang: string
  readonly task: string
  readonly id: string
  readonly shadow: string | null
  /** ISO 8601, see {@link parseEta}. */
  readonly eta: string | null
  readonly expires: string | null
  readonly group: string | null
  readonly groupIndex: number | null
  /** Attempts so far. */
  readonly retries: number
  /** Seconds. Celery's documentation has it the other way round; this is the order of its code. */
  readonly timelimit: readonly [hard: number | null, soft: number | null]
  /** The task that began the workflow; its own id when the header is missing. */
  readonly rootId: string
  readonly parentId: string | null
  readonly argsrepr: string | null
  readonly kwargsrepr: string | null
  readonly origin: string | null
  readonly ignoreResult: boolean
  readonly replacedTaskNesting: number
  /** A set: the order means nothing. */
  readonly stampedHeaders: ReadonlyArray<string> | null
  readonly stamps: Readonly<Record<string, unknown>>
  /** All other headers: traceparent, x-tenant, x-death. Without `compression`, which is about the octets of this one body. */
  readonly extra: Readonly<Record<string, unknown>>
}

export interface TaskMessage {
  readonly protocol: 1 | 2
  readonly headers: TaskHeaders
  readonly args: ReadonlyArray<KombuJson>
  readonly kwargs: Readonly<Record<string, KombuJson>>
  readonly embed: Embed
}

/** Not a task at all: no `task` in the headers, none in the body. Celery rejects it and logs "unknown message". */
export class UnknownMessage extends Data.TaggedError("UnknownMessage")<{ readonly message: string }> {}

/** No callbacks, no chain, no chord. */
export const emptyEmbed: Embed = Object.freeze({ callbacks: null, errbacks: null, chain: null, chord: null })

// ------------------------------------------------------------------ writing

type NewHeaders = Pick<TaskHeaders, "task" | "id"> & { readonly [K in keyof TaskHeaders]?: TaskHeaders[K] | undefined }

/** The headers of a new task; what is left out, or `undefined`, has the wire's default. */
export const makeHeaders = (headers: NewHeaders): TaskHeaders => ({
  lang: headers.lang ?? "js",
  task: headers.task,
  id: headers.id,
  shadow: headers.shadow ?? null,
  eta: headers.eta ?? null,
  expires: headers.expires ?? null,
  group: headers.group ?? null,
  groupIndex: headers.groupIndex ?? null,
  retries: headers.retries ?? 0,
  timelimit: headers.timelimit ?? noLimits,
  rootId: headers.rootId ?? headers.id,
  parentId: headers.parentId ?? null,
  argsrepr: headers.argsrepr ?? null,
  kwargsrepr: headers.kwargsrepr ?? null,
  origin: headers.origin ?? null,
  ignoreResult: headers.ignoreResult ?? false,
  replacedTaskNesting: headers.replacedTaskNesting ?? 0,
  stampedHeaders: headers.stampedHeaders ?? null,
  stamps: headers.stamps ?? nothing,
  extra: headers.extra ?? nothing
})

/** Headers of protocol 2 with Python's names, all of them present. A header of the application's own cannot replace one of Celery's. */
export const encodeHeaders = (headers: TaskHeaders): Record<string, unknown> => {
  const wire = {
    lang: headers.lang,
    task: headers.task,
    id: headers.id,
    shadow: headers.shadow,
    eta: headers.eta,
    expires: headers.expires,
    group: headers.group,
    group_index: headers.groupIndex,
    retries: headers.retries,
    timelimit: headers.timelimit,
    root_id: headers.rootId,
    parent_id: headers.parentId,
    argsrepr: headers.argsrepr,
    kwargsrepr: headers.kwargsrepr,
    origin: headers.origin,
    ignore_result: headers.ignoreResult,
    replaced_task_nesting: headers.replacedTaskNesting,
    stamped_headers: headers.stampedHeaders,
    stamps: headers.stamps
  }
  return headers.extra === nothing ? wire : { ...wire, ...rest(headers.extra, known) }
}

const encodeList = (signatures: ReadonlyArray<Signature.Signature> | null): ReadonlyArray<unknown> | null =>
  signatures === null ? null : signatures.map(Signature.encode)

/** The body of protocol 2, to be serialised: `[args, kwargs, embed]`. */
export const encodeBody = (
  args: ReadonlyArray<unknown>,
  kwargs: Readonly<Record<string, unknown>>,
  embed: Embed = emptyEmbed
): readonly [unknown, unknown, unknown] => [
  args,
  kwargs,
  embed === emptyEmbed
    ? emptyEmbed
    : {
        callbacks: encodeList(embed.callbacks),
        errbacks: encodeList(embed.errbacks),
        chain: encodeList(embed.chain),
        chord: embed.chord === null ? null : Signature.encode(embed.chord)
      }
]

/** The body of protocol 1; its headers are empty. Of `headers` it carries no root, parent, origin, stamps or chain: that protocol has no place for them. */
export const encodeV1 = (message: Omit<TaskMessage, "protocol">): Record<string, unknown> => {
  const { headers, embed } = message
  return {
    task: headers.task,
    id: headers.id,
    args: message.args,
    kwargs: message.kwargs,
    group: headers.group,
    group_index: headers.groupIndex,
    retries: headers.retries,
    eta: headers.eta,
    expires: headers.expires,
    utc: true,
    callbacks: encodeList(embed.callbacks),
    errbacks: encodeList(embed.errbacks),
    timelimit: headers.timelimit,
    taskset: headers.group,
    chord: embed.chord === null ? null : Signature.encode(embed.chord)
  }
}

// ------------------------------------------------------------------ reading

const known: ReadonlySet<string> = new Set([
  "lang",
  "task",
  "id",
  "shadow",
  "eta",
  "expires",
  "group",
  "group_index",
  "retries",
  "timelimit",
  "root_id",
  "parent_id",
  "argsrepr",
  "kwargsrepr",
  "origin",
  "ignore_result",
  "replaced_task_nesting",
  "stamped_headers",
  "stamps",
  "compression"
])

/** 2 if the headers name a task, 1 if the payload does, `undefined` for a message that is no task. */
export const version = (headers: Fields, payload?: unknown): 1 | 2 | undefined => {
  if ((field(headers, "task") ?? null) !== null) return 2
  return isRecord(payload) && (field(payload, "task") ?? null) !== null ? 1 : undefined
}

/** Reads the headers of protocol 2 without looking at the body: cheap, for routing, revokes and expiry before anything is parsed. */
export const decodeHeaders = (headers: Fields): Result.Result<TaskHeaders, InvalidTask | UnknownMessage> =>
  Result.try({ try: () => decodeHeadersUnsafe(headers), catch: (error) => error as InvalidTask | UnknownMessage })

/** {@link decodeHeaders}, throwing. */
export const decodeHeadersUnsafe = (headers: Fields): TaskHeaders => {
  if ((field(headers, "task") ?? null) === null) throw unknown(headers)
  return readHeaders(headers, "headers")
}

/** Reads a whole message: `payload` is the deserialised body. */
export const decode = (headers: Fields, payload: unknown): Result.Result<TaskMessage, InvalidTask | UnknownMessage> =>
  Result.try({ try: () => decodeUnsafe(headers, payload), catch: (error) => error as InvalidTask | UnknownMessage })

/** {@link decode}, throwing. */
export const decodeUnsafe = (headers: Fields, payload: unknown): TaskMessage => {
  switch (version(headers, payload)) {
    case 2:
      return isRecord(payload) && Object.hasOwn(payload, "args")
        ? readHybrid(headers, payload)
        : decodeBodyUnsafe(readHeaders(headers, "headers"), payload)
    case 1:
      return readV1(payload as Fields)
    default:
      throw unknown(headers)
  }
}

/** The second half of {@link decodeUnsafe}, for a caller that has read the headers of protocol 2 before. */
export const decodeBodyUnsafe = (headers: TaskHeaders, payload: unknown): TaskMessage => {
  if (!Array.isArray(payload) || payload.length !== 3) {
    throw invalid("body", "the array [args, kwargs, embed]", payload, headers)
  }
  const [args, kwargs, embed] = payload as ReadonlyArray<unknown>
  return {
    protocol: 2,
    headers,
    args: readArgs(args, "body[0]", headers),
    kwargs: readKwargs(kwargs, "body[1]", headers),
    embed: readEmbed(embed, "body[2]", headers)
  }
}

const unknown = (headers: Fields): UnknownMessage => {
  const names = Object.keys(headers).slice(0, 10)
  return new UnknownMessage({
    message: `Not a task message: neither its headers (${names.length === 0 ? "none" : names.join(", ").slice(0, 200)}) nor its body name a task`
  })
}

const readHeaders = (wire: Fields, where: string): TaskHeaders => {
  const named = { task: field(wire, "task"), id: field(wire, "id") }
  const { task, id } = named
  if (typeof task !== "string" || task === "") throw invalid(`${where}.task`, "the name of a task", task, named)
  if (typeof id !== "string" || id === "") throw invalid(`${where}.id`, "the id of the task", id, named)

  const retries = readNumber(wire, "retries", where, named) ?? 0
  if (retries < 0 || !Number.isInteger(retries)) {
    throw new InvalidTask({
      message: `${where}.retries should be 0 or more, and is ${retries}`,
      where: `${where}.retries`,
      task,
      id
    })
  }
  const ignoreResult = field(wire, "ignore_result") ?? false
  if (typeof ignoreResult !== "boolean") throw invalid(`${where}.ignore_result`, "true or false", ignoreResult, named)
  const stamps = field(wire, "stamps") ?? nothing
  if (!isRecord(stamps)) throw invalid(`${where}.stamps`, "an object", stamps, named)

  return {
    lang: readText(wire, "lang", where, named) ?? "py",
    task,
    id,
    shadow: readText(wire, "shadow", where, named),
    eta: readTime(wire, "eta", where, named),
    expires: readTime(wire, "expires", where, named),
    group: readText(wire, "group", where, named),
    groupIndex: readNumber(wire, "group_index", where, named),
    retries,
    timelimit: readLimits(wire, "timelimit", where, named),
    rootId: readText(wire, "root_id", where, named) ?? id,
    parentId: readText(wire, "parent_id", where, named),
    argsrepr: readShown(wire, "argsrepr", where, named),
    kwargsrepr: readShown(wire, "kwargsrepr", where, named),
    origin: readText(wire, "origin", where, named),
    ignoreResult,
    replacedTaskNesting: readNumber(wire, "replaced_task_nesting", where, named) ?? 0,
    stampedHeaders: readNames(wire, "stamped_headers", where, named),
    stamps,
    extra: rest(wire, known)
  }
}

const readArgs = (value: unknown, where: string, named: Named): ReadonlyArray<KombuJson> => {
  if (!Array.isArray(value)) throw invalid(where, "the array of positional arguments", value, named)
  return value
}

const readKwargs = (value: unknown, where: string, named: Named): Readonly<Record<string, KombuJson>> => {
  if (!isRecord(value)) throw invalid(where, "the object of keyword arguments", value, named)
  return value as Readonly<Record<string, KombuJson>>
}

const readEmbed = (value: unknown, where: string, named: Named): Embed => {
  if (value === null) return emptyEmbed
  if (!isRecord(value)) throw invalid(where, "an object of callbacks, errbacks, chain and chord", value, named)
  const callbacks = field(value, "callbacks") ?? null
  const errbacks = field(value, "errbacks") ?? null
  const chain = field(value, "chain") ?? null
  const chord = field(value, "chord") ?? null
  if (callbacks === null && errbacks === null && chain === null && chord === null) return emptyEmbed
  try {
    return {
      callbacks: Signature.decodeListUnsafe(callbacks, `${where}.callbacks`),
      errbacks: Signature.decodeListUnsafe(errbacks, `${where}.errbacks`),
      chain: Signature.decodeListUnsafe(chain, `${where}.chain`),
      chord: chord === null ? null : Signature.decodeUnsafe(chord, `${where}.chord`)
    }
  } catch (error) {
    const { message, path } = error as Signature.InvalidSignature
    throw new InvalidTask({
      message,
      where: path,
      task: typeof named.task === "string" ? named.task : undefined,
      id: typeof named.id === "string" ? named.id : undefined
    })
  }
}

/** Keys of a body that are not headers. */
const bodyOnly: ReadonlySet<string> = new Set([
  "args",
  "kwargs",
  "utc",
  "callbacks",
  "errbacks",
  "chain",
  "chord",
  "taskset"
])

const readV1 = (payload: Fields): TaskMessage => {
  const wire = { ...rest(payload, bodyOnly) }
  // the older name of the same thing
  if ((wire.group ?? null) === null) wire.group = field(payload, "taskset") ?? null
  return { ...fromBody(payload, readHeaders(wire, "body")), protocol: 1 }
}

/** Headers of protocol 2 over a body of protocol 1: the headers win. */
const readHybrid = (headers: Fields, payload: Fields): TaskMessage => ({
  ...fromBody(payload, readHeaders({ ...rest(payload, bodyOnly), ...headers }, "headers")),
  protocol: 2
})

const fromBody = (payload: Fields, headers: TaskHeaders): Omit<TaskMessage, "protocol"> => {
  const isLocal = field(payload, "utc") === false
  return {
    headers: isLocal ? { ...headers, eta: toUtc(headers.eta), expires: toUtc(headers.expires) } : headers,
    args: readArgs(field(payload, "args") ?? [], "body.args", headers),
    kwargs: readKwargs(field(payload, "kwargs") ?? {}, "body.kwargs", headers),
    embed: readEmbed(payload, "body", headers)
  }
}

/** A time without an offset in a message that says `utc: false` is in the reader's zone: only here is that known. Rubbish stays for {@link parseEta}. */
const toUtc = (text: string | null): string | null => {
  if (text === null) return null
  const time = Result.getOrElse(parseEta(text, { utc: false }), () => undefined)
  return time === undefined ? text : IsoTime.format(time)
}

// ------------------------------------------------------------------ sending on

/** Headers to send a message on with (a retry, a dead letter): without what a broker wrote about this one delivery, which would route or count it again. */
export const republishable = (extra: Fields): Fields => rest(extra, delivered)

const delivered: ReadonlySet<string> = new Set([...brokerHeaders, "x-apium-deliveries", "redelivered", "compression"])
