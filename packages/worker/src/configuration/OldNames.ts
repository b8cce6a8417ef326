/** What settings were called before Celery 4, and are called still by who names them all in upper case (celery/app/defaults.py `_to_compat`). */

/** A namespace was part of the old name. */
const prefixes: ReadonlyArray<readonly [of: RegExp, old: string, cut: number]> = [
  [/^beat_/, "CELERYBEAT_", 5],
  [/^worker_/, "CELERYD_", 7],
  [/^task_/, "CELERY_", 5],
  [
    /^(cache|couchbase|arangodb|mongodb|event|redis|result|elasticsearch|security)_|^(accept_content|imports|include|timezone)$/,
    "CELERY_",
    0
  ]
]

const irregular: Readonly<Record<string, string>> = {
  result_accept_content: "RESULT_ACCEPT_CONTENT",
  database_engine_options: "CELERY_RESULT_ENGINE_OPTIONS",
  database_short_lived_sessions: "CELERY_RESULT_DB_SHORT_LIVED_SESSIONS",
  database_table_names: "CELERY_RESULT_DB_TABLENAMES",
  database_url: "CELERY_RESULT_DBURI",
  result_cache_max: "CELERY_MAX_CACHED_RESULTS",
  result_expires: "CELERY_TASK_RESULT_EXPIRES",
  task_compression: "CELERY_MESSAGE_COMPRESSION",
  task_eager_propagates: "CELERY_EAGER_PROPAGATES_EXCEPTIONS",
  task_protocol: "CELERY_TASK_PROTOCOL",
  task_publish_retry: "CELERY_TASK_PUBLISH_RETRY",
  task_publish_retry_policy: "CELERY_TASK_PUBLISH_RETRY_POLICY",
  task_send_sent_event: "CELERY_SEND_TASK_SENT_EVENT",
  task_serializer: "CELERY_TASK_SERIALIZER",
  task_soft_time_limit: "CELERYD_TASK_SOFT_TIME_LIMIT",
  task_time_limit: "CELERYD_TASK_TIME_LIMIT",
  worker_direct: "CELERY_WORKER_DIRECT",
  worker_disable_rate_limits: "CELERY_DISABLE_RATE_LIMITS",
  worker_enable_remote_control: "CELERY_ENABLE_REMOTE_CONTROL",
  worker_lost_wait: "CELERYD_WORKER_LOST_WAIT",
  worker_redirect_stdouts: "CELERY_REDIRECT_STDOUTS",
  worker_redirect_stdouts_level: "CELERY_REDIRECT_STDOUTS_LEVEL",
  worker_send_task_events: "CELERY_SEND_EVENTS"
}

export const oldName = (key: string): string => {
  if (Object.hasOwn(irregular, key)) return irregular[key]!
  const found = prefixes.find(([of]) => of.test(key))
  return found === undefined ? key.toUpperCase() : found[1] + key.slice(found[2]).toUpperCase()
}

/** Also `TASK_DEFAULT_QUEUE`, and `CELERY_TASK_DEFAULT_QUEUE` as a Django project has it. */
export const newNames = (keys: Iterable<string>): ReadonlyMap<string, string> => {
  const all = [...keys]
  return new Map([
    ...all.map((key) => [`CELERY_${key.toUpperCase()}`, key] as const),
    ...all.map((key) => [key.toUpperCase(), key] as const),
    ...all.map((key) => [oldName(key), key] as const)
  ])
}
