/**
 * What a suite over every shape of a canvas asks a worker for, under `canvas.`: raw tasks, so that they add whatever Python adds. What
 * was run is kept by key, and Python asks for it (`canvas.told`).
 */
import * as Wire from "@apium/protocol/celery/Signature"
import type { KombuJson } from "@apium/protocol/kombu/Json"
import * as Canvas from "@apium/worker/client/Canvas"
import type { Client } from "@apium/worker/client/Client"
import * as Signature from "@apium/worker/client/Signature"
import * as Retry from "@apium/worker/task/Retry"
import * as Task from "@apium/worker/task/Task"
import { TaskContext } from "@apium/worker/task/TaskContext"
import * as TaskError from "@apium/worker/task/TaskError"
import { Tasks } from "@apium/worker/task/Tasks"
import { Duration, Effect, Layer, Option, Schema } from "effect"

/** The error of a test, which no Python class is called. */
class ExpectedException extends Schema.TaggedError<ExpectedException>()("ExpectedException", { text: Schema.String }) {
  override get message() {
    return this.text
  }
}

/** An exception whose constructor takes what nobody who builds it again can know. */
class Awkward extends Error {
  override readonly name = "Awkward"
  readonly cell: object
  constructor(foo: string, bar: { readonly baz: string }) {
    super(`${foo} ${bar.baz}`)
    this.cell = { bar, self: this, big: 1n }
  }
}

type Args = ReadonlyArray<KombuJson>
type Kwargs = Readonly<Record<string, KombuJson>>

const told = new Map<string, Array<KombuJson>>()

/** Of a key, or what else may come: as it is written. */
const text = (value: KombuJson | undefined): string => (typeof value === "string" ? value : JSON.stringify(value))

const tell = (key: KombuJson | undefined, what: KombuJson) =>
  Effect.sync(() => {
    const at = text(key)
    const before = told.get(at)
    if (before === undefined) told.set(at, [what])
    else before.push(what)
  })

/** As Python's `+`: of numbers, texts and lists. */
const plus = (one: KombuJson | undefined, other: KombuJson | undefined): KombuJson => {
  if (Array.isArray(one) && Array.isArray(other)) return [...(one as Args), ...(other as Args)]
  if (typeof one === "number" && typeof other === "number") return one + other
  if (typeof one === "string" && typeof other === "string") return one + other
  throw new TypeError(`cannot add ${JSON.stringify(one)} and ${JSON.stringify(other)}`)
}

const total = (values: KombuJson | undefined): number =>
  (values as ReadonlyArray<number>).reduce((sum, value) => sum + value, 0)

const named = (name: string, args: Args = [], kwargs: Kwargs = {}) => Signature.named(`canvas.${name}`, args, kwargs)
const immutable = (name: string, args: Args = [], kwargs: Kwargs = {}) =>
  Signature.named(`canvas.${name}`, args, kwargs, { immutable: true })

/** What follows a chain, and tells what it says: the chain's result, or a text of its own. */
const telling = ({ key, text }: Kwargs) =>
  text === undefined ? named("echo", [], { key: key! }) : immutable("echo", [text], { key: key! })

/** Without `canvas.`: what a Python client declares. */
export const canvasNames: Array<string> = []

const handle = (
  name: string,
  run: (args: Args, kwargs: Kwargs) => Effect.Effect<KombuJson, unknown, TaskContext | Client>,
  options: Task.TaskOptions = {}
) => {
  canvasNames.push(name)
  return Tasks.handle(
    Task.raw(`canvas.${name}`, options),
    // They fail with whatever the check is about.
    ({ args, kwargs }) => run(args, kwargs) as Effect.Effect<KombuJson>
  )
}

const context = <A>(of: (context: TaskContext["Service"]) => A) => Effect.map(TaskContext, of)

const seconds = (value: KombuJson) => Duration.seconds(Number(value))

/** What a handler gives whose task ends as another: its type is that of what takes its place. */
const replace = (signature: Signature.Any) => Canvas.replace(signature as never) as Effect.Effect<KombuJson, unknown>

const delay = (signature: Signature.Any) =>
  Effect.map(Canvas.delay(signature as never), (sent: { readonly id: string }): KombuJson => sent.id)

/** `root_id, parent_id, i`, as the run itself sees them. */
const ids = (i: KombuJson | undefined) =>
  context(({ parentId, rootId }): KombuJson => [rootId, Option.getOrNull(parentId), i ?? null])

const failing = (...args: Args) =>
  Effect.fail(new ExpectedException({ text: ["expected to fail", ...args.map(text)].join(" ") }))

const computing = Layer.mergeAll(
  handle("add", ([x, y, z], kwargs) =>
    Effect.sync(() => {
      const third = z ?? kwargs["z"]
      const two = plus(x ?? kwargs["x"], y ?? kwargs["y"])
      return third === undefined || third === null ? two : plus(two, third)
    })
  ),
  handle("mul", ([x, y]) => Effect.sync(() => (x as number) * (y as number))),
  handle("identity", ([x]) => Effect.succeed(x ?? null)),
  handle("tsum", ([values]) => Effect.sync(() => total(values))),
  handle("xsum", ([values]) =>
    Effect.sync(() => total((values as Args).map((value) => (Array.isArray(value) ? total(value as Args) : value))))
  ),
  handle("delayed_sum", ([values, seconds], kwargs) =>
    Effect.as(Effect.sleep(Number(seconds ?? kwargs["pause_time"] ?? 0) * 1000), total(values))
  ),
  handle("sleeping", ([seconds]) => Effect.as(Effect.sleep(Number(seconds) * 1000), seconds ?? null)),
  handle("print_unicode", ([text]) => Effect.as(Effect.log("håå®ƒ valmuefrø"), text ?? "hiöäüß")),
  handle("return_exception", ([x]) => Effect.succeed([x ?? null, true])),
  handle("replaced_with_me", () => Effect.succeed(true)),
  handle("ids", ([i], kwargs) => ids(i ?? kwargs["i"])),
  handle("collect_ids", ([before, i], kwargs) =>
    Effect.map(ids(i ?? kwargs["i"]), (own): KombuJson => [before ?? null, own])
  ),
  handle("request", () =>
    context(({ delivery, group, groupIndex, headers, id, name, parentId, retries, rootId, timeLimit }): KombuJson => ({
      id,
      name,
      retries,
      group,
      root_id: rootId,
      parent_id: Option.getOrNull(parentId),
      group_index: groupIndex,
      headers: headers as KombuJson,
      timelimit: [...timeLimit],
      priority: delivery.priority,
      routing_key: delivery.routingKey
    }))
  ),
  handle("return_priority", () => context(({ delivery }) => `Priority: ${delivery.priority}`)),
  handle("ignoring", ([key]) => tell(key, "ran").pipe(Effect.as("never stored")), { ignoreResult: true })
)

/** What tells, and who is told. */
const telltale = Layer.mergeAll(
  handle("echo", ([text], { key }) => Effect.as(tell(key, text ?? null), text ?? null)),
  handle("write_to_file_and_return_int", ([key, i]) => Effect.as(tell(key, i!), i!)),
  handle("errback", (args, { key }) => Effect.as(tell(key, args), args[0] ?? null)),
  handle("errback_by_id", ([id]) => Effect.as(tell(id, 1), id ?? null)),
  handle("group_id", (_, { key }) => Effect.flatMap(TaskContext, ({ group }) => Effect.as(tell(key, group), group))),
  handle("told", ([key]) => Effect.sync(() => told.get(text(key)) ?? []))
)

const failures = Layer.mergeAll(
  handle("fail", (args) => failing(...args)),
  handle("raise_error", () => Effect.die(new TypeError("deliberate error"))),
  handle("fail_unpickleable", ([foo, bar]) => Effect.die(new Awkward(text(foo), { baz: text(bar) }))),
  handle("fail_with", ([value]) => Effect.die(value)),
  handle("retry", ([value], { countdown = 0.02 }) =>
    Effect.flatMap(TaskContext, ({ retries }) =>
      value !== undefined && retries >= 3
        ? Effect.succeed(value)
        : Retry.again({ countdown: seconds(countdown), cause: new ExpectedException({ text: "not yet" }) })
    )
  ),
  handle("retry_once", (_, { countdown = 0.02, what = "retries" }) =>
    Effect.flatMap(TaskContext, ({ delivery, headers, retries }) =>
      retries === 0
        ? Retry.again({ countdown: seconds(countdown), maxRetries: 1 })
        : Effect.succeed({ retries, priority: delivery.priority, headers: headers as KombuJson }[text(what)] ?? null)
    )
  ),
  handle("reject_first", ([key]) =>
    Effect.suspend(() =>
      told.has(text(key))
        ? Effect.succeed("second pass")
        : Effect.andThen(tell(key, "rejected"), Effect.fail(new TaskError.Reject({ requeue: true })))
    )
  ),
  // By policy, as a class of Python's has `autoretry_for`.
  handle(
    "retry_by_class",
    () =>
      Effect.flatMap(TaskContext, ({ retries }) =>
        retries > 0 ? Effect.succeed(retries) : Effect.die(new RangeError("first"))
      ),
    { retry: Retry.exponential({ maxRetries: 1, base: "20 millis", cap: "1 second" }) }
  )
)

const replacing = Layer.mergeAll(
  handle("add_replaced", ([x, y]) => replace(immutable("add", [x!, y!]))),
  handle("fail_replaced", (args) => replace(immutable("fail", args))),
  handle("replace_with_me", () => replace(immutable("replaced_with_me"))),
  handle("replace_with_chain", (args, kwargs) => {
    const chain = Canvas.chain(named("identity", args), named("identity"))
    return replace(kwargs["key"] === undefined ? chain : Signature.set(chain, { link: telling(kwargs) }))
  }),
  handle("replace_with_chain_which_raises", (args, kwargs) => {
    const chain = Canvas.chain(named("identity", args), named("fail"))
    return replace(kwargs["key"] === undefined ? chain : Signature.set(chain, { linkError: telling(kwargs) }))
  }),
  // By what a result or an argument was, and a signature before that.
  handle("become", ([signature]) => replace(Signature.fromWire(signature as unknown as Wire.Signature))),
  handle("replace_with_empty_chain", () => replace(Signature.fromWire(Wire.chain([])))),
  handle("replace_with_chord", ([values]) =>
    replace(
      Canvas.chord(
        (values as Args).map((value) => named("identity", [value])),
        named("tsum")
      ) as never
    )
  ),
  handle("add_to_all", ([values, value]) =>
    replace(Canvas.group((values as Args).map((one) => named("add", [one, value!]))))
  ),
  handle("add_to_all_to_chord", ([values, value]) =>
    Effect.as(
      Effect.forEach(values as Args, (one) => Canvas.addToChord(named("add", [one, value!]) as never)),
      0
    )
  ),
  handle("add_chord_to_chord", ([values, value]) =>
    Effect.as(
      Canvas.addToChord(
        Canvas.chord(
          (values as Args).map((one) => named("add", [one, value!])),
          named("tsum")
        ) as never
      ),
      0
    )
  ),
  // Two tasks that replace themselves by chains of one another: what a nested `replace` has to keep apart.
  handle("second_order_replace1", ([key, done]) =>
    done === true
      ? tell(key, "Out A").pipe(Effect.as(null))
      : Effect.andThen(
          tell(key, "In A"),
          replace(
            Canvas.chain(
              immutable("second_order_replace2", [key!]),
              immutable("second_order_replace1", [key!, true])
            ) as never
          )
        )
  ),
  handle("second_order_replace2", ([key, done]) =>
    done === true
      ? tell(key, "Out B").pipe(Effect.as(null))
      : Effect.andThen(
          tell(key, "In B"),
          replace(
            Canvas.chain(
              immutable("echo", ["In/Out C"], { key: key! }),
              immutable("second_order_replace2", [key!, true])
            ) as never
          )
        )
  )
)

/** Those that send a canvas of their own. */
const sending = Layer.mergeAll(
  handle("chain_add", ([x, y]) => delay(Canvas.chain(named("add", [x!, x!]), named("add", [y!])))),
  handle("chord_add", ([x, y]) => delay(Canvas.chord([named("add", [x!, x!])], named("add", [[y!]]))))
)

export const canvasHandlers = Layer.mergeAll(computing, telltale, failures, replacing, sending)
