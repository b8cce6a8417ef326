/**
 * Where tasks go by their names: Celery's `task_routes` (celery/app/routes.py).
 *
 * ```ts
 * const routes: Routes.Routes = [
 *   (name, args, kwargs) => (kwargs["urgent"] === true ? "urgent" : undefined),
 *   { "mail.send": "mail", "feeds.*": { queue: "feeds", routingKey: "feed.import" } },
 *   [[/(video|image)\..+/, { queue: "media", priority: 3 }]]
 * ]
 * ```
 *
 * The first router that answers wins. In a table a name comes before all patterns, and those are asked in their order. A name with a `*` is
 * a glob of Python's `fnmatch` (`*`, `?`, `[a-z]`, `[!a-z]`) for the whole name; a RegExp is to match from the first letter, as `re.match`
 * does, and how long that takes is its own affair. What a table says of a name is remembered; a function is asked each time.
 */
import type { Arguments } from "@apium/hub/Exchange"
import { HubError, RouteFailed } from "@apium/hub/HubError"
import type { Queue } from "@apium/hub/Queue"
import { matchesGlob } from "@apium/protocol/kombu/MailboxMessage"
import { didYouMean } from "@apium/protocol/Suggest"
import type { Countdown } from "../task/Countdown.ts"
import type { TaskOptions } from "../task/Task.ts"
import type { Call, SendOptions } from "./SendOptions.ts"

/** What is not said here is as without a route; what a send says itself, or the task's definition, comes before it. */
export interface Route {
  /** By its name or its alias, or a queue that need not be described elsewhere. */
  readonly queue?: string | Queue | undefined
  readonly exchange?: string | undefined
  readonly routingKey?: string | undefined
  readonly priority?: number | undefined
  readonly serializer?: string | undefined
  readonly compression?: string | undefined
  readonly headers?: Arguments | undefined
  /** Unlike Celery's, which reads no such thing of a route, and drops it. */
  readonly expires?: Countdown | undefined
}

/** A queue by its name, or more. */
export type Target = string | Route

/** What a send said, as far as it says where a task goes, and how. */
export type Options = Pick<
  SendOptions,
  "taskId" | "shadow" | "queue" | "exchange" | "routingKey" | "priority" | "serializer" | "compression" | "headers"
>

/** Nothing: the next router is asked. `task` is the definition, where the sender has it. */
export type RouteFunction = (
  name: string,
  args: Call["args"],
  kwargs: Call["kwargs"],
  options: Options,
  task: TaskOptions | undefined
) => Target | null | undefined

export type Table = Readonly<Record<string, Target>> | ReadonlyArray<readonly [name: string | RegExp, to: Target]>

export type Routes = Table | RouteFunction | ReadonlyArray<Table | RouteFunction>

export type Lookup = (name: string, call: Call, options: Options, task: TaskOptions | undefined) => Route | undefined

/** Names may come from messages of others: past so many, and of such a length, they are looked up anew. */
const maxRemembered = 10_000
const maxName = 255

const broken = (route: string, text: string): never => {
  throw new HubError({ reason: new RouteFailed({ route, text }) })
}

const isTable = (routes: Exclude<Routes, RouteFunction>): routes is Table =>
  !Array.isArray(routes) || (routes.length > 0 && routes.every(isPair))

/** A table, or a list of them, begins with something else. */
const isPair = (entry: unknown): boolean =>
  Array.isArray(entry) && entry.length === 2 && (typeof entry[0] === "string" || entry[0] instanceof RegExp)

const fields: ReadonlySet<string> = new Set([
  "queue",
  "exchange",
  "routingKey",
  "priority",
  "serializer",
  "compression",
  "headers",
  "expires"
] satisfies ReadonlyArray<keyof Route>)

/** One with nothing in it ends the search, as in Celery: the task goes where it goes by default. */
const routeOf = (place: string, to: unknown): Route => {
  if (typeof to === "string") return to === "" ? broken(place, "its queue has no name") : { queue: to }
  if (typeof to !== "object" || to === null || Array.isArray(to) || "then" in to) {
    return broken(place, "it should give the name of a queue, or an object as { queue, routingKey }")
  }
  const unknown = Object.keys(to).find((name) => !fields.has(name))
  if (unknown !== undefined) {
    return broken(place, `a route has no ${JSON.stringify(unknown)}.${didYouMean(unknown, fields)}`)
  }
  const route: Route = to
  const { exchange, queue } = route
  if (queue === "" || (typeof queue === "object" && queue.name === "")) return broken(place, "its queue has no name")
  if (queue !== undefined && typeof queue !== "string" && !Array.isArray(queue?.bindings)) {
    return broken(place, "its queue should be a name, or made by Queue.make")
  }
  if (exchange === "") return broken(place, "its exchange has no name")
  return route
}

/** One that matches from the first letter, whatever was matched before. */
const sticky = (pattern: RegExp): ((name: string) => boolean) => {
  const own = new RegExp(pattern.source, `${pattern.flags.replaceAll(/[gy]/g, "")}y`)
  return (name) => {
    own.lastIndex = 0
    return own.test(name)
  }
}

const tableOf = (place: string, table: Table): Lookup => {
  if (typeof table !== "object" || table === null || (Array.isArray(table) && !table.every(isPair))) {
    return broken(place, "it should be an object, a list of pairs [name, route], or a function")
  }
  const exact = new Map<string, Route>()
  const patterns: Array<readonly [matches: (name: string) => boolean, route: Route]> = []
  const entries = Array.isArray(table)
    ? (table as ReadonlyArray<readonly [string | RegExp, Target]>)
    : Object.entries(table as Readonly<Record<string, Target | undefined>>)
  for (const [key, to] of entries) {
    const here = `${place}[${typeof key === "string" ? JSON.stringify(key) : String(key)}]`
    if (to === undefined) continue
    if (key === "") broken(here, "it is for a task without a name")
    const route = routeOf(here, to)
    if (typeof key !== "string") patterns.push([sticky(key), route])
    else if (key.includes("*")) patterns.push([(name) => matchesGlob(key, name), route])
    else exact.set(key, route)
  }
  const known = new Map<string, Route | undefined>()
  const find = (name: string): Route | undefined => exact.get(name) ?? patterns.find(([matches]) => matches(name))?.[1]
  return (name) => {
    if (patterns.length === 0) return exact.get(name)
    if (known.has(name)) return known.get(name)
    const found = find(name)
    if (name.length > maxName) return found
    if (known.size >= maxRemembered) known.clear()
    known.set(name, found)
    return found
  }
}

const functionOf =
  (place: string, route: RouteFunction): Lookup =>
  (name, { args, kwargs }, options, task) => {
    const here = `${place}${route.name === "" ? "" : ` (${route.name})`} for ${name.slice(0, maxName)}`
    let to: ReturnType<RouteFunction>
    try {
      to = route(name, args, kwargs, options, task)
    } catch (error) {
      return broken(here, `it threw: ${error instanceof Error ? error.message : String(error)}`)
    }
    return to === undefined || to === null ? undefined : routeOf(here, to)
  }

/** Throws a `HubError` that says which route is broken (`RouteFailed`); so does what it gives, for what a function does. */
export const compileUnsafe = (routes: Routes): Lookup => {
  const one = (place: string, router: Table | RouteFunction): Lookup =>
    typeof router === "function" ? functionOf(place, router) : tableOf(place, router)
  if (typeof routes === "function" || isTable(routes)) return one("routes", routes)
  const routers = routes.map((router, index) => one(`routes[${index}]`, router))
  return (name, call, options, task) => {
    for (const router of routers) {
      const found = router(name, call, options, task)
      if (found !== undefined) return found
    }
    return undefined
  }
}
