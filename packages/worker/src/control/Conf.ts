/**
 * What a worker was told, by Celery's names (celery/app/utils.py `Settings.table`): for `inspect conf` and `inspect report`. Nothing
 * secret leaves it: what is called like one (`MaskedUrl.secret`) is eight stars, as are the passwords of URLs.
 */
import type { KombuJson } from "@apium/protocol/kombu/Json"
import * as PythonRepr from "@apium/protocol/celery/PythonRepr"
import * as Duration from "effect/Duration"
import * as Redacted from "effect/Redacted"
import * as Kind from "../configuration/Kind.ts"
import type { Profile } from "../Profile.ts"
import * as MaskedUrl from "./MaskedUrl.ts"

/** The options of a worker that Celery has a setting for. */
export interface Options {
  /** What else is known: `broker_url`, `result_backend`, and what a configuration says. It stands before the options. */
  readonly conf?: Readonly<Record<string, unknown>> | undefined
  readonly concurrency?: number | undefined
  readonly prefetchMultiplier?: number | undefined
  readonly fetch?: "prefetch" | "exact" | undefined
  readonly etaTaskLimit?: number | undefined
  readonly cancelLongRunningTasksOnConnectionLoss?: boolean | undefined
  readonly deduplicateSuccessfulTasks?: boolean | undefined
  readonly events?: boolean | undefined
  readonly timeLimit?: Duration.Input | undefined
  readonly softTimeLimit?: Duration.Input | undefined
  readonly softTimeout?: Duration.Input | undefined
  readonly controlNamespace?: string | undefined
  readonly defaultQueue?: string | undefined
  readonly profile?: Profile | undefined
}

/** What `Configuration.decode` read, for `conf`. Queues are names: `active_queues` shows the rest. */
export const ofConfiguration = (configuration: object): Readonly<Record<string, unknown>> =>
  Object.fromEntries(
    Object.entries(configuration)
      .filter(([key]) => key !== "broker" && key !== "results")
      .map(([key, value]: [string, unknown]) => [
        Kind.snakeCase(key),
        key === "taskQueues" && Array.isArray(value)
          ? value.map((queue: unknown) => (Array.isArray(queue) ? queue[0] : queue))
          : value
      ])
  )

export type Table = Readonly<Record<string, KombuJson>>

/** What was said. */
const told = (options: Options): Readonly<Record<string, unknown>> => ({
  control_exchange: options.controlNamespace,
  task_acks_late: options.profile?.acksLate,
  task_default_queue: options.defaultQueue,
  task_soft_time_limit: options.softTimeLimit,
  task_time_limit: options.timeLimit,
  worker_cancel_long_running_tasks_on_connection_loss: options.cancelLongRunningTasksOnConnectionLoss,
  worker_concurrency: options.concurrency,
  worker_deduplicate_successful_tasks: options.deduplicateSuccessfulTasks,
  worker_disable_prefetch: options.fetch === undefined ? undefined : options.fetch === "exact",
  worker_eta_task_limit: options.etaTaskLimit,
  worker_prefetch_multiplier: options.prefetchMultiplier,
  worker_send_task_events: options.events,
  worker_soft_shutdown_timeout: options.softTimeout,
  ...options.conf
})

/** What is so when nobody says otherwise: Apium's defaults, which are not all Celery's. */
const usual: Table = {
  accept_content: ["json"],
  broker_heartbeat: null,
  broker_url: null,
  control_exchange: "celery",
  enable_utc: true,
  imports: [],
  include: [],
  result_backend: null,
  task_acks_late: true,
  task_default_queue: "celery",
  task_protocol: 2,
  task_serializer: "json",
  task_soft_time_limit: null,
  task_time_limit: null,
  timezone: "UTC",
  worker_cancel_long_running_tasks_on_connection_loss: false,
  worker_deduplicate_successful_tasks: false,
  worker_disable_prefetch: false,
  worker_eta_task_limit: 50_000,
  worker_hijack_root_logger: false,
  worker_log_color: false,
  worker_pool_restarts: false,
  worker_prefetch_multiplier: 4,
  worker_send_task_events: false,
  worker_soft_shutdown_timeout: 0,
  worker_state_db: null
}

const stars = "********"

/** Nobody wrote more by hand. */
const maxLevels = 10

const shown = (key: string, value: unknown, level = 0): KombuJson => {
  if (value === null || value === undefined) return null
  if (MaskedUrl.secret.test(key)) return stars
  const isUrl = /broker_(?:read_|write_)?url|backend$/i.test(key)
  if (Redacted.isRedacted(value)) return isUrl ? shown(key, Redacted.value(value), level) : stars
  if (typeof value === "string") return isUrl || value.includes("://") ? MaskedUrl.mask(value, stars) : value
  if (typeof value === "number") return Number.isFinite(value) ? value : null
  if (typeof value === "boolean") return value
  if (Duration.isDuration(value)) {
    return Duration.isFinite(value) ? Duration.toMillis(value) / 1000 : null
  }
  if (typeof value === "bigint") return String(value)
  // A function of a program's own: its text is nobody's business.
  if (typeof value !== "object" || level === maxLevels) return `<${typeof value}>`
  if (Array.isArray(value)) return value.map((item) => shown(key, item, level + 1))
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, shown(key, item, level + 1)]))
}

const seconds = /_(?:time_limit|timeout|expires|interval)$/

/** `withDefaults`: also what nobody has said. `deprecated_settings` is in every table of Celery's. */
export const table = (options: Options, withDefaults: boolean): Table => {
  const said = Object.entries(told(options)).filter(([, value]) => value !== undefined)
  return {
    deprecated_settings: null,
    ...(withDefaults ? usual : {}),
    ...Object.fromEntries(
      said.map(([key, value]) => [
        key,
        shown(
          key,
          // "10 minutes" is for us, and 600 for Celery.
          seconds.test(key) && typeof value === "string" ? Duration.fromInputUnsafe(value as Duration.Input) : value
        )
      ])
    )
  }
}

/** One setting on a line, as `celery report` has them. */
export const human = (table: Table): string =>
  Object.entries(table)
    .map(([key, value]) => `${key}: ${PythonRepr.repr(value)}`)
    .join("\n")

const textOf = (value: unknown): string | undefined =>
  Redacted.isRedacted(value) ? textOf(Redacted.value(value)) : typeof value === "string" ? value : undefined

/** kombu's `Connection.info`, as far as it is known; no password is in it. */
export const broker = (options: Options, transport: string): Table => {
  const [first = "", ...others] = (textOf(options.conf?.["broker_url"]) ?? "").split(";")
  const url = URL.canParse(first) ? new URL(first) : undefined
  const scheme = url?.protocol.slice(0, -1) ?? transport
  // With an `@` in it, it is the rest of a password that begins with digits and has a `/`.
  const path = url === undefined || url.pathname.includes("@") ? null : decode(url.pathname.slice(1)) || "/"
  const isAmqp = transport === "amqp"
  return {
    hostname: url === undefined ? null : url.hostname || "localhost",
    userid: url === undefined ? null : decode(url.username) || (isAmqp ? "guest" : null),
    virtual_host: path,
    port: url === undefined ? null : Number(url.port) || (portOf[scheme] ?? null),
    insist: false,
    ssl: scheme === "amqps" || scheme.startsWith("rediss"),
    transport: scheme === "pyamqp" ? "amqp" : scheme,
    connect_timeout: 4,
    transport_options: {},
    login_method: isAmqp ? "PLAIN" : null,
    uri_prefix: null,
    // The setting, which Celery shows of every broker.
    heartbeat: 120,
    failover_strategy: "round-robin",
    alternates: others.map((one) => MaskedUrl.mask(one, stars)),
    credential_provider: null
  }
}

const portOf: Readonly<Record<string, number>> = { amqp: 5672, pyamqp: 5672, amqps: 5671, redis: 6379, rediss: 6379 }

const decode = (text: string): string => {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
