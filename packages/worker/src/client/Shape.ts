/** The results a canvas leaves, as a tree: a group has a list of them, and a group in it a list of its own. */
import type { ChordPart, ResultTuple } from "@apium/protocol/celery/ResultMessage"
import * as Signature from "@apium/protocol/celery/Signature"
import type { KombuJson } from "@apium/protocol/kombu/Json"

/** What a frozen signature leaves: a chain its last step's result, a chord its body's. */
export const resultOf = (signature: Signature.Signature): ResultTuple => {
  const id = signature.options.task_id as string
  switch (signature.task) {
    case "celery.group":
      return { id, parent: null, children: Signature.tasks(signature).map(resultOf) }
    case "celery.chain":
      return resultOf(Signature.tasks(signature).at(-1)!)
    case "celery.chord":
      return resultOf(Signature.chordOf(signature)!.body!)
    default:
      return { id, parent: null, children: null }
  }
}

/** The value of a group of none, and of groups of such. */
export const emptyOf = ({ children }: ResultTuple): KombuJson => (children ?? []).map(emptyOf)

/** The tree of a header that is more than a list. */
export const nestedOf = (id: string, header: ReadonlyArray<Signature.Signature>): ResultTuple | undefined => {
  const children = header.map(resultOf)
  return children.some((part) => part.children !== null) ? { id, parent: null, children } : undefined
}

/** The tasks in it. */
export const resultsIn = (result: ResultTuple): ReadonlyArray<ResultTuple> =>
  result.children === null ? [result] : result.children.flatMap(resultsIn)

/** The results of a chord's parts in the shape of its header, and after them those of parts that were added to it. */
export const valuesOf = (
  header: ResultTuple | undefined,
  parts: ReadonlyArray<ChordPart>
): ReadonlyArray<KombuJson> => {
  if (header === undefined || header.children === null) return parts.map(({ result }) => result)
  const values = new Map(parts.map(({ result, taskId }) => [taskId, result]))
  const own = new Set(resultsIn(header).map(({ id }) => id))
  const added = parts.filter(({ taskId }) => !own.has(taskId))
  return [...header.children.map((child) => shaped(child, values)), ...added.map(({ result }) => result)]
}

/** One that nobody counted is null. */
const shaped = ({ children, id }: ResultTuple, values: ReadonlyMap<string, KombuJson>): KombuJson =>
  children === null ? (values.get(id) ?? null) : children.map((child) => shaped(child, values))
