/**
 * Gives a canvas its ids before anything of it is sent (`freeze` and `prepare_steps` of celery/canvas.py): every task in it gets one,
 * so that the sender knows the results to come, and whoever sends the rest later sends the very same. Pure; freezing twice changes
 * nothing.
 *
 * What comes out is made of fewer kinds than what goes in, as Celery has it ("upgrades"):
 *
 * ```text
 * chain(a, chain(b, c))      a | b | c                         chains are spliced
 * group(a, group(b, c))      group(a, b, c)                    groups are flattened
 * chain(group(a, b), c, d)   chord([a, b], chain(c, d))        what follows a group waits for all of it
 * chain(chord(h, b), c)      chord(h, chain(b, c))             what follows a chord follows its body
 * chunks(t, items, n)        group(starmap(t, ...), ...)
 * ```
 *
 * So a chain is tasks, and at most its last step is a group or a chord. Unlike Celery, a group of one stays a group: the one after it
 * gets a list, however long.
 */
import type { ResultTuple } from "@apium/protocol/celery/ResultMessage"
import * as Signature from "@apium/protocol/celery/Signature"

type Options = Readonly<Record<string, unknown>>

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

/** A canvas that makes no sense; the message says which part, and why. */
export class Unfrozen extends Error {}

const refuse = (task: string, why: string): never => {
  throw new Unfrozen(`${task} cannot be sent: ${why}`)
}

/** What is undefined or null overrides nothing. */
export const withOptions = (signature: Signature.Signature, options: Options): Signature.Signature => {
  const set = Object.entries(options).filter(([, value]) => value !== undefined && value !== null)
  return set.length === 0 ? signature : { ...signature, options: { ...signature.options, ...Object.fromEntries(set) } }
}

const withArgs = (signature: Signature.Signature, args: Signature.Signature["args"]): Signature.Signature =>
  args.length === 0 || signature.immutable ? signature : { ...signature, args: [...args, ...signature.args] }

/** Two lists of signatures on the wire, as one; each may be a single signature, or not there. */
export const both = (one: unknown, other: unknown): ReadonlyArray<unknown> | undefined => {
  const all = [one, other].flatMap((value) =>
    value === undefined || value === null ? [] : value
  ) as ReadonlyArray<unknown>
  return all.length === 0 ? undefined : all
}

const textOf = (signature: Signature.Signature, name: string): string | undefined => {
  const value = signature.options[name] ?? undefined
  if (value === undefined || typeof value === "string") return value
  return refuse(signature.task, `options.${name} should be a string`)
}

/** The members of a group, those of groups in it among them. */
export const membersOf = (group: Signature.Signature): ReadonlyArray<Signature.Signature> =>
  Signature.tasks(group).flatMap((member) => (member.task === "celery.group" ? membersOf(member) : [member]))

/**
 * The steps of a chain, spliced. What a chain is given as a whole goes to its first step; its own id, links, group and chord are its
 * last one's, its errbacks everybody's.
 */
export const stepsOf = (signature: Signature.Signature): ReadonlyArray<Signature.Signature> => {
  if (signature.task !== "celery.chain") return [signature]
  const {
    link,
    link_error: linkError,
    task_id: id,
    group_id,
    group_index,
    chord,
    chain: then,
    ...options
  } = signature.options
  const steps = Signature.tasks(signature).flatMap(stepsOf)
  const after = (Signature.decodeListUnsafe(then, "options.chain") ?? []).toReversed().flatMap(stepsOf)
  const last = steps.at(-1)
  if (last === undefined) return after
  const whole = { task_id: last.options.task_id ?? id, group_id, group_index, chord }
  const spliced = steps.map((step) => linked(step, { linkError }))
  spliced[spliced.length - 1] = withOptions(linked(spliced.at(-1)!, { link }), whole)
  spliced[0] = withOptions(withArgs(spliced[0]!, signature.args), options)
  return [...spliced, ...after]
}

interface Links {
  readonly link?: unknown
  readonly linkError?: unknown
}

/**
 * With these callbacks and errbacks besides its own. A chord's are its body's. A group has no result of its own: its first member calls
 * back, without a result, and each of them may fail (`group.link`, `group.link_error`).
 */
const linked = (signature: Signature.Signature, { link, linkError }: Links): Signature.Signature => {
  if (both(link, linkError) === undefined) return signature
  if (signature.task === "celery.chord") {
    const { body } = chordOf(signature)
    return { ...signature, kwargs: { ...signature.kwargs, body: Signature.encode(linked(body, { link, linkError })) } }
  }
  if (signature.task === "celery.group") {
    const immutable = (Signature.decodeListUnsafe(link, "options.link") ?? []).map((callback) =>
      Signature.encode({ ...callback, immutable: true })
    )
    const members = membersOf(signature).map((member, index) =>
      Signature.encode(linked(member, { link: index === 0 ? immutable : undefined, linkError }))
    )
    return { ...signature, kwargs: { ...signature.kwargs, tasks: members } }
  }
  if (signature.task === "celery.chain") {
    const { options } = signature
    return withOptions(signature, { link: both(options.link, link), link_error: both(options.link_error, linkError) })
  }
  return withOptions(signature, {
    link: both(signature.options.link, link),
    link_error: both(signature.options.link_error, linkError)
  })
}

const chordOf = (chord: Signature.Signature) => {
  const { body, header } = Signature.chordOf(chord)!
  if (body === null) return refuse(chord.task, "it has no body")
  return { body, header }
}

const chainOf = (steps: ReadonlyArray<Signature.Signature>): Signature.Signature =>
  steps.length === 1 ? steps[0]! : Signature.chain(steps)

/** `celery.chunks` is a group of starmaps. */
const chunked = (chunks: Signature.Signature): Signature.Signature => {
  const { it, n, task } = chunks.kwargs
  if (!Array.isArray(it) || typeof n !== "number" || !(n >= 1)) {
    return refuse(chunks.task, "it should be a list, and n how many of it go to one task")
  }
  const parts: Array<Signature.Signature> = []
  for (let at = 0; at < it.length; at += n) {
    const kwargs = { task: task ?? null, it: it.slice(at, at + n) }
    parts.push(Signature.make("celery.starmap", { kwargs, subtaskType: "starmap", immutable: true }))
  }
  return Signature.group(parts, chunks.options)
}

/** Tasks, and at most one group or chord, which is the last. */
const upgraded = (steps: ReadonlyArray<Signature.Signature>): ReadonlyArray<Signature.Signature> => {
  const at = steps.findIndex(
    ({ task }) => task === "celery.group" || task === "celery.chord" || task === "celery.chunks"
  )
  if (at < 0) return steps
  const step = steps[at]!.task === "celery.chunks" ? chunked(steps[at]!) : steps[at]!
  const rest = steps.slice(at + 1)
  if (rest.length === 0) return [...steps.slice(0, at), step]
  if (step.task === "celery.group") {
    const { link, link_error: linkError, task_id, ...options } = step.options
    const group = Signature.group(Signature.tasks(step), { task_id })
    const chord = Signature.make("celery.chord", {
      args: step.args,
      kwargs: {
        header: Signature.encode(linked(group, { link, linkError })),
        body: Signature.encode(chainOf(rest)),
        kwargs: {}
      },
      options,
      subtaskType: "chord",
      immutable: step.immutable
    })
    return [...steps.slice(0, at), chord]
  }
  const body = Signature.encode(chainOf([...stepsOf(chordOf(step).body), ...rest]))
  return [...steps.slice(0, at), { ...step, kwargs: { ...step.kwargs, body } }]
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
  const { task_id: _, ...own } = last.options
  const whole = isGroupLike(last) ? [...steps, list] : [...steps.slice(0, -1), { ...last, options: own }]
  const nested = whole.map((step) =>
    Signature.isCanvas(step) ? step : withOptions(step, { replaced_task_nesting: nesting })
  )
  const { signature: frozen } = freezeUnsafe(linked(chainOf(nested), { link, linkError }), {
    taskId: task_id as string,
    groupIndex: (group_index as number | null) ?? undefined
  })
  return joined(frozen, { group_id, chord })
}

const isGroupLike = ({ task }: Signature.Signature): boolean => task === "celery.group" || task === "celery.chunks"

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
  const { replyTo } = frame
  for (const step of steps.slice(0, -1)) {
    const { result, signature } = freezeUnsafe(step, { replyTo })
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
  const { members, results } = freezeMembers(membersOf(group), id, frame)
  return {
    signature: {
      ...Signature.group(members, { ...group.options, task_id: id }),
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
  const own = joined(body, { group_id: body.options.group_id ?? groupId })
  const encoded = Signature.encode(own)
  return { groupId, body: own, parts: header.map((part) => joined(part, { group_id: groupId, chord: encoded })) }
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
      const group = { ...signature, kwargs: { ...kwargs, tasks: membersOf(signature).map(inside) } }
      return withOptions(group, { task_id: to.group_id, chord: to.chord })
    }
    case "celery.chord":
      return { ...signature, kwargs: { ...kwargs, body: inside(chordOf(signature).body) } }
    default:
      return withOptions(signature, to)
  }
}
