/**
 * A task and how to call it, as it travels inside messages: callbacks, chains, chords (`celery/canvas.py`, WIRE 4.1.5).
 *
 * ```json
 * {"task": "t.add", "args": [1], "kwargs": {}, "options": {"task_id": "..."}, "subtask_type": null, "immutable": false}
 * ```
 *
 * `options` keep the wire's names, for they are open: every stamp is a key of its own there. The signatures inside of a canvas (`kwargs.tasks` of a chain) stay
 * in their wire form, too; {@link tasks}, {@link chordOf} and {@link links} read them.
 */
import * as Data from "effect/Data"
import * as Result from "effect/Result"
import { describe, type Fields, field, isRecord } from "../internal/record.ts"
import type { KombuJson } from "../kombu/Json.ts"

export interface Signature {
  readonly task: string
  readonly args: ReadonlyArray<KombuJson>
  readonly kwargs: Readonly<Record<string, KombuJson>>
  /** Wire names: task_id, reply_to, link, link_error, queue, countdown, group_id, stamped_headers and the stamps themselves. */
  readonly options: Readonly<Record<string, unknown>>
  /** `chain`, `group`, `chord`, `xmap`, `xstarmap`, `chunks`; `null` for a plain task. */
  readonly subtaskType: string | null
  /** The result of the task before it is not prepended to `args`. */
  readonly immutable: boolean
}

/** An object that is no signature. `path` is the place below where reading began. */
export class InvalidSignature extends Data.TaggedError("InvalidSignature")<{
  readonly message: string
  readonly path: string
}> {}

/** Levels of signatures within signatures (links of links, groups of chains). A chain of chords has two for each of them. */
export const maxDepth = 256

const invalid = (path: string, wanted: string, found: unknown): InvalidSignature =>
  new InvalidSignature({ message: `${path} should be ${wanted}, and is ${describe(found)}`, path })

const noOptions: Readonly<Record<string, unknown>> = Object.freeze({})

/** A plain signature; what is left out is empty. */
export const make = (task: string, options: Partial<Omit<Signature, "task">> = {}): Signature => ({
  task,
  args: options.args ?? [],
  kwargs: options.kwargs ?? {},
  options: options.options ?? noOptions,
  subtaskType: options.subtaskType ?? null,
  immutable: options.immutable ?? false
})

// ------------------------------------------------------------------ reading

/** Reads a signature and checks those inside of it, or throws {@link InvalidSignature}: the hot path's form of {@link decode}. */
export const decodeUnsafe = (value: unknown, path = "signature"): Signature => read(value, path, 0)

/** Reads a signature and checks those inside of it. */
export const decode = (value: unknown, path = "signature"): Result.Result<Signature, InvalidSignature> =>
  Result.try({ try: () => read(value, path, 0), catch: (error) => error as InvalidSignature })

const read = (value: unknown, path: string, depth: number): Signature => {
  if (depth >= maxDepth)
    throw new InvalidSignature({ message: `${path.slice(0, 200)} is more than ${maxDepth} signatures deep`, path })
  if (!isRecord(value)) throw invalid(path, "a signature", value)
  const task = field(value, "task")
  if (typeof task !== "string" || task === "") throw invalid(`${path}.task`, "the name of a task", task)
  const args = field(value, "args") ?? []
  if (!Array.isArray(args)) throw invalid(`${path}.args`, "an array", args)
  const kwargs = field(value, "kwargs") ?? {}
  if (!isRecord(kwargs)) throw invalid(`${path}.kwargs`, "an object", kwargs)
  const options = field(value, "options") ?? noOptions
  if (!isRecord(options)) throw invalid(`${path}.options`, "an object", options)
  const subtaskType = field(value, "subtask_type") ?? null
  if (subtaskType !== null && typeof subtaskType !== "string")
    throw invalid(`${path}.subtask_type`, "a string or null", subtaskType)
  const immutable = field(value, "immutable") ?? false
  if (typeof immutable !== "boolean") throw invalid(`${path}.immutable`, "true or false", immutable)

  readMany(options.link, `${path}.options.link`, depth)
  readMany(options.link_error, `${path}.options.link_error`, depth)
  for (const name of nested.get(task) ?? []) {
    if (kwargs[name] !== undefined && kwargs[name] !== null) readMany(kwargs[name], `${path}.kwargs.${name}`, depth)
  }
  return { task, args, kwargs: kwargs as Signature["kwargs"], options, subtaskType, immutable }
}

/** Where the built-in tasks carry signatures. */
const nested: ReadonlyMap<string, ReadonlyArray<string>> = new Map([
  ["celery.chain", ["tasks"]],
  ["celery.group", ["tasks"]],
  ["celery.chord", ["header", "body"]],
  ["celery.map", ["task"]],
  ["celery.starmap", ["task"]],
  ["celery.chunks", ["task"]]
])

/** One signature or a list of them, as Celery's `maybe_list` takes both. */
const readMany = (value: unknown, path: string, depth: number): ReadonlyArray<Signature> => {
  if (value === undefined || value === null) return []
  if (!Array.isArray(value)) return [read(value, path, depth + 1)]
  return value.map((item, index) => read(item, `${path}[${index}]`, depth + 1))
}

/** Reads a list of signatures, or a single one for a list of one; `null` is no list. Throws {@link InvalidSignature}. */
export const decodeListUnsafe = (value: unknown, path: string): ReadonlyArray<Signature> | null =>
  value === undefined || value === null ? null : readMany(value, path, 0)

// ------------------------------------------------------------------ writing

/** The object of the wire, keys as Python writes them. */
export const encode = (signature: Signature): Record<string, KombuJson> => ({
  task: signature.task,
  args: signature.args,
  kwargs: signature.kwargs,
  options: signature.options as Readonly<Record<string, KombuJson>>,
  subtask_type: signature.subtaskType,
  immutable: signature.immutable
})

// ------------------------------------------------------------------ canvas

/** `celery.chain` of these, the first to run first. */
export const chain = (steps: ReadonlyArray<Signature>, options: Fields = noOptions): Signature =>
  make("celery.chain", { kwargs: { tasks: steps.map(encode) }, options, subtaskType: "chain" })

/** `celery.group` of these, run side by side. */
export const group = (members: ReadonlyArray<Signature>, options: Fields = noOptions): Signature =>
  make("celery.group", { kwargs: { tasks: members.map(encode) }, options, subtaskType: "group" })

/** `celery.chord`: `body` is called with the list of the header's results. */
export const chord = (header: ReadonlyArray<Signature>, body: Signature, options: Fields = noOptions): Signature =>
  make("celery.chord", {
    kwargs: { header: encode(group(header)), body: encode(body), kwargs: {} },
    options,
    subtaskType: "chord"
  })

/** Whether it is made of other signatures and no task of its own: a chain, group, chord or chunks. */
export const isCanvas = ({ task }: Signature): boolean => canvas.has(task)

const canvas: ReadonlySet<string> = new Set(["celery.chain", "celery.group", "celery.chord", "celery.chunks"])

/** The signatures of a chain or a group, the task of a map; none for a plain task. Throws {@link InvalidSignature} on a value that was not decoded here. */
export const tasks = (signature: Signature): ReadonlyArray<Signature> => {
  const names = nested.get(signature.task)
  if (names === undefined || names.length !== 1) return []
  return readMany(signature.kwargs[names[0]!], `kwargs.${names[0]!}`, 0)
}

/** Header and body of a chord, `undefined` for anything else. A header that is a group gives the group's members. */
export const chordOf = (
  signature: Signature
): { readonly header: ReadonlyArray<Signature>; readonly body: Signature | null } | undefined => {
  if (signature.task !== "celery.chord") return undefined
  const header = readMany(signature.kwargs.header, "kwargs.header", 0)
  const [only] = header
  const isGroup = header.length === 1 && only !== undefined && only.task === "celery.group"
  const body = signature.kwargs.body
  return {
    header: isGroup ? tasks(only) : header,
    body: body === undefined || body === null ? null : read(body, "kwargs.body", 0)
  }
}

/** The callbacks (`link`) and errbacks (`link_error`) among the options. */
export const links = (
  signature: Signature
): { readonly callbacks: ReadonlyArray<Signature>; readonly errbacks: ReadonlyArray<Signature> } => ({
  callbacks: readMany(signature.options.link, "options.link", 0),
  errbacks: readMany(signature.options.link_error, "options.link_error", 0)
})
