/**
 * What a canvas becomes before it gets its ids (`prepare_steps` of celery/canvas.py): chains are spliced, what follows a group makes a chord
 * of it, and links go to whom they are for. Pure.
 *
 * ```text
 * chain(a, chain(b, c))      a | b | c                         chains are spliced
 * chain(group(a, b), c, d)   chord([a, b], chain(c, d))        what follows a group waits for all of it
 * chain(chord(h, b), c)      chord(h, chain(b, c))             what follows a chord follows its body
 * chunks(t, items, n)        group(starmap(t, ...), ...)
 * ```
 *
 * So a chain is tasks, and at most its last step is a group or a chord. Unlike Celery, a group of one stays a group: the one after it
 * gets a list, however long; and a group in a group stays one: it has a list of its own.
 */
import * as Signature from "@apium/protocol/celery/Signature"

export type Options = Readonly<Record<string, unknown>>

/** A canvas that makes no sense; the message says which part, and why. */
export class Unfrozen extends Error {}

export const refuse = (task: string, why: string): never => {
  throw new Unfrozen(`${task} cannot be sent: ${why}`)
}

/** What is undefined or null overrides nothing, and nothing overrides stamps (`Signature._merge`). */
export const withOptions = (signature: Signature.Signature, options: Options): Signature.Signature => {
  const { stamped_headers: stamped } = signature.options
  const kept: ReadonlyArray<unknown> = Array.isArray(stamped) ? ["stamped_headers", ...stamped] : none
  const set = Object.entries(options).filter(
    ([name, value]) => value !== undefined && value !== null && !(kept.includes(name) && name in signature.options)
  )
  return set.length === 0 ? signature : { ...signature, options: { ...signature.options, ...Object.fromEntries(set) } }
}

const none: ReadonlyArray<unknown> = []

const withArgs = (signature: Signature.Signature, args: Signature.Signature["args"]): Signature.Signature =>
  args.length === 0 || signature.immutable ? signature : { ...signature, args: [...args, ...signature.args] }

/** Two lists of signatures on the wire, as one; each may be a single signature, or not there. */
const both = (one: unknown, other: unknown): ReadonlyArray<unknown> | undefined => {
  const all = [one, other].flatMap((value) =>
    value === undefined || value === null ? [] : value
  ) as ReadonlyArray<unknown>
  return all.length === 0 ? undefined : all
}

export const textOf = (signature: Signature.Signature, name: string): string | undefined => {
  const value = signature.options[name] ?? undefined
  if (value === undefined || typeof value === "string") return value
  return refuse(signature.task, `options.${name} should be a string`)
}

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
export const linked = (signature: Signature.Signature, { link, linkError }: Links): Signature.Signature => {
  if (both(link, linkError) === undefined) return signature
  if (signature.task === "celery.chord") {
    const { body } = chordOf(signature)
    return { ...signature, kwargs: { ...signature.kwargs, body: Signature.encode(linked(body, { link, linkError })) } }
  }
  if (signature.task === "celery.group") {
    const immutable = (Signature.decodeListUnsafe(link, "options.link") ?? []).map((callback) =>
      Signature.encode({ ...callback, immutable: true })
    )
    const members = Signature.tasks(signature).map((member, index) =>
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

export const chordOf = (chord: Signature.Signature) => {
  const { body, header } = Signature.chordOf(chord)!
  if (body === null) return refuse(chord.task, "it has no body")
  return { body, header }
}

export const chainOf = (steps: ReadonlyArray<Signature.Signature>): Signature.Signature =>
  steps.length === 1 ? steps[0]! : Signature.chain(steps)

/** `celery.chunks` is a group of starmaps. */
export const chunked = (chunks: Signature.Signature): Signature.Signature => {
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
export const upgraded = (steps: ReadonlyArray<Signature.Signature>): ReadonlyArray<Signature.Signature> => {
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
