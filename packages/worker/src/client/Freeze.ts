/**
 * Gives a canvas its ids before anything of it is sent (`freeze` of celery/canvas.py): every task in it gets one,
 * so that the sender knows the results to come, and whoever sends the rest later sends the very same. Pure; freezing twice changes
 * nothing.
 *
 * What comes out is made of fewer kinds than what goes in ("upgrades"): see `Steps`.
 */
import type { ResultTuple } from "@apium/protocol/celery/ResultMessage"
import * as Signature from "@apium/protocol/celery/Signature"
import {
  chainOf,
  chordOf,
  chunked,
  linked,
  type Options,
  refuse,
  stepsOf,
  textOf,
  upgraded,
  withOptions
} from "./Steps.ts"

/** What whatever is around a signature asks of it. */
export interface Frame {
  /** For the one result it stands for: of a chain the last step's, of a chord the body's. */
  readonly taskId?: string | undefined
  /** Of a part of a chord: a group that it ends with is a part of the same. */
  readonly groupId?: string | undefined
  /** Its place in its group, of its first result: it may have several. */
  readonly groupIndex?: number | undefined
  /** Where an rpc backend's results go. */
  readonly replyTo?: string | undefined
}

export interface Frozen {
  readonly signature: Signature.Signature
  readonly result: ResultTuple
}

/** How many results a chord waits for that has this frozen signature in its header: Celery's `_descend`. */
export const sizeOf = (signature: Signature.Signature): number => {
  switch (signature.task) {
    case "celery.group":
      return Signature.tasks(signature).reduce((sum, member) => sum + sizeOf(member), 0)
    case "celery.chain":
      return sizeOf(Signature.tasks(signature).at(-1)!)
    case "celery.chord":
      return sizeOf(chordOf(signature).body)
    default:
      return 1
  }
}

/**
 * What takes the place of a task (`Task.replace`): frozen with the task's id, in its group and chord, with its callbacks. A group becomes
 * a chord, whose body gives the list. Throws {@link Unfrozen}.
 */
export const replacing = (signature: Signature.Signature, of: Options): Signature.Signature => {
  const { chord, group_id, group_index, link, link_error: linkError, replaced_task_nesting: nesting, task_id } = of
  if (signature.options.chord !== undefined && signature.options.chord !== null) {
    return refuse(signature.task, "what replaces a task cannot be a part of another chord")
  }
  const steps = stepsOf(signature)
  if (steps.length === 0) return refuse(signature.task, "a task cannot be replaced by an empty chain")
  const list = Signature.make("celery.accumulate", { kwargs: { index: 0 } })
  const last = steps.at(-1)!
  const whole = isGroupLike(last) ? [...steps, list] : [...steps.slice(0, -1), unnamed(last)]
  const nested = whole.map((step) =>
    Signature.isCanvas(step) ? step : withOptions(step, { replaced_task_nesting: nesting })
  )
  const { signature: frozen } = freezeUnsafe(linked(chainOf(nested), { link, linkError }), {
    taskId: task_id as string,
    groupIndex: (group_index as number | null) ?? undefined
  })
  return joined(frozen, { group_id, chord })
}

/** Without an id for its result: it gets that of the task it replaces. */
const unnamed = (signature: Signature.Signature): Signature.Signature => {
  const { task_id: _, ...options } = signature.options
  if (signature.task === "celery.chain") {
    const steps = stepsOf(signature)
    return chainOf([...steps.slice(0, -1), ...steps.slice(-1).map(unnamed)])
  }
  if (signature.task !== "celery.chord") return { ...signature, options }
  const body = Signature.encode(unnamed(chordOf(signature).body))
  return { ...signature, options, kwargs: { ...signature.kwargs, body } }
}

/** Whether it leaves a list of results. */
export const isGroupLike = (signature: Signature.Signature): boolean => {
  switch (signature.task) {
    case "celery.group":
    case "celery.chunks":
      return true
    case "celery.chain":
      return stepsOf(signature).slice(-1).some(isGroupLike)
    case "celery.chord":
      return isGroupLike(chordOf(signature).body)
    default:
      return false
  }
}

/** The result furthest back of which nobody knows what came before it. */
const after = (result: ResultTuple, parent: ResultTuple): ResultTuple => ({
  ...result,
  parent: result.parent === null ? parent : after(result.parent, parent)
})

/** Throws {@link Unfrozen}, and `InvalidSignature`. */
export const freezeUnsafe = (signature: Signature.Signature, frame: Frame = {}): Frozen => {
  switch (signature.task) {
    case "celery.chain":
      return freezeChain(signature, frame)
    case "celery.group":
      return freezeGroup(signature, frame)
    case "celery.chunks":
      return freezeGroup(chunked(signature), frame)
    case "celery.chord":
      return freezeChord(signature, frame)
    default:
      return freezeTask(signature, frame)
  }
}

const freezeTask = (signature: Signature.Signature, frame: Frame): Frozen => {
  const id = textOf(signature, "task_id") ?? frame.taskId ?? crypto.randomUUID()
  const options = {
    task_id: id,
    reply_to: signature.options.reply_to ?? frame.replyTo,
    group_index: signature.options.group_index ?? frame.groupIndex
  }
  return { signature: withOptions(signature, options), result: { id, parent: null, children: null } }
}

const freezeChain = (chain: Signature.Signature, frame: Frame): Frozen => {
  const steps = upgraded(stepsOf(chain))
  const last = steps.at(-1)
  if (last === undefined) return refuse(chain.task, "it is empty")
  const frozen: Array<Signature.Signature> = []
  let parent: ResultTuple | undefined
  for (const step of steps.slice(0, -1)) {
    const { result, signature } = freezeUnsafe(step, { replyTo: frame.replyTo })
    frozen.push(signature)
    parent = parent === undefined ? result : after(result, parent)
  }
  const end = freezeUnsafe(last, frame)
  const result = parent === undefined ? end.result : after(end.result, parent)
  if (frozen.length === 0) return { ...end, result }
  // Python asks the chain itself for its id where it is the body of a chord.
  const signature = Signature.chain([...frozen, end.signature], { task_id: end.result.id })
  return { signature, result }
}

const freezeGroup = (group: Signature.Signature, frame: Frame): Frozen => {
  // As the end of a part of a chord its members are parts of it, every one.
  const id = frame.groupId ?? textOf(group, "task_id") ?? frame.taskId ?? crypto.randomUUID()
  // Whose group and chord it is its members say; its links are theirs, and so are all other options.
  const {
    task_id: _,
    group_id: _group,
    group_index: _index,
    chord: _chord,
    link,
    link_error: linkError,
    ...options
  } = group.options
  const parts = Signature.tasks(linked(group, { link, linkError })).map((member) => withOptions(member, options))
  const { members, results } = freezeMembers(parts, id, frame)
  return {
    signature: {
      ...Signature.group(members, { task_id: id }),
      args: group.args,
      immutable: group.immutable
    },
    result: { id, parent: null, children: results }
  }
}

const freezeMembers = (
  signatures: ReadonlyArray<Signature.Signature>,
  groupId: string,
  { groupIndex = 0, replyTo }: Frame
) => {
  const members: Array<Signature.Signature> = []
  const results: Array<ResultTuple> = []
  let index = groupIndex
  for (const member of signatures) {
    const frozen = freezeUnsafe(member, { groupId, groupIndex: index, replyTo })
    members.push(frozen.signature)
    results.push(frozen.result)
    index += sizeOf(frozen.signature)
  }
  return { members, results }
}

const freezeChord = (chord: Signature.Signature, frame: Frame): Frozen => {
  const { body, header } = chordOf(chord)
  const gid = headerId(chord) ?? crypto.randomUUID()
  const {
    task_id: id,
    chain: then,
    link,
    link_error: linkError,
    chord: outer,
    group_id,
    group_index,
    ...options
  } = chord.options
  // What follows it, and links, are its body's; other options are everybody's. `task_id` is its header's once it is frozen.
  const rest = (Signature.decodeListUnsafe(then, "options.chain") ?? []).toReversed()
  const whole = rest.length === 0 ? body : chainOf([...stepsOf(body), ...rest.flatMap(stepsOf)])
  const frozenBody = freezeUnsafe(withOptions(linked(whole, { link, linkError }), { ...options, group_index }), {
    ...frame,
    taskId: frame.taskId ?? (typeof id === "string" && id !== gid ? id : undefined),
    groupId: frame.groupId ?? (typeof group_id === "string" ? group_id : undefined)
  })
  const parts = header.map((part) => withOptions(part, options))
  const { members, results } = freezeMembers(parts, gid, { replyTo: frame.replyTo })
  return {
    signature: Signature.make("celery.chord", {
      args: chord.args,
      kwargs: {
        kwargs: {},
        header: Signature.encode(Signature.group(members, { task_id: gid })),
        body: Signature.encode(joined(frozenBody.signature, { group_id, chord: outer }))
      },
      options: { task_id: gid },
      subtaskType: "chord",
      immutable: chord.immutable
    }),
    result: after(frozenBody.result, { id: gid, parent: null, children: results })
  }
}

const headerId = ({ kwargs: { header } }: Signature.Signature): string | undefined => {
  if (typeof header !== "object" || header === null || !("task" in header) || header.task !== "celery.group") return
  return textOf(Signature.decodeUnsafe(header), "task_id")
}

/** Of a frozen chord that is about to be sent: each part says which chord it is a part of, and carries the body. */
export const partsOf = (chord: Signature.Signature) => {
  const { body, header } = chordOf(chord)
  const groupId = chord.options.task_id as string
  // Of a chord in a chord the body is a part of the outer one: its last step, or each of its members, says so already.
  const own = Signature.isCanvas(body) ? body : withOptions(body, { group_id: body.options.group_id ?? groupId })
  const encoded = Signature.encode(own)
  return { groupId, body: own, parts: header.map((part) => joined(part, { group_id: groupId, chord: encoded })) }
}

/** The tasks in it, which somebody may wait for. */
export const leavesOf = (signature: Signature.Signature): ReadonlyArray<Signature.Signature> => {
  if (!Signature.isCanvas(signature)) return [signature]
  const chord = Signature.chordOf(signature)
  return chord === undefined
    ? Signature.tasks(signature).flatMap(leavesOf)
    : [...chord.header, ...(chord.body === null ? [] : [chord.body])].flatMap(leavesOf)
}

/**
 * Whom the failure of a chord's body is told: its own errbacks, which get its id, and those of its first tasks, or of the body of a chord
 * there. Ours are with the tasks (`linked`); Python leaves them with a chain until a worker runs it, and 5.2 does not give that an id.
 */
export const errbacksOf = (
  body: Signature.Signature
): ReadonlyArray<readonly [errback: Signature.Signature, id: string | null]> => {
  const last = body.task === "celery.chain" ? Signature.tasks(body).at(-1) : undefined
  const id = body.options.task_id ?? last?.options.task_id
  const own = Signature.links(body).errbacks.map((errback) => [errback, typeof id === "string" ? id : null] as const)
  if (!Signature.isCanvas(body)) return own
  const inner = Signature.chordOf(body)?.body ?? undefined
  const next = inner === undefined ? Signature.tasks(body).slice(0, last === undefined ? undefined : 1) : [inner]
  return [...own, ...next.flatMap(errbacksOf)]
}

/**
 * As a member of this group, or a part of this chord. Not before it is sent: Python gives a chord that it finds in a chain a new id.
 * Whoever stands for the result of the whole says it: a chain's last step, a chord's body, all of a group.
 */
export const joined = (signature: Signature.Signature, to: Options): Signature.Signature => {
  if (Object.values(to).every((value) => value === undefined || value === null)) return signature
  const inside = (one: Signature.Signature) => Signature.encode(joined(one, to))
  const { kwargs } = signature
  switch (signature.task) {
    case "celery.chain": {
      const steps = Signature.tasks(signature)
      const tasks = steps.map((step, index) => (index < steps.length - 1 ? Signature.encode(step) : inside(step)))
      return { ...signature, kwargs: { ...kwargs, tasks } }
    }
    case "celery.group": {
      const group = { ...signature, kwargs: { ...kwargs, tasks: Signature.tasks(signature).map(inside) } }
      return withOptions(group, { task_id: to.group_id, chord: to.chord })
    }
    case "celery.chord":
      return { ...signature, kwargs: { ...kwargs, body: inside(chordOf(signature).body) } }
    default:
      return withOptions(signature, to)
  }
}
