/**
 * Tasks composed (celery/canvas.py): what runs after, beside, and once all of others. A canvas is a signature as well, so it may be a part
 * of another one.
 *
 * ```ts
 * const sum = Canvas.chain(add.s({ x: 1, y: 2 }), add.partial({ y: 4 }))          // number
 * const all = Canvas.group([add.s({ x: 1, y: 2 }), greet.s({ name: "Ann" })])     // [number, string]
 * const one = Canvas.chord([add.s({ x: 1, y: 2 }), add.s({ x: 3, y: 4 })], total.partial({}))
 *
 * const result = yield* Canvas.delay(sum)       // sent; a worker sends the next step when one has succeeded
 * yield* result.get                             // 7
 * ```
 *
 * What follows a group waits for all of it, so `chain(group([a, b]), c)` is a chord. The parts of a chord are counted by the result backend:
 * Redis and memory do, `rpc://` does not.
 */
import { EncodeFailed, HubError } from "@apium/hub/HubError"
import * as Wire from "@apium/protocol/celery/Signature"
import type { KombuJson } from "@apium/protocol/kombu/Json"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { Params } from "../task/Binding.ts"
import type { PayloadOf, Task } from "../task/Task.ts"
import { TaskContext } from "../task/TaskContext.ts"
import { ReplaceRequested } from "../task/TaskError.ts"
import type { AsyncResult } from "./AsyncResult.ts"
import { Client, encoder, type Sent } from "./Client.ts"
import { isGroupLike } from "./Freeze.ts"
import type { Call } from "./SendOptions.ts"
import * as Signature from "./Signature.ts"
import type { Any, Leaf, Leaves } from "./Signature.ts"
import * as Stamps from "./Stamps.ts"

export type { Headers as Stamps, Visitor } from "./Stamps.ts"

type In<S> = S extends Signature.Signature<infer I, unknown, unknown, boolean> ? I : never
type Out<S> = S extends Signature.Signature<never, infer A, unknown, boolean> ? A : never
type Failure<S> = S extends Signature.Signature<never, unknown, infer E, boolean> ? E : never
type Many<S> = S extends Signature.Signature<never, unknown, unknown, infer M> ? M : never

/** The step before it gives what it does not take. */
export interface DoesNotFit<Gives, Takes> {
  readonly gives: Gives
  readonly takes: Takes
}

/** What comes before a step: the one in that place of a list that is longer by one. Of a list of any length each may come after any other. */
type Before<S extends ReadonlyArray<Any>, K> = number extends K
  ? S[number]
  : K extends keyof (readonly [unknown, ...S])
    ? (readonly [unknown, ...S])[K]
    : never

/** Step by step, for then the compiler points at the one that does not fit. `All`: of `...list` the compiler gives the list alone. */
type Piped<S extends ReadonlyArray<Any>, All extends ReadonlyArray<Any> = S> = {
  readonly [K in keyof S]: K extends "0"
    ? S[K]
    : [Out<Before<All, K>>] extends [Common<S[K]>]
      ? S[K]
      : DoesNotFit<Out<Before<All, K>>, Common<S[K]>>
}

type First<S extends ReadonlyArray<Any>> = S extends readonly [infer A, ...ReadonlyArray<unknown>] ? A : S[number]
type Last<S extends ReadonlyArray<Any>> = S extends readonly [...ReadonlyArray<unknown>, infer A] ? A : S[number]

/** What all of them can take. */
type Common<S> = (S extends unknown ? (one: In<S>) => void : never) extends (all: infer I) => void ? I : never

type Results<S extends ReadonlyArray<Any>> = { readonly [K in keyof S]: Out<S[K]> }

type Wired = Effect.Effect<ReadonlyArray<Wire.Signature>, HubError | Schema.SchemaError>

const wired = (signatures: ReadonlyArray<Any>): Wired => Effect.forEach(signatures, ({ wire }) => wire)

/** One after the other, each with the result of the one before it. Its result is the last one's. */
export const chain = <const S extends readonly [Any, ...ReadonlyArray<Any>]>(
  ...steps: Piped<S>
): Signature.Signature<Common<First<S>>, Out<Last<S>>, Failure<S[number]>, Many<Last<S>>> => {
  const all = steps as ReadonlyArray<Any>
  // A step that fails fails those that are to follow, with its own failure.
  const errors = new Set(all.flatMap(({ leaves }) => leavesOf(leaves)).flatMap(({ error }) => error ?? []))
  const { leaves } = all.at(-1)!
  return {
    wire: Effect.map(wired(all), (wires) => Wire.chain(wires)),
    leaves: errors.size === 0 ? leaves : failing(leaves, Schema.Union([...errors]))
  }
}

const leavesOf = (leaves: Leaves): ReadonlyArray<Leaf> => ("result" in leaves ? [leaves] : leaves.flatMap(leavesOf))

const failing = (leaves: Leaves, error: NonNullable<Leaf["error"]>): Leaves =>
  "result" in leaves ? { result: leaves.result, error } : leaves.map((leaf) => failing(leaf, error))

/** Side by side, each with the same result of what comes before. It has a list of results, in this order. */
export const group = <const S extends ReadonlyArray<Any>>(
  members: S
): Signature.Signature<Common<S[number]>, Results<S>, Failure<S[number]>, true> => ({
  wire: Effect.map(wired(members), (wires) => Wire.group(wires)),
  leaves: members.map(({ leaves }) => leaves)
})

/**
 * The body is called once with the list of all results, in the order of the header. When a part fails it is not called, and fails itself:
 * its errbacks are.
 */
export const chord = <const S extends ReadonlyArray<Any>, A, E, M extends boolean>(
  header: S,
  body: Signature.Signature<Results<S>, A, E, M>
): Signature.Signature<Common<S[number]>, A, E, M> => ({
  wire: Effect.zipWith(wired(header), body.wire, (wires, body) => Wire.chord(wires, body)),
  leaves: body.leaves
})

/** The arguments of one call, in the order of the task's parameters: what a map passes on. Throws what cannot be passed so. */
const positionalUnsafe = (
  { binding, params }: Pick<Task<string, Params, unknown, unknown>, "binding" | "params">,
  { args, kwargs }: Call
): ReadonlyArray<KombuJson> => {
  const names = binding === "raw" ? [] : Object.keys(params)
  const missing = names.findIndex((name) => !Object.hasOwn(kwargs, name))
  const given = missing < 0 ? names : names.slice(0, missing)
  const left = Object.keys(kwargs).find((name) => !given.includes(name))
  if (left !== undefined) {
    const why = missing < 0 ? "" : `, and ${names[missing]} before it is not`
    throw new TypeError(`arguments are passed by position: ${left} is given${why}`)
  }
  return [...args, ...given.map((name) => kwargs[name]!)]
}

const one = (args: ReadonlyArray<KombuJson>): KombuJson => {
  if (args.length !== 1) throw new TypeError(`map passes one argument, and these are ${args.length}: use starmap`)
  return args[0]!
}

const over = <P extends Params, A, E>(
  kind: "map" | "starmap",
  task: Task<string, P, A, E>,
  payloads: ReadonlyArray<PayloadOf<P>>
): Signature.Signature<unknown, ReadonlyArray<A>, E> => {
  const { error, result } = Signature.leafOf(task)
  const item = (payload: PayloadOf<P>): Effect.Effect<KombuJson, HubError | Schema.SchemaError> =>
    Effect.flatMap(encoder(task)(payload), (call) =>
      Effect.try({
        try: () => (kind === "map" ? one(positionalUnsafe(task, call)) : positionalUnsafe(task, call)),
        catch: (error) =>
          new HubError({
            reason: new EncodeFailed({ what: `a ${kind} of ${task.name}`, text: (error as Error).message })
          })
      })
    )
  // It goes where the task goes that it calls.
  const { priority, queue } = task.options
  return {
    wire: Effect.map(
      Effect.forEach(payloads, (payload) => item(payload)),
      (it) =>
        Wire.make(`celery.${kind}`, {
          kwargs: { task: Wire.encode(Wire.make(task.name)), it },
          options: {
            ...(queue === undefined ? undefined : { queue }),
            ...(priority === undefined ? undefined : { priority })
          },
          // No `subtaskType`: Python's xmap and xstarmap forget their options when a worker sends them (celery/canvas.py `_basemap.apply_async`), and
          // with the id whoever waits for a map that is not the first step.
          immutable: true
        })
    ),
    leaves: { result: Schema.Array(result), error }
  }
}

/** One task that runs another once for each of these, one after the other; its result is the list of theirs (`Task.starmap`). */
export const starmap = <P extends Params, A, E>(
  task: Task<string, P, A, E>,
  payloads: ReadonlyArray<PayloadOf<P>>
): Signature.Signature<unknown, ReadonlyArray<A>, E> => over("starmap", task, payloads)

/** As {@link starmap}, of a task with one parameter (`Task.map`). */
export const map = <P extends Params, A, E>(
  task: Task<string, P, A, E>,
  payloads: ReadonlyArray<PayloadOf<P>>
): Signature.Signature<unknown, ReadonlyArray<A>, E> => over("map", task, payloads)

/** A group of {@link starmap}s of `size` each (`Task.chunks`). */
export const chunks = <P extends Params, A, E>(
  task: Task<string, P, A, E>,
  payloads: ReadonlyArray<PayloadOf<P>>,
  size: number
): Signature.Signature<unknown, ReadonlyArray<ReadonlyArray<A>>, E, true> => {
  const parts: Array<Signature.Signature<unknown, ReadonlyArray<A>, E>> = []
  const step = Math.max(1, Math.floor(size))
  for (let at = 0; at < payloads.length; at += step) parts.push(starmap(task, payloads.slice(at, at + step)))
  return group(parts)
}

/**
 * The same, with stamps on every task in it, callbacks and errbacks included: labels that a worker shows and keeps with an extended
 * result, that retries and later steps carry on, and by which tasks are revoked (`Control.revokeByStampedHeaders`).
 *
 * ```ts
 * Canvas.stamp(sum, { monitoring_id: "abc" })
 * Canvas.stamp(sum, { onSignature: () => ({ monitoring_id: crypto.randomUUID() }) }) // each its own, drawn when it is sent
 * ```
 */
export const stamp = <I, A, E, M extends boolean>(
  signature: Signature.Signature<I, A, E, M>,
  stamps: Stamps.Visitor | Stamps.Headers,
  options?: Stamps.Options
): Signature.Signature<I, A, E, M> => ({
  ...signature,
  wire: Effect.flatMap(signature.wire, (wire) =>
    Effect.try({
      try: () => Stamps.stampUnsafe(wire, stamps, options),
      catch: (error) =>
        new HubError({
          reason: new EncodeFailed({
            what: `the stamps of ${wire.task}`,
            text: error instanceof Error ? error.message : String(error)
          })
        })
    })
  )
})

/** Sends a canvas that has all it needs, with options for the whole of it. */
export const applyAsync = <A, E, M extends boolean>(
  signature: Signature.Signature<Signature.Complete, A, E, M>,
  options: Signature.Options = {}
): Effect.Effect<Sent<A, E, M>, HubError | Schema.SchemaError, Client> =>
  Effect.flatMap(Client, (client) => client.apply(signature, options))

/** Sends a canvas that has all it needs. */
export const delay = <A, E, M extends boolean>(
  signature: Signature.Signature<Signature.Complete, A, E, M>
): Effect.Effect<Sent<A, E, M>, HubError | Schema.SchemaError, Client> => applyAsync(signature)

/**
 * From a handler: a signature, or a canvas, runs in the place of this task, with its id, its callbacks, the rest of its chain and its part
 * in its chord, and with its stamps where it has none of that name. Of a group the result is the list (Celery's `self.replace`).
 */
export const replace = <A, E, M extends boolean>(
  signature: Signature.Signature<Signature.Complete, A, E, M>
): Effect.Effect<A, ReplaceRequested | HubError | Schema.SchemaError> =>
  Effect.flatMap(signature.wire, (wire) => Effect.fail(new ReplaceRequested({ signature: wire })))

/**
 * From a handler that is a part of a chord: one part more, which the body waits for, and whose result it gets beside those of the others
 * (Celery's `self.add_to_chord`).
 */
export const addToChord = <A, E>(
  signature: Signature.Signature<Signature.Complete, A, E>
): Effect.Effect<AsyncResult<A, E>, HubError | Schema.SchemaError, Client | TaskContext> =>
  Effect.gen(function* () {
    const { chord, group, groupIndex, name } = yield* TaskContext
    if (chord === null || group === null) {
      return yield* noPart(`this run of ${name} is not a part of any`)
    }
    const wire = yield* signature.wire
    const several = yield* Effect.try({
      try: () => isGroupLike(wire),
      catch: (error) => noPart((error as Error).message)
    })
    // Its members would run, and nobody count them: the body would wait for ever.
    if (several) return yield* noPart("a group is several: add each of its members")
    const client = yield* Client
    return yield* client.apply(
      Signature.partOf({ ...signature, wire: Effect.succeed(wire) }, { chord, group, groupIndex })
    )
  })

const noPart = (text: string): HubError =>
  new HubError({ reason: new EncodeFailed({ what: "a part of a chord", text }) })
