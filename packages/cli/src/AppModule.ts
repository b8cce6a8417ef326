/**
 * What `-A ./tasks.ts` names: a module of the user's, loaded as it is by Node, Bun and Deno. Its default export is a layer of
 * handlers; all others are optional: `queues`, `schedule`, and of the worker's options `routes`, `createMissingQueues` and `direct`.
 *
 * ```ts
 * export default Layer.mergeAll(Tasks.handle(add, ({ x, y }) => Effect.succeed(x + y)))
 * export const queues = [Queue.make("celery"), Queue.make("mail")]
 * export const schedule = [Beat.entry("tick", { task: add, payload: { x: 1, y: 1 }, schedule: Schedule.every("1 minute") })]
 * ```
 */
import type { Queue } from "@apium/hub/Queue"
import type * as Beat from "@apium/worker/beat/Beat"
import type { Client } from "@apium/worker/client/Client"
import { queueNamed } from "@apium/worker/client/Publisher"
import type * as Router from "@apium/worker/client/Router"
import type { Tasks } from "@apium/worker/task/Tasks"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { existsSync, readdirSync, statSync } from "node:fs"
import * as path from "node:path"
import { pathToFileURL } from "node:url"
import * as BrokerUrl from "./BrokerUrl.ts"
import { Failed, NoInput, UsageError } from "./Errors.ts"
import { didYouMean } from "@apium/protocol/Suggest"
import { messageOf, printable } from "./Text.ts"

export interface AppModule {
  readonly url: URL
  readonly handlers: Layer.Layer<never, unknown, Tasks | Client>
  readonly queues: ReadonlyArray<Queue>
  readonly schedule: ReadonlyArray<Beat.Entry>
  /** Of whoever sends. */
  readonly routing: Routing
  /** Whether its workers have a queue of their own. */
  readonly direct: boolean
}

type Routing = Pick<Router.Options, "routes" | "createMissingQueues">

const notFound = (name: string, file: string): NoInput => {
  const folder = path.dirname(file)
  const names = existsSync(folder) && statSync(folder).isDirectory() ? readdirSync(folder) : []
  const text = `There is no module ${name} (looked for ${file}).${didYouMean(path.basename(file), names)}`
  return new NoInput({ text: printable(text) })
}

const find = (name: string): Effect.Effect<URL, NoInput | UsageError> =>
  Effect.suspend((): Effect.Effect<URL, NoInput | UsageError> => {
    if (BrokerUrl.schemeOf(name) !== undefined) {
      return Effect.fail(new UsageError({ text: `-A takes a path, as ./tasks.ts, and is ${BrokerUrl.mask(name)}` }))
    }
    const file = path.resolve(name)
    const found = statSync(file, { throwIfNoEntry: false })
    if (found === undefined) return Effect.fail(notFound(name, file))
    return found.isFile()
      ? Effect.succeed(pathToFileURL(file))
      : Effect.fail(new NoInput({ text: printable(`${name} is no file: -A takes a module, as in -A ./tasks.ts`) }))
  })

/** The stack says where in the user's module it was; the loader's own part of it says nothing. */
const notLoaded = (name: string, error: unknown): Failed => {
  const message = messageOf(error)
  const stack = (error instanceof Error ? (error.stack ?? "") : "").replaceAll(
    /\n *at [^\n]*\bnode:internal[^\n]*/g,
    ""
  )
  // JavaScriptCore's does not begin with the message.
  const text = stack.includes(message) ? stack : `${message}\n${stack}`
  return new Failed({ text: `${printable(name)} could not be loaded: ${BrokerUrl.maskWithin(text.trimEnd())}` })
}

const kindOf = (value: unknown): string => {
  if (value === undefined) return "there is none"
  if (value === null) return "it is null"
  if (Array.isArray(value)) return "it is an array"
  if (Effect.isEffect(value)) return "it is an effect"
  return typeof value === "object" ? "it is an object" : `it is a ${typeof value}`
}

const isHandlers = (value: unknown): value is AppModule["handlers"] => Layer.isLayer(value)

const isQueue = (value: unknown): value is Queue =>
  typeof value === "object" && value !== null && "name" in value && "bindings" in value && "durable" in value

const isEntry = (value: unknown): value is Beat.Entry =>
  typeof value === "object" && value !== null && "name" in value && "schedule" in value && "send" in value

const listOf = <A>(
  module: string,
  name: string,
  value: unknown,
  is: (value: unknown) => value is A,
  made: string
): Effect.Effect<ReadonlyArray<A>, UsageError> => {
  if (value === undefined) return Effect.succeed([])
  if (Array.isArray(value) && value.every(is)) return Effect.succeed(value)
  const text = `The export ${name} of ${printable(module)} is a list of what ${made} makes, and ${kindOf(value)}`
  return Effect.fail(new UsageError({ text: Array.isArray(value) ? `${text} of something else` : text }))
}

const routingOf = (
  module: string,
  { createMissingQueues, routes }: Readonly<Record<string, unknown>>
): Effect.Effect<Routing, UsageError> => {
  const wrong = (name: string, takes: string, value: unknown) =>
    Effect.fail(
      new UsageError({ text: `The export ${name} of ${printable(module)} is ${takes}, and ${kindOf(value)}` })
    )
  if (!["undefined", "boolean", "function"].includes(typeof createMissingQueues)) {
    return wrong("createMissingQueues", "true, false, or a function that makes a queue", createMissingQueues)
  }
  if (routes === null || !["undefined", "object", "function"].includes(typeof routes)) {
    return wrong("routes", "an object, a list or a function", routes)
  }
  return Effect.succeed({ createMissingQueues, routes } as Routing)
}

export const load = Effect.fnUntraced(function* (
  name: string
): Effect.fn.Return<AppModule, NoInput | UsageError | Failed> {
  const url = yield* find(name)
  const loaded = yield* Effect.tryPromise({
    try: () => import(url.href) as Promise<Readonly<Record<string, unknown>>>,
    catch: (error) => notLoaded(name, error)
  })
  const handlers = loaded.default
  if (!isHandlers(handlers)) {
    return yield* new UsageError({
      text: [
        `The default export of ${printable(name)} is a layer of handlers, and ${kindOf(handlers)}. As in`,
        `  export default Layer.mergeAll(Tasks.handle(add, ({ x, y }) => Effect.succeed(x + y)))`
      ].join("\n")
    })
  }
  return {
    url,
    handlers,
    queues: yield* listOf(name, "queues", loaded.queues, isQueue, "Queue.make"),
    schedule: yield* listOf(name, "schedule", loaded.schedule, isEntry, "Beat.entry"),
    routing: yield* routingOf(name, loaded),
    direct: loaded.direct === true
  }
})

/** Those of `-Q`, as the module has them or else as it makes what it does not have; without any the module's, or else `celery`. */
export const queuesOf = (
  { queues, routing: { createMissingQueues = true } }: AppModule,
  wanted: ReadonlyArray<string>
): Effect.Effect<ReadonlyArray<Queue>, UsageError> => {
  if (wanted.length === 0) return Effect.succeed(queues.length === 0 ? [queueNamed("celery")] : queues)
  return Effect.forEach(new Set(wanted), (name) => {
    const found = queues.find((queue) => queue.name === name || queue.alias === name)
    if (found !== undefined) return Effect.succeed(found)
    if (typeof createMissingQueues === "function") return Effect.succeed(createMissingQueues(name))
    if (createMissingQueues) return Effect.succeed(queueNamed(name))
    const names = queues.map(({ alias, name }) => alias ?? name)
    const text = `-Q ${printable(name)}: it is none of the module's queues, which are all there is to be`
    return Effect.fail(new UsageError({ text: `${text} (createMissingQueues).${didYouMean(name, names)}` }))
  })
}
