/** Celery's `task_routes` (celery/app/routes.py `prepare`) and `task_publish_retry_policy`, by their names or ours. */
import type { Policy } from "../client/PublishRetry.ts"
import type * as Routes from "../client/Routes.ts"
import * as Kind from "./Kind.ts"
import * as QueueSettings from "./QueueSettings.ts"

const queue: Kind.Kind<Routes.Route["queue"]> = {
  takes: "the name of a queue, or a Queue value",
  read: (value) => (QueueSettings.isQueue(value) ? value : Kind.name.read(value))
}

const described: Kind.Kind<Routes.Route> = Kind.fields("a route", {
  queue: ["queue", queue],
  exchange: ["exchange", Kind.name],
  routing_key: ["routingKey", Kind.text],
  priority: ["priority", Kind.whole(0, 255)],
  serializer: ["serializer", Kind.name],
  compression: ["compression", Kind.name],
  headers: ["headers", Kind.object],
  expires: ["expires", Kind.positive]
})

const target = (key: string | RegExp, value: unknown): Routes.Target => {
  if (key === "") throw new Kind.Wrong("a route is for a task without a name")
  const read = Kind.name.read(value) ?? described.read(value)
  if (read === undefined) throw new Kind.Wrong(`${Kind.shown(String(key))} takes the name of a queue, or a route`)
  return read
}

const isPair = (value: unknown): value is readonly [string | RegExp, unknown] =>
  Array.isArray(value) && value.length === 2 && (typeof value[0] === "string" || value[0] instanceof RegExp)

const isFunction = (value: unknown): value is Routes.RouteFunction => typeof value === "function"

const table = (value: unknown): Routes.Table | undefined => {
  if (Array.isArray(value)) {
    return value.length > 0 && value.every(isPair)
      ? value.map(([key, to]) => [key, target(key, to)] as const)
      : undefined
  }
  const given = Kind.object.read(value)
  return given && Object.fromEntries(Object.entries(given).map(([key, to]) => [key, target(key, to)]))
}

/** Celery takes the name of a Python function as well, which is nothing to be found here. */
export const routes: Kind.Kind<Routes.Routes> = {
  takes:
    'an object as {"feeds.*": "feeds", "mail.send": {"queue": "mail"}}, a list of pairs, a function, or a list of such (no path of a Python function)',
  read: (value) => {
    if (isFunction(value)) return value
    const one = table(value)
    if (one !== undefined || !Array.isArray(value)) return one
    const all = value.map((router: unknown) => (isFunction(router) ? router : table(router)))
    return all.every((router) => router !== undefined) ? all : undefined
  }
}

/** `None` is for ever. */
const retries: Kind.Kind<number> = {
  takes: `${Kind.whole(0).takes}, or null`,
  read: (value) => (value === null ? Number.POSITIVE_INFINITY : Kind.whole(0).read(value))
}

export const retryPolicy: Kind.Kind<Policy> = Kind.fields("a retry policy", {
  max_retries: ["maxRetries", retries],
  interval_start: ["intervalStart", Kind.length],
  interval_step: ["intervalStep", Kind.length],
  interval_max: ["intervalMax", Kind.length]
})
