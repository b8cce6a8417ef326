/** What a canvas is to its compiler. Nothing is sent. */
import * as Canvas from "@apium/worker/client/Canvas"
import * as Signature from "@apium/worker/client/Signature"
import type { AsyncResult } from "@apium/worker/client/AsyncResult"
import type { GroupResult } from "@apium/worker/client/GroupResult"
import type { Client } from "@apium/worker/client/Client"
import type { HubError } from "@apium/hub/HubError"
import type { KombuJson } from "@apium/protocol/kombu/Json"
import * as Task from "@apium/worker/task/Task"
import * as TaskError from "@apium/worker/task/TaskError"
import { assert, it } from "@effect/vitest"
import { type Effect, Schema } from "effect"

class TooLarge extends Schema.TaggedError<TooLarge>()("TooLarge", { n: Schema.Number }) {}
class TooSmall extends Schema.TaggedError<TooSmall>()("TooSmall", { n: Schema.Number }) {}
const add = Task.make("t.add", { params: { x: Schema.Number, y: Schema.Number }, result: Schema.Number })
const total = Task.make("t.total", { params: { of: Schema.Array(Schema.Number) }, result: Schema.Number })
const text = Task.make("t.text", { params: { n: Schema.Number }, result: Schema.String, error: TooLarge })
const size = Task.make("t.size", { params: { text: Schema.String }, result: Schema.Number, error: TooSmall })
const done = Task.make("t.done", { params: { n: Schema.Number, note: Schema.optionalKey(Schema.String) } })
const rows = Task.make("t.rows", { params: { of: Schema.Array(Schema.Array(Schema.Number)) }, result: Schema.Number })
const raw = Task.raw("t.raw")

type Sent<S> = Effect.Effect<S, HubError | Schema.SchemaError, Client>
declare const sure: boolean
const adds = [add.partial({ y: 1 }), add.partial({ y: 2 })]
const texts = [text.partial({})]

it("says what a canvas gives, how it fails, and what does not fit", () => {
  const fits = (): ReadonlyArray<unknown> => {
    const chain: Sent<AsyncResult<number, TooLarge | TooSmall>> = Canvas.delay(
      Canvas.chain(add.s({ x: 1, y: 2 }), text.partial({}), size.partial({}))
    )
    const stamped: typeof chain = Canvas.delay(
      Canvas.stamp(Canvas.chain(add.s({ x: 1, y: 2 }), text.partial({}), size.partial({})), { id: "abc" })
    )
    const group: Sent<GroupResult<readonly [number, string], TooLarge>> = Canvas.delay(
      Canvas.group([add.s({ x: 1, y: 2 }), text.s({ n: 1 })])
    )
    const nested: Sent<GroupResult<readonly [readonly [number, number], string], TooLarge>> = Canvas.delay(
      Canvas.group([Canvas.group([add.s({ x: 1, y: 2 }), add.s({ x: 1, y: 2 })]), text.s({ n: 1 })])
    )
    const many: ReadonlyArray<Signature.Signature<Signature.Complete, number>> = [add.s({ x: 1, y: 1 })]
    const dynamic: Sent<AsyncResult<number>> = Canvas.delay(Canvas.chord(many, total.partial({})))
    const inner = Canvas.group([add.s({ x: 1, y: 1 }), add.s({ x: 1, y: 1 })])
    const groups: Sent<AsyncResult<number>> = Canvas.delay(Canvas.chord([inner, inner], rows.partial({})))
    const anything: Sent<AsyncResult<KombuJson, TooLarge>> = Canvas.delay(
      Canvas.chain(text.s({ n: 1 }), raw.partial({ args: [1] }), Signature.named("py.any"))
    )
    const optional: Sent<AsyncResult<void>> = Canvas.delay(Canvas.chain(add.s({ x: 1, y: 2 }), done.partial({})))
    const empty: Sent<GroupResult<readonly []>> = Canvas.delay(Canvas.group([]))
    const afterEmpty: Sent<AsyncResult<number>> = Canvas.delay(Canvas.chain(Canvas.group([]), total.partial({})))
    const spread: Sent<AsyncResult<number>> = Canvas.delay(Canvas.chain(add.s({ x: 1, y: 2 }), ...adds))
    const ended: Sent<GroupResult<readonly [number, string], TooLarge>> = Canvas.delay(
      Canvas.chain(add.s({ x: 1, y: 2 }), Canvas.group([add.partial({ y: 1 }), text.partial({})]))
    )
    return [chain, stamped, group, nested, dynamic, groups, anything, optional, empty, afterEmpty, spread, ended]
  }
  const doNotFit = (): ReadonlyArray<unknown> => [
    // @ts-expect-error a void for a string
    Canvas.chain(done.s({ n: 1 }), size.partial({})),
    // @ts-expect-error a string for what may take a number
    Canvas.chain(text.s({ n: 1 }), sure ? size.partial({}) : add.partial({ y: 1 })),
    // @ts-expect-error what may be a string for a number
    Canvas.chain(sure ? text.s({ n: 1 }) : add.s({ x: 1, y: 1 }), add.partial({ y: 1 })),
    // @ts-expect-error each of a list of any length takes a number
    Canvas.chain(text.s({ n: 1 }), ...adds),
    // @ts-expect-error one of a list of any length gives a string to another
    Canvas.chain(add.s({ x: 1, y: 2 }), ...texts),
    // @ts-expect-error a member takes a string
    Canvas.chain(add.s({ x: 1, y: 2 }), Canvas.group([add.partial({ y: 1 }), size.partial({})])),
    // @ts-expect-error a list of lists for a list of numbers
    Canvas.chord([Canvas.group([add.s({ x: 1, y: 1 })])], total.partial({})),
    // @ts-expect-error a member misses something
    Canvas.delay(Canvas.group([add.s({ x: 1, y: 1 }), add.partial({ y: 1 })])),
    // @ts-expect-error a part misses something
    Canvas.delay(Canvas.chord([add.partial({ y: 1 })], total.partial({}))),
    // @ts-expect-error no such parameter
    add.partial({ z: 1 }),
    // @ts-expect-error no such parameter beside one that there is
    add.partial({ y: 1, z: 1 }),
    // @ts-expect-error the same, of the function
    Signature.partial(done, { noet: "1" }),
    Canvas.chain(
      add.s({ x: 1, y: 2 }),
      add.partial({ y: 1 }),
      // @ts-expect-error the compiler points at the step that does not fit
      size.partial({}),
      add.partial({ y: 1 })
    ),
    // @ts-expect-error another type
    add.partial({ y: "1" }),
    // @ts-expect-error a visitor gives stamps by their names
    Canvas.stamp(add.s({ x: 1, y: 1 }), { onSignature: () => "abc" }),
    // @ts-expect-error a part misses something, stamped or not
    Canvas.delay(Canvas.stamp(add.partial({ y: 1 }), { id: "abc" })),
    // @ts-expect-error no such field
    TaskError.python(TooLarge, { module: "proj.errors", type: "TooLarge", args: ["m"] })
  ]
  assert.isFunction(fits)
  assert.isFunction(doNotFit)
})
