/**
 * A signature to the messages that run it (celery/canvas.py `apply_async`, celery/app/base.py `send_task`): a plain one is a
 * task, a chain is its first step with the others on board, a group is all of its members. Pure: everything is worked out,
 * and refused, before anything is sent.
 *
 * A chord is refused, and so is a group that something follows, for that is one: they need a backend that counts.
 */
import type { ResultTuple } from "@apium/protocol/celery/ResultMessage"
import * as Signature from "@apium/protocol/celery/Signature"
import * as Data from "effect/Data"
import type { Outgoing } from "./Publisher.ts"
import * as Options from "./SignatureOptions.ts"
import type { Given, Sender } from "./SignatureOptions.ts"

export type { Given, Sender } from "./SignatureOptions.ts"

/** A signature nobody can send; says which, and why. */
export class SignatureRefused extends Data.TaggedError("SignatureRefused")<{ readonly message: string }> {}

export interface Plan {
  readonly messages: ReadonlyArray<Outgoing>
  /** The results to come, one for each signature that has any. */
  readonly results: ReadonlyArray<ResultTuple>
}

const single = (id: string): ResultTuple => ({ id, parent: null, children: null })

const refuse = (task: string, why: string): never => {
  throw new SignatureRefused({ message: `${task} cannot be sent: ${why}` })
}

/** Throws {@link SignatureRefused}. */
export const planUnsafe = (
  signatures: ReadonlyArray<readonly [signature: Signature.Signature, given: Given]>,
  sender: Sender
): Plan => {
  const messages: Array<Outgoing> = []
  const results: Array<ResultTuple> = []

  const plan = (signature: Signature.Signature, given: Given): ResultTuple | undefined => {
    switch (signature.task) {
      case "celery.chain":
        return planChain(signature, given)
      case "celery.group":
        return planGroup(signature, given)
      case "celery.chord":
        return refuse(signature.task, "chords are not supported yet")
      default:
        return planTask(signature, given)
    }
  }

  const planTask = (signature: Signature.Signature, given: Given): ResultTuple => {
    const { task, kwargs, options, immutable } = signature
    const args = immutable || given.args.length === 0 ? signature.args : [...given.args, ...signature.args]
    try {
      const outgoing = Options.outgoingUnsafe(task, { args, kwargs }, options, given, sender)
      messages.push(outgoing)
      return single(outgoing.task.headers.id)
    } catch (error) {
      return refuse(task, (error as Error).message)
    }
  }

  /**
   * What a chain is given as a whole goes to its first step; its own id, links, group and chord are its last one's, its
   * errbacks everybody's.
   */
  const planChain = (chain: Signature.Signature, given: Given): ResultTuple | undefined => {
    const {
      link,
      link_error: linkError,
      task_id: id,
      group_id,
      group_index,
      chord,
      chain: then,
      ...options
    } = chain.options
    const steps = Signature.tasks(chain).map((step) =>
      withOptions(step, { link_error: Options.both(step.options.link_error, linkError) })
    )
    const after = [...given.chain, ...(Signature.decodeListUnsafe(then, "options.chain") ?? [])]
    const last = steps.pop()
    if (last === undefined) {
      return after.length === 0 ? undefined : refuse(chain.task, "it is empty, and something is to follow it")
    }
    const whole = { task_id: last.options.task_id ?? id, group_id, group_index, chord }
    steps.push(withOptions(last, { ...whole, link: Options.both(last.options.link, link) }))
    const [first, ...others] = steps
    const args = chain.immutable ? chain.args : [...given.args, ...chain.args]
    return plan(withOptions(first!, options), { ...given, args, chain: [...after, ...others.toReversed()] })
  }

  const planGroup = (group: Signature.Signature, given: Given): ResultTuple => {
    if (given.chain.length > 0) refuse(group.task, "a group that is followed by a task is a chord, not supported yet")
    if (group.options.chord !== undefined && group.options.chord !== null) {
      refuse(group.task, "chords are not supported yet")
    }
    const { task_id: id = crypto.randomUUID(), ...options } = group.options
    if (typeof id !== "string") return refuse(group.task, "options.task_id should be a string")
    const args = group.immutable ? group.args : [...given.args, ...group.args]
    const children: Array<ResultTuple> = []
    for (const member of members(group)) {
      const own = { ...options, group_id: id, group_index: children.length }
      const child = plan(withOptions(member, own), { ...given, args })
      if (child !== undefined) children.push(child)
    }
    return { id, parent: null, children }
  }

  for (const [signature, given] of signatures) {
    const result = plan(signature, given)
    if (result !== undefined) results.push(result)
  }
  return { messages, results }
}

/** A group within a group is no group of its own. */
const members = (group: Signature.Signature): ReadonlyArray<Signature.Signature> =>
  Signature.tasks(group).flatMap((member) => (member.task === "celery.group" ? members(member) : [member]))

/** What is undefined or null overrides nothing. */
const withOptions = (
  signature: Signature.Signature,
  options: Readonly<Record<string, unknown>>
): Signature.Signature => {
  const set = Object.entries(options).filter(([, value]) => value !== undefined && value !== null)
  return set.length === 0 ? signature : { ...signature, options: { ...signature.options, ...Object.fromEntries(set) } }
}
