/**
 * A signature to the messages that run it (celery/canvas.py `apply_async`, celery/app/base.py `send_task`): a plain one is a
 * task, a chain is its first step with the others on board, a group is all of its members, a chord all of its header with the body on
 * board of each. Pure: everything is worked out, and refused, before anything is sent.
 */
import { HubError } from "@apium/hub/HubError"
import type { ResultTuple } from "@apium/protocol/celery/ResultMessage"
import * as Signature from "@apium/protocol/celery/Signature"
import * as Data from "effect/Data"
import { freezeUnsafe, joined, leavesOf, partsOf, sizeOf } from "./Freeze.ts"
import type { Outgoing } from "./Outgoing.ts"
import { emptyOf, nestedOf, resultOf } from "./Shape.ts"
import * as Options from "./SignatureOptions.ts"
import type { Given, Sender } from "./SignatureOptions.ts"

export type { Given, Sender } from "./SignatureOptions.ts"

/** A signature nobody can send; says which, and why. */
export class SignatureRefused extends Data.TaggedError("SignatureRefused")<{ readonly message: string }> {}

/** What a backend has to know before the last part of a chord is sent: a part may end before the next is on its way. */
export interface Chord {
  readonly groupId: string
  /** How many parts. */
  readonly size: number
  /** The header's result, where a part has several: the body gets a list of that shape. */
  readonly nested: ResultTuple | undefined
}

export interface Plan {
  readonly messages: ReadonlyArray<Outgoing>
  readonly chords: ReadonlyArray<Chord>
  /** The results to come, one for each signature that has any. */
  readonly results: ReadonlyArray<ResultTuple>
  /** The tasks that store none. */
  readonly ignored: ReadonlySet<string>
}

const refuse = (task: string, why: string): never => {
  throw new SignatureRefused({ message: `${task} cannot be sent: ${why}` })
}

/** Throws {@link SignatureRefused}, and a `HubError` for where it is to go. */
export const planUnsafe = (
  signatures: ReadonlyArray<readonly [signature: Signature.Signature, given: Given]>,
  sender: Sender
): Plan => {
  const messages: Array<Outgoing> = []
  const chords: Array<Chord> = []
  const ignored = new Set<string>()

  /** A frozen one. `given.chain` follows a plain task alone. */
  const send = (signature: Signature.Signature, given: Given): void => {
    switch (signature.task) {
      case "celery.chain": {
        const [first, ...rest] = Signature.tasks(signature)
        return send(first!, { ...given, chain: rest.toReversed() })
      }
      case "celery.group": {
        const group = { group_id: signature.options.task_id }
        const whole = { ...given, args: argsOf(signature, given) }
        for (const member of Signature.tasks(signature)) send(joined(member, group), whole)
        return
      }
      case "celery.chord": {
        const { body, groupId, parts } = partsOf(signature)
        const size = parts.reduce((sum, part) => sum + sizeOf(part), 0)
        if (size > 0) chords.push({ groupId, size, nested: nestedOf(groupId, parts) })
        const whole = { ...given, args: argsOf(signature, given) }
        for (const part of parts) send(part, whole)
        // Where all parts are groups of none there is nothing to count.
        return size === 0 ? send(body, { ...given, args: [parts.map((part) => emptyOf(resultOf(part)))] }) : undefined
      }
      default: {
        const { immutable, kwargs, options, task } = signature
        const args = immutable || given.args.length === 0 ? signature.args : [...given.args, ...signature.args]
        try {
          messages.push(Options.outgoingUnsafe(task, { args, kwargs }, options, given, sender))
        } catch (error) {
          if (error instanceof HubError) throw error
          refuse(task, (error as Error).message)
        }
      }
    }
  }

  const ignore = ({ options: { ignore_result: ignores, task_id: id } }: Signature.Signature): void => {
    if (ignores === true) ignored.add(id as string)
  }

  const plan = (signature: Signature.Signature, given: Given): ResultTuple | undefined => {
    // The common case: a callback, a step of a chain. What follows it is frozen.
    if (!Signature.isCanvas(signature)) {
      const own = freezeUnsafe(signature, { replyTo: given.replyTo })
      ignore(own.signature)
      send(own.signature, given)
      return own.result
    }
    const { chain, ...start } = given
    const whole = chain.length === 0 ? signature : Signature.chain([signature, ...chain.toReversed()])
    if (signature.task === "celery.chain" && Signature.tasks(signature).length === 0 && chain.length === 0) return
    const { result, signature: frozen } = freezeUnsafe(whole, { replyTo: given.replyTo })
    for (const leaf of leavesOf(frozen)) ignore(leaf)
    send(frozen, { ...start, chain: [] })
    return result
  }

  const results: Array<ResultTuple> = []
  for (const [signature, given] of signatures) {
    try {
      const result = plan(signature, given)
      if (result !== undefined) results.push(result)
    } catch (error) {
      if (error instanceof SignatureRefused || error instanceof HubError) throw error
      throw new SignatureRefused({ message: (error as Error).message })
    }
  }
  return { messages, chords, results, ignored }
}

const argsOf = (signature: Signature.Signature, given: Given): Given["args"] =>
  signature.immutable ? signature.args : [...given.args, ...signature.args]
