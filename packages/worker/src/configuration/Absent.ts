/**
 * The settings of Celery that Apium does not have, or has elsewhere: why, and which values of theirs say what happens anyway. Celery's
 * default is one of these, so that a configuration may be written out in full.
 */

export interface Absent {
  /** What stands behind `Apium does not have this setting: `: what is so instead, or where it is said. */
  readonly why: string
  /** Celery's default first. */
  readonly accepted: ReadonlyArray<unknown>
}

/** Settings with one reason, each with Celery's default, or with several values in {@link AnyOf}. */
const because = <K extends string>(why: string, defaults: Readonly<Record<K, unknown>>): Readonly<Record<K, Absent>> =>
  Object.fromEntries(
    Object.entries(defaults).map(([key, value]) => [
      key,
      { why, accepted: value instanceof AnyOf ? value.values : [value] }
    ])
  ) as unknown as Record<K, Absent>

class AnyOf {
  readonly values: ReadonlyArray<unknown>
  constructor(...values: ReadonlyArray<unknown>) {
    this.values = values
  }
}

export const absent = {
  ...because("results are kept in Redis, in memory, or sent over the broker (rpc://), and nowhere else", {
    arangodb_backend_settings: null,
    azureblockblob_base_path: "",
    azureblockblob_connection_timeout: 20,
    azureblockblob_container_name: "celery",
    azureblockblob_read_timeout: 120,
    azureblockblob_retry_increment_base: 2,
    azureblockblob_retry_initial_backoff_sec: 2,
    azureblockblob_retry_max_attempts: 3,
    cache_backend: null,
    cache_backend_options: {},
    cassandra_auth_kwargs: null,
    cassandra_auth_provider: null,
    cassandra_bundle_path: null,
    cassandra_entry_ttl: null,
    cassandra_keyspace: null,
    cassandra_options: {},
    cassandra_port: null,
    cassandra_read_consistency: null,
    cassandra_servers: null,
    cassandra_table: null,
    cassandra_write_consistency: null,
    cosmosdbsql_collection_name: "celerycol",
    cosmosdbsql_consistency_level: "Session",
    cosmosdbsql_database_name: "celerydb",
    cosmosdbsql_max_retry_attempts: 9,
    cosmosdbsql_max_retry_wait_time: 30,
    couchbase_backend_settings: null,
    database_create_tables_at_setup: true,
    database_engine_callback: null,
    database_engine_options: new AnyOf({ pool_pre_ping: true, pool_recycle: 3600 }, null),
    database_short_lived_sessions: false,
    database_table_names: null,
    database_table_schemas: null,
    database_url: null,
    elasticsearch_max_retries: null,
    elasticsearch_retry_on_timeout: null,
    elasticsearch_save_meta_as_text: true,
    elasticsearch_timeout: null,
    gcs_base_path: "",
    gcs_bucket: null,
    gcs_project: null,
    gcs_ttl: 0,
    mongodb_backend_settings: null,
    s3_access_key_id: null,
    s3_base_path: null,
    s3_bucket: null,
    s3_endpoint_url: null,
    s3_region: null,
    s3_secret_access_key: null
  }),

  ...because("it is written in broker_url, as amqp://user:password@host:5672/vhost", {
    broker_host: null,
    broker_password: null,
    broker_port: null,
    broker_transport: null,
    broker_user: null,
    broker_vhost: null
  }),
  ...because("it is a parameter of broker_url, as amqp://host?heartbeat=60", { broker_heartbeat: 120 }),
  ...because("it is a parameter of broker_url, as amqp://host?login_method=PLAIN", { broker_login_method: null }),
  ...because("TLS is said in broker_url: amqps:// or rediss://, with parameters as ?ssl_ca_certs=/path", {
    broker_use_ssl: false
  }),
  ...because("one connection reads and writes: broker_url", { broker_read_url: null, broker_write_url: null }),
  ...because("a connection that is lost comes back until it is closed, however often that takes", {
    broker_channel_error_retry: new AnyOf(false, true),
    broker_connection_max_retries: new AnyOf(100, null),
    broker_connection_retry: true
  }),
  ...because("two heartbeats that did not come are a lost connection, and nothing is asked in between", {
    broker_heartbeat_checkrate: 3
  }),
  ...because("the option patience of the connection says how long a caller waits", {
    broker_pool_acquire_timeout: null
  }),
  ...because("the queues that keep tasks until they are due are Apium's own", {
    broker_native_delayed_delivery_queue_type: "quorum"
  }),

  ...because("it is written in result_backend, as redis://user:password@host:6379/0", {
    redis_db: null,
    redis_host: null,
    redis_password: null,
    redis_port: null,
    redis_username: null
  }),
  ...because("TLS is said in result_backend: rediss://, with parameters as ?ssl_ca_certs=/path", {
    redis_backend_use_ssl: null
  }),
  ...because("one connection is shared by all, is asked each second whether it lives, and comes back by itself", {
    redis_max_connections: null,
    redis_retry_on_timeout: new AnyOf(false, true),
    redis_socket_connect_timeout: null,
    redis_socket_keepalive: new AnyOf(false, true),
    redis_socket_timeout: 120
  }),
  ...because("the option retryFor of RedisBackend says how long something is tried again, and it always is", {
    result_backend_always_retry: new AnyOf(false, true),
    result_backend_base_sleep_between_retries_ms: 10,
    result_backend_max_retries: Number.POSITIVE_INFINITY,
    result_backend_max_sleep_between_retries_ms: 10_000
  }),
  ...because("a result is JSON, is not compressed, and is read as JSON", {
    result_accept_content: new AnyOf(null, ["json"]),
    result_compression: null,
    result_serializer: "json"
  }),
  ...because("RpcBackend sends results to the queue of who waits, without an exchange, to be kept as long as that", {
    result_exchange: "celeryresults",
    result_exchange_type: "direct",
    result_persistent: new AnyOf(null, false)
  }),
  ...because("the option capacity of MemoryBackend and RpcBackend says how many results are kept", {
    result_cache_max: -1
  }),
  ...because("chords are counted by the result backend, and nobody polls", {
    result_chord_join_timeout: 3,
    result_chord_retry_interval: 1
  }),

  ...because("import the modules yourself, and give Worker.layer the layers of their handlers", {
    imports: [],
    include: []
  }),
  ...because("all times are UTC; a crontab has an option timezone of its own", {
    enable_utc: true,
    timezone: new AnyOf(null, "UTC", "utc", "Etc/UTC")
  }),
  ...because("entries are given to Beat, which keeps no file", {
    beat_schedule: {},
    beat_schedule_filename: "celerybeat-schedule",
    beat_scheduler: "celery.beat:PersistentScheduler",
    beat_sync_every: 0
  }),

  ...because("the queues of remote control are as Celery has them by default", {
    control_queue_durable: false,
    control_queue_exclusive: true,
    control_queue_expires: 10,
    control_queue_ttl: 300
  }),
  ...because("events go through celeryev as JSON, and their queues are as Celery has them by default", {
    event_exchange: "celeryev",
    event_queue_durable: false,
    event_queue_exclusive: true,
    event_queue_expires: 60,
    event_queue_prefix: "celeryev",
    event_queue_ttl: 5,
    event_serializer: "json"
  }),

  ...because("it is an option of each task (Task.make): acksOnFailure, acksOnTimeout", {
    task_acks_on_failure: new AnyOf(null, true),
    task_acks_on_failure_or_timeout: true,
    task_acks_on_timeout: new AnyOf(null, true)
  }),
  ...because("it is an option of each task (Task.make): rejectOnWorkerLost", {
    task_reject_on_worker_lost: new AnyOf(null, false)
  }),
  ...because("it is an option of each task (Task.make): ignoreResult", { task_ignore_result: false }),
  ...because("it is an option of each task (Task.make): trackStarted", { task_track_started: false }),
  ...because("it is an option of each task (Task.make): rateLimit", { task_default_rate_limit: null }),
  ...because("it is an option of each task (Task.make): priority", {
    task_default_priority: new AnyOf(null, 0),
    task_inherit_parent_priority: false
  }),
  ...because("what a task should be like is said where it is made (Task.make)", {
    task_annotations: new AnyOf(null, {})
  }),
  ...because("tests give tasks an EagerClient (@apium/worker/testing/EagerClient), and programs a client", {
    task_always_eager: false,
    task_eager_propagates: false,
    task_store_eager_result: false
  }),
  ...because("messages are kept on disk, and are of protocol 2", {
    task_default_delivery_mode: new AnyOf(2, "persistent"),
    task_protocol: 2
  }),
  ...because("tracebacks are text, and an ignored result is ignored whatever it is", {
    task_remote_tracebacks: false,
    task_store_errors_even_if_ignored: false
  }),
  ...because("a chord's errback is called once, for the chord", { task_allow_error_cb_on_chord_header: false }),

  ...because("the pool is the option pool of Worker.layer, and its limits are options of the pool", {
    worker_lost_wait: 10,
    worker_max_memory_per_child: null,
    worker_max_tasks_per_child: null,
    worker_pool: "prefork",
    worker_pool_putlocks: true,
    worker_pool_restarts: false,
    worker_proc_alive_timeout: 4
  }),
  ...because("the steps of a worker are those of its Blueprint: add, replace or take away one there", {
    worker_agent: null,
    worker_autoscaler: "celery.worker.autoscale:Autoscaler",
    worker_consumer: "celery.worker.consumer:Consumer",
    worker_enable_remote_control: true,
    worker_timer: null,
    worker_timer_precision: 1
  }),
  ...because("a task that has a rateLimit is held to it", { worker_disable_rate_limits: false }),
  ...because("the worker asks for as much as it can hold, whatever the queue, and needs not be told", {
    worker_detect_quorum_queues: new AnyOf(true, false),
    worker_enable_prefetch_count_reduction: true
  }),
  ...because("a worker with nothing to do ends at once", { worker_enable_soft_shutdown_on_idle: false }),
  ...because("logging is Effect's: give it another Logger", {
    worker_hijack_root_logger: new AnyOf(true, false),
    worker_log_color: null,
    worker_log_format: "[%(asctime)s: %(levelname)s/%(processName)s] %(message)s",
    worker_redirect_stdouts: new AnyOf(true, false),
    worker_redirect_stdouts_level: "WARNING",
    worker_task_log_format: "[%(asctime)s: %(levelname)s/%(processName)s] %(task_name)s[%(task_id)s]: %(message)s"
  })
} as const

export type Key = keyof typeof absent
