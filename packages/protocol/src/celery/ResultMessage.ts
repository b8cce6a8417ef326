/**
 * The result of a task as the backends keep it and as `rpc://` sends it (`celery/backends/base.py`, `celery/result.py`, WIRE 4.5.2 and 4.5.3).
 *
 * ```json
 * {"status": "SUCCESS", "result": 5, "traceback": null, "children": [], "date_done": "2026-11-21T02:00:03.631730+00:00", "task_id": "..."}
 * ```
 *
 * `group_id` and `parent_id` are there when set, the extended fields with `result_extended`; rpc messages of 5.6 lack `date_done`.
 */
import * as Data from "effect/Data"
import * as Result from "effect/Result"
import { describe, type Fields, field, isRecord, rest, setField } from "../internal/record.ts"
import * as IsoTime from "../kombu/IsoTime.ts"
import type { KombuJson } from "../kombu/Json.ts"
import type { TaskState } from "./TaskState.ts"

export interface ResultMessage {
  readonly taskId: string
  readonly status: TaskState
  /** The value; a {@link Failure} in the exception states; `{pid, hostname}` for STARTED; whatever the task says for its own states. */
  readonly result: KombuJson
  readonly traceback: string | null
  /** Tasks that this one sent; `null` where it never began. */
  readonly children: ReadonlyArray<ResultTuple> | null
  /** ISO 8601, without an offset before 5.6 (UTC); `null` while it runs. */
  readonly dateDone: string | null
  readonly groupId?: string | undefined
  readonly parentId?: string | undefined
  /** From here on: `result_extended`. */
  readonly name?: string | null | undefined
  readonly args?: KombuJson | undefined
  readonly kwargs?: KombuJson | undefined
  readonly worker?: string | null | undefined
  readonly retries?: number | null | undefined
  readonly queue?: string | null | undefined
  /** Keys this module does not know: stamps, and those of other peers. */
  readonly extra?: Readonly<Record<string, unknown>> | undefined
}

/** An exception as data. Python builds the class again from type and module, if it knows it as an exception. */
export interface Failure {
  readonly excType: string
  /** The arguments of the exception. */
  readonly excMessage: ReadonlyArray<KombuJson>
  readonly excModule: string
}

/** A result and its ancestors, or a group of results: `[[id, parent], null]`, `[[groupId, parent], [child, ...]]`. */
export interface ResultTuple {
  readonly id: string
  readonly parent: ResultTuple | null
  /** `null` for a single task. */
  readonly children: ReadonlyArray<ResultTuple> | null
}

/** A value that is no result message; `where` is the path of the field. */
export class InvalidResult extends Data.TaggedError("InvalidResult")<{
  readonly message: string
  readonly where: string
}> {}

/** Levels of results within results: the length of a chain. */
export const maxDepth = 200

const invalid = (where: string, wanted: string, found: unknown): InvalidResult =>
  new InvalidResult({ message: `${where} should be ${wanted}, and is ${describe(found)}`, where })

// ------------------------------------------------------------------ keys

/** `celery-task-meta-<id>`: where a backend keeps the result of a task. */
export const taskKey = (taskId: string): string => `celery-task-meta-${taskId}`

/** `celery-taskset-meta-<id>`: a saved group; with a suffix the parts of a chord: `.j` results, `.s` size, `.t` members added. */
export const groupKey = (groupId: string, suffix: "" | ".j" | ".s" | ".t" = ""): string =>
  `celery-taskset-meta-${groupId}${suffix}`

// ------------------------------------------------------------------ meta

const known: ReadonlySet<string> = new Set([
  "task_id",
  "status",
  "result",
  "traceback",
  "children",
  "date_done",
  "group_id",
  "parent_id",
  "name",
  "args",
  "kwargs",
  "worker",
  "retries",
  "queue"
])

/** The object of the wire, keys in Python's order. */
export const encode = (message: ResultMessage): Record<string, unknown> => {
  const wire: Record<string, unknown> = {
    status: message.status,
    result: message.result,
    traceback: message.traceback,
    children: message.children === null ? null : message.children.map(encodeTuple),
    date_done: message.dateDone
  }
  const optional: ReadonlyArray<readonly [string, unknown]> = [
    ["group_id", message.groupId],
    ["parent_id", message.parentId],
    ["name", message.name],
    ["args", message.args],
    ["kwargs", message.kwargs],
    ["worker", message.worker],
    ["retries", message.retries],
    ["queue", message.queue]
  ]
  for (const [key, value] of optional) if (value !== undefined) wire[key] = value
  if (message.extra !== undefined) {
    for (const [key, value] of Object.entries(rest(message.extra, known))) setField(wire, key, value)
  }
  wire.task_id = message.taskId
  return wire
}

/** Reads a result. `taskId` stands in for a body without one, as old backends keep it. */
export const decode = (value: unknown, taskId?: string): Result.Result<ResultMessage, InvalidResult> =>
  Result.try({ try: () => decodeUnsafe(value, taskId), catch: (error) => error as InvalidResult })

/** {@link decode}, throwing. */
export const decodeUnsafe = (value: unknown, taskId?: string): ResultMessage => {
  if (!isRecord(value)) throw invalid("result", "an object", value)
  const status = field(value, "status")
  if (typeof status !== "string" || status === "") throw invalid("status", "the name of a state", status)
  const id = field(value, "task_id") ?? taskId
  if (typeof id !== "string") throw invalid("task_id", "a string", id)
  const children = field(value, "children") ?? null
  if (children !== null && !Array.isArray(children)) throw invalid("children", "an array or null", children)
  const extra = rest(value, known)

  const message: { -readonly [K in keyof ResultMessage]: ResultMessage[K] } = {
    taskId: id,
    status,
    result: (field(value, "result") ?? null) as KombuJson,
    traceback: text(value, "traceback") ?? null,
    children: children === null ? null : children.map((child, index) => readTuple(child, `children[${index}]`, 0)),
    dateDone: text(value, "date_done") ?? null
  }
  const groupId = text(value, "group_id")
  if (typeof groupId === "string") message.groupId = groupId
  const parentId = text(value, "parent_id")
  if (typeof parentId === "string") message.parentId = parentId
  const name = text(value, "name")
  if (name !== undefined) message.name = name
  const worker = text(value, "worker")
  if (worker !== undefined) message.worker = worker
  const queue = text(value, "queue")
  if (queue !== undefined) message.queue = queue
  const retries = field(value, "retries")
  if (retries === null || typeof retries === "number") message.retries = retries
  else if (retries !== undefined) throw invalid("retries", "a number or null", retries)
  if (Object.hasOwn(value, "args")) message.args = value.args as KombuJson
  if (Object.hasOwn(value, "kwargs")) message.kwargs = value.kwargs as KombuJson
  if (Object.keys(extra).length > 0) message.extra = extra
  return message
}

const text = (record: Fields, key: string): string | null | undefined => {
  const value = field(record, key)
  if (value === undefined || value === null || typeof value === "string") return value
  // Python's own JSON may carry a time as a time
  if (key === "date_done" && value instanceof Date && IsoTime.representable(value.getTime())) {
    return IsoTime.format(value.getTime())
  }
  if (key === "date_done" && typeof value === "object" && "text" in value && typeof value.text === "string")
    return value.text
  throw invalid(key, "a string or null", value)
}

// ------------------------------------------------------------------ failures

/** `{"exc_type": "ValueError", "exc_message": ["bad", 1], "exc_module": "builtins"}`. */
export const encodeFailure = (failure: Failure): Record<string, KombuJson> => ({
  exc_type: failure.excType,
  exc_message: failure.excMessage,
  exc_module: failure.excModule
})

/** Reads the `result` of an exception state; `undefined` if it is not the description of an exception. A message that is one text counts as one argument. */
export const decodeFailure = (result: unknown): Failure | undefined => {
  if (!isRecord(result)) return undefined
  const excType = field(result, "exc_type")
  if (typeof excType !== "string") return undefined
  const excMessage = field(result, "exc_message") ?? []
  const excModule = field(result, "exc_module")
  return {
    excType,
    excMessage: (Array.isArray(excMessage) ? excMessage : [excMessage]) as ReadonlyArray<KombuJson>,
    excModule: typeof excModule === "string" ? excModule : "builtins"
  }
}

/**
 * Since 5.3 Python puts an exception that does not survive pickle (its class takes other arguments than it hands on) into another:
 * `UnpickleableExceptionWrapper` of `celery/utils/serialization.py`, with module, class, arguments and text. This is the one inside.
 */
export const unwrapFailure = (failure: Failure): Failure => {
  if (failure.excType !== "UnpickleableExceptionWrapper" || failure.excModule !== "celery.utils.serialization") {
    return failure
  }
  const [excModule, excType, excMessage] = failure.excMessage
  return typeof excModule === "string" && typeof excType === "string" && Array.isArray(excMessage)
    ? { excType, excMessage: excMessage as ReadonlyArray<KombuJson>, excModule }
    : failure
}

// ------------------------------------------------------------------ trees

/** `[[id, parent], children]`. */
export const encodeTuple = (tuple: ResultTuple): ReadonlyArray<KombuJson> => [
  [tuple.id, tuple.parent === null ? null : encodeTuple(tuple.parent)],
  tuple.children === null ? null : tuple.children.map(encodeTuple)
]

/** Reads a result tuple (`AsyncResult.as_tuple`). A bare id in place of `[id, parent]` is taken, too. */
export const decodeTuple = (value: unknown): Result.Result<ResultTuple, InvalidResult> =>
  Result.try({ try: () => readTuple(value, "result", 0), catch: (error) => error as InvalidResult })

const readTuple = (value: unknown, where: string, depth: number): ResultTuple => {
  if (depth >= maxDepth)
    throw new InvalidResult({ message: `More than ${maxDepth} results deep`, where: where.slice(0, 200) })
  if (!Array.isArray(value) || value.length !== 2) throw invalid(where, "the pair [[id, parent], children]", value)
  const [head, children] = value as ReadonlyArray<unknown>
  const pair: ReadonlyArray<unknown> = Array.isArray(head) ? head : [head, null]
  const [id, parent = null] = pair
  if (typeof id !== "string") throw invalid(`${where}[0]`, "an id and a parent", head)
  if (children !== null && children !== undefined && !Array.isArray(children)) {
    throw invalid(`${where}[1]`, "an array or null", children)
  }
  return {
    id,
    parent: parent === null ? null : readTuple(parent, `${where}[0][1]`, depth + 1),
    children: Array.isArray(children)
      ? children.map((child, index) => readTuple(child, `${where}[1][${index}]`, depth + 1))
      : null
  }
}

/** A saved group: `{"result": [[groupId, parent], [child, ...]]}`. */
export const encodeGroup = (group: ResultTuple): Record<string, KombuJson> => ({ result: encodeTuple(group) })

/** Reads a saved group. */
export const decodeGroup = (value: unknown): Result.Result<ResultTuple, InvalidResult> =>
  isRecord(value) ? decodeTuple(field(value, "result")) : Result.fail(invalid("group", "an object", value))

// ------------------------------------------------------------------ chord parts

/** One member of a chord's `.j` set: `[1, taskId, state, result]`. */
export interface ChordPart {
  readonly taskId: string
  readonly state: TaskState
  readonly result: KombuJson
}

export const encodeChordPart = (part: ChordPart): ReadonlyArray<KombuJson> => [1, part.taskId, part.state, part.result]

export const decodeChordPart = (value: unknown): Result.Result<ChordPart, InvalidResult> => {
  if (!Array.isArray(value) || value.length !== 4) {
    return Result.fail(invalid("chord part", "the array [1, id, state, result]", value))
  }
  const [, taskId, state, result] = value as ReadonlyArray<unknown>
  if (typeof taskId !== "string") return Result.fail(invalid("chord part[1]", "an id", taskId))
  if (typeof state !== "string") return Result.fail(invalid("chord part[2]", "the name of a state", state))
  return Result.succeed({ taskId, state, result: result as KombuJson })
}
