/**
 * The tasks every worker has (celery/app/builtins.py): other clients send them by name. A handler registered under one of these names
 * stands in for it.
 */
import * as ResultMessage from "@apium/protocol/celery/ResultMessage"
import * as Signature from "@apium/protocol/celery/Signature"
import type { KombuJson } from "@apium/protocol/kombu/Json"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type { TaskContext } from "../task/TaskContext.ts"
import * as TaskError from "../task/TaskError.ts"
import type { Registered } from "../task/Tasks.ts"
import type { Outcome } from "./Outcome.ts"
import type { Call, Perform } from "./Perform.ts"

type Find = (name: string) => Registered | undefined
type Request = TaskContext["Service"]

const failed = (failure: ResultMessage.Failure): Outcome => ({ _tag: "Failure", failure, traceback: null })

/** Positional or by name, as Python binds them. */
const argument = ({ args, kwargs }: Call, index: number, name: string): KombuJson => kwargs[name] ?? args[index] ?? null

/** What throws is a call that makes no sense: the task fails with it. */
const attempt = (perform: (call: Call, request: Request) => Effect.Effect<Outcome>): Perform => {
  return (call, request) =>
    Effect.suspend(() => {
      try {
        return perform(call, request)
      } catch (error) {
        return Effect.succeed(failed(TaskError.typeError((error as Error).message)))
      }
    })
}

const now = (perform: (call: Call) => Outcome): Perform => attempt((call) => Effect.sync(() => perform(call)))

/** One call after the other in this one run; the first that does not succeed is how it ends. */
const over = (find: Find, unpack: (item: KombuJson) => ReadonlyArray<KombuJson>): Perform =>
  attempt((call, request) => {
    const { task, kwargs } = Signature.decodeUnsafe(argument(call, 0, "task"), "task")
    const it = argument(call, 1, "it")
    if (!Array.isArray(it)) throw new TypeError("it should be a list of arguments")
    const registered = find(task)
    if (registered === undefined) return Effect.succeed(failed(TaskError.notRegistered(task)))
    return Effect.gen(function* () {
      const values: Array<KombuJson> = []
      for (const item of it as ReadonlyArray<KombuJson>) {
        const outcome = yield* registered.perform({ args: unpack(item), kwargs }, request)
        if (outcome._tag !== "Success") return outcome
        values.push(outcome.value)
      }
      return { _tag: "Success", value: values }
    })
  })

const replace = (signature: Signature.Signature): Outcome => ({ _tag: "Replace", signature })

const listOf = (value: KombuJson, what: string): ReadonlyArray<Signature.Signature> => {
  const found = Signature.decodeListUnsafe(value, what) ?? []
  return found.length === 1 && found[0]!.task === "celery.group" ? Signature.tasks(found[0]!) : found
}

const numberOf = (value: KombuJson): number | null => (typeof value === "number" && value >= 0 ? value : null)

/** What Celery waits between two looks (`result_chord_retry_interval`), in seconds. */
const chordRetryInterval = 1

const unlock = (call: Call): Outcome => {
  const [groupId, results] = [argument(call, 0, "group_id"), argument(call, 4, "result")]
  if (typeof groupId !== "string" || !Array.isArray(results)) {
    throw new TypeError("group_id should be a string, and result the list of the results of its header")
  }
  return {
    _tag: "Join",
    join: {
      groupId,
      results: results.map((tuple) => Result.getOrThrow(ResultMessage.decodeTuple(tuple))),
      body: Signature.decodeUnsafe(argument(call, 1, "callback"), "callback"),
      interval: numberOf(argument(call, 2, "interval")) ?? chordRetryInterval,
      maxRetries: numberOf(argument(call, 3, "max_retries"))
    }
  }
}

/** Looked up where nobody registered a handler. `find`: the others. */
export const make = (find: Find): Find => {
  const performs: Readonly<Record<string, Perform>> = {
    /** What a group is replaced by ends with it: its list. */
    "celery.accumulate": now(({ args, kwargs }) => {
      const { index } = kwargs
      if (index === undefined || index === null) return { _tag: "Success", value: args }
      const value = typeof index === "number" ? args.at(index) : undefined
      return value === undefined
        ? failed({ excType: "IndexError", excMessage: ["tuple index out of range"], excModule: "builtins" })
        : { _tag: "Success", value }
    }),
    /** Results expire by themselves, in every backend there is. */
    "celery.backend_cleanup": now(() => ({ _tag: "Success", value: null })),
    "celery.map": over(find, (item) => [item]),
    "celery.starmap": over(find, (item) => (Array.isArray(item) ? (item as ReadonlyArray<KombuJson>) : [item])),
    "celery.chunks": now((call) =>
      replace(
        Signature.make("celery.chunks", {
          kwargs: { task: argument(call, 0, "task"), it: argument(call, 1, "it"), n: argument(call, 2, "n") },
          subtaskType: "chunks"
        })
      )
    ),
    "celery.group": now((call) => {
      const [tasks, args] = [argument(call, 0, "tasks"), argument(call, 3, "partial_args")]
      return replace({
        ...Signature.group(listOf(tasks, "tasks")),
        args: Array.isArray(args) ? (args as ReadonlyArray<KombuJson>) : []
      })
    }),
    "celery.chain": now(() =>
      failed({
        excType: "NotImplementedError",
        excMessage: ["chain is not a real task"],
        excModule: "builtins"
      })
    ),
    "celery.chord": now((call) => {
      const body = Signature.decodeUnsafe(argument(call, 1, "body"), "body")
      const args = argument(call, 2, "partial_args")
      return replace({
        ...Signature.chord(listOf(argument(call, 0, "header"), "header"), body),
        args: Array.isArray(args) ? (args as ReadonlyArray<KombuJson>) : []
      })
    }),
    "celery.chord_unlock": now(unlock)
  }
  const registered = new Map(
    Object.entries(performs).map(([name, perform]): [string, Registered] => [
      name,
      { task: { name, options: name === "celery.chord_unlock" ? { ignoreResult: true } : {} }, perform }
    ])
  )
  return (name) => registered.get(name)
}

/** Sorted. */
export const names: ReadonlyArray<string> = [
  "celery.accumulate",
  "celery.backend_cleanup",
  "celery.chain",
  "celery.chord",
  "celery.chord_unlock",
  "celery.chunks",
  "celery.group",
  "celery.map",
  "celery.starmap"
]
