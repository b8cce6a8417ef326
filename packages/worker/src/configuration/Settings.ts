/** The settings of Celery that Apium has: what each takes, and what it is in Celery when nobody says so (celery/app/defaults.py). */
import * as Kind from "./Kind.ts"
import * as MessageSettings from "./MessageSettings.ts"
import * as QueueSettings from "./QueueSettings.ts"
import * as RouteSettings from "./RouteSettings.ts"

export interface Setting<A> {
  readonly kind: Kind.Kind<A>
  /** Celery's. */
  readonly default: unknown
}

const setting = <A>(kind: Kind.Kind<A>, value: unknown = null): Setting<A> => ({ kind, default: value })

const queueType = Kind.oneOf(["classic", "quorum"])

export const settings = {
  accept_content: setting(MessageSettings.accepted, ["json"]),

  beat_cron_starting_deadline: setting(Kind.positive),
  beat_max_loop_interval: setting(Kind.length, 0),

  broker_connection_retry_on_startup: setting(Kind.flag),
  broker_connection_timeout: setting(Kind.positive, 4),
  broker_failover_strategy: setting(Kind.oneOf(["round-robin", "shuffle"])),
  broker_pool_limit: setting(Kind.whole(1), 10),
  broker_transport_options: setting(Kind.object, {}),
  broker_url: setting(Kind.urls),

  control_exchange: setting(Kind.name, "celery"),

  result_backend: setting(Kind.url),
  result_backend_transport_options: setting(Kind.object, {}),
  result_expires: setting(Kind.lifetime, 86_400),
  result_extended: setting(Kind.flag, false),

  security_cert_store: setting(Kind.name),
  security_certificate: setting(Kind.name),
  security_digest: setting(Kind.oneOf(["sha256", "sha384", "sha512"]), "sha256"),
  security_key: setting(Kind.name),
  security_key_password: setting(Kind.secret),

  task_acks_late: setting(Kind.flag, false),
  task_compression: setting(MessageSettings.compression),
  task_create_missing_queue_exchange_type: setting(Kind.name),
  task_create_missing_queue_type: setting(queueType, "classic"),
  task_create_missing_queues: setting(Kind.flag, true),
  task_default_exchange: setting(Kind.name),
  task_default_exchange_type: setting(Kind.name, "direct"),
  task_default_queue: setting(Kind.name, "celery"),
  task_default_queue_type: setting(queueType, "classic"),
  task_default_routing_key: setting(Kind.name),
  task_publish_retry: setting(Kind.flag, true),
  task_publish_retry_policy: setting(RouteSettings.retryPolicy, {
    max_retries: 3,
    interval_start: 0,
    interval_max: 1,
    interval_step: 0.2
  }),
  task_queue_max_priority: setting(Kind.whole(1, 255)),
  task_queues: setting(QueueSettings.queues),
  task_routes: setting(RouteSettings.routes),
  task_send_sent_event: setting(Kind.flag, false),
  task_serializer: setting(MessageSettings.serializer, "json"),
  task_soft_time_limit: setting(Kind.positive),
  task_time_limit: setting(Kind.positive),

  worker_cancel_long_running_tasks_on_connection_loss: setting(Kind.flag, false),
  worker_concurrency: setting(Kind.whole(1)),
  worker_deduplicate_successful_tasks: setting(Kind.flag, false),
  worker_direct: setting(Kind.flag, false),
  worker_disable_prefetch: setting(Kind.flag, false),
  worker_eta_task_limit: setting(Kind.whole(1)),
  worker_prefetch_multiplier: setting(Kind.whole(0), 4),
  worker_send_task_events: setting(Kind.flag, false),
  worker_soft_shutdown_timeout: setting(Kind.length, 0),
  worker_state_db: setting(Kind.name)
}

export type Key = keyof typeof settings

/** What was read of a key. */
export type Value<K extends Key> = (typeof settings)[K] extends Setting<infer A> ? A : never
