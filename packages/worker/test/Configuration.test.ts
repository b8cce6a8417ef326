import { Connection } from "@apium/hub/Connection"
import * as MemoryTransport from "@apium/hub/memory/MemoryTransport"
import * as Queue from "@apium/hub/Queue"
import type * as Amqp from "@apium/transport-amqp/node"
import type * as RedisDoor from "@apium/transport-redis/node"
import * as MemoryBackend from "@apium/worker/client/backends/MemoryBackend"
import { Client } from "@apium/worker/client/Client"
import { queueNamed } from "@apium/worker/client/Publisher"
import * as Absent from "@apium/worker/configuration/Absent"
import { oldName } from "@apium/worker/configuration/OldNames"
import * as Settings from "@apium/worker/configuration/Settings"
import * as Configuration from "@apium/worker/Configuration"
import * as Profile from "@apium/worker/Profile"
import * as Task from "@apium/worker/task/Task"
import { Tasks } from "@apium/worker/task/Tasks"
import * as Worker from "@apium/worker/Worker"
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Layer, Redacted, Result, Schema } from "effect"
import { readFileSync } from "node:fs"
import * as path from "node:path"
import { inspect } from "node:util"
import celery from "./fixtures/settings.json" with { type: "json" }

const right = (input: Record<string, unknown>): Configuration.Configuration =>
  Result.getOrThrow(Configuration.decode(input))

const refused = (input: unknown): Configuration.ConfigurationError => {
  const found = Configuration.decode(input)
  if (Result.isSuccess(found)) assert.fail("it was taken")
  return found.failure
}

const camelCase = (key: string): string => key.replaceAll(/_([a-z\d])/g, (_, letter: string) => letter.toUpperCase())

interface Entry {
  readonly default: unknown
  readonly old: ReadonlyArray<string>
}

const versions: ReadonlyArray<Readonly<Record<string, Entry>>> = [celery["5.2.6"], celery["5.6.2"]]
const all = versions.flatMap((settings) => Object.entries(settings))
const keys = [...new Set(all.map(([key]) => key))]
const defaultOf = (entry: Entry): unknown => (entry.default === "inf" ? Number.POSITIVE_INFINITY : entry.default)

describe("every setting of Celery 5.2 and 5.6", () => {
  it("is either read or refused with a reason, and there are no others", () => {
    assert.strictEqual(Object.keys(celery["5.2.6"]).length, 169)
    const here = [...Object.keys(Settings.settings), ...Object.keys(Absent.absent)]
    assert.deepStrictEqual(here.toSorted(), keys.toSorted())
    assert.strictEqual(new Set(here).size, here.length)
    for (const key of Object.keys(Absent.absent)) {
      const { message, problems } = refused({ [key]: { nobody: "says this" } })
      assert.deepStrictEqual(
        problems.map(({ key, reason }) => ({ key, reason })),
        [{ key, reason: "absent" }]
      )
      assert.match(message, /^\w+: Apium does not have this setting: [^]{20,}$/)
    }
  })

  it("may be written out with Celery's default, in both spellings", () => {
    for (const [key, entry] of all) {
      for (const spelling of [key, camelCase(key)]) {
        const found = Configuration.decode({ [spelling]: defaultOf(entry) })
        assert.isTrue(Result.isSuccess(found), Result.isFailure(found) ? found.failure.message : "")
      }
    }
    for (const [key, { default: byDefault }] of Object.entries(Settings.settings)) {
      const defaults = all.filter(([name]) => name === key).map(([, entry]) => defaultOf(entry))
      assert.deepInclude(defaults, byDefault, key)
    }
  })

  it("may be written out with all of Celery's defaults at once", () => {
    const whole = Object.fromEntries(all.map(([key, entry]) => [key, defaultOf(entry)]))
    const configuration = right(whole)
    assert.deepStrictEqual(Configuration.worker(configuration, 2).queues, [queueNamed("celery")])
  })

  it("has an old name that is refused and leads to the new one", () => {
    for (const [key, { old }] of all) {
      assert.deepStrictEqual(old, [oldName(key)])
      const [problem] = refused({ [oldName(key)]: "hunter2" }).problems
      assert.deepStrictEqual(problem, {
        reason: "renamed",
        key: oldName(key),
        text: `this is an old name. Write ${key}`,
        suggestion: key
      })
    }
  })

  it("is in the table of docs/configuration.md, with its twin", () => {
    const page = readFileSync(path.join(import.meta.dirname, "../../../docs/configuration.md"), "utf8")
    const rows = page.split("\n").map((line) => line.split("|").map((cell) => cell.trim()))
    for (const key of keys) {
      const row = rows.find(([, first = ""]) => first.split(", ").includes(`\`${key}\``))
      if (key in Settings.settings) assert.strictEqual(row?.[2], `\`${camelCase(key)}\``, key)
      else assert.strictEqual(row?.[2], Absent.absent[key as Absent.Key].why, key)
    }
  })
})

describe("a key", () => {
  it("means the same in both spellings", () => {
    const one = right({ task_default_queue: "mail", worker_concurrency: 3, result_expires: 60 })
    assert.deepStrictEqual(right({ taskDefaultQueue: "mail", workerConcurrency: 3, resultExpires: 60 }), one)
    assert.strictEqual(one.taskDefaultQueue, "mail")
  })

  it("is refused in both spellings at once", () => {
    const { message } = refused({ task_default_queue: "a", taskDefaultQueue: "b" })
    assert.strictEqual(
      message,
      "taskDefaultQueue: task_default_queue is here, too, and is the same setting: leave one of them out"
    )
  })

  it.each([
    ["task_defualt_queue", "task_default_queue"],
    ["taskDefaultQeue", "taskDefaultQueue"],
    ["worker_concurency", "worker_concurrency"],
    ["timezon", "timezone"],
    ["CELERYD_CONCURENCY", "worker_concurrency"]
  ])("that is misspelt as %s is refused, and %s is suggested", (key, suggestion) => {
    const { message, problems } = refused({ [key]: 1 })
    assert.strictEqual(message, `${key}: there is no such setting. Did you mean ${suggestion}?`)
    assert.deepInclude(problems[0], { reason: "unknown", suggestion })
  })

  it("that is like no other is refused without a suggestion", () => {
    assert.deepStrictEqual(refused({ nothing_of_the_kind: 1 }).problems, [
      { reason: "unknown", key: "nothing_of_the_kind", text: "there is no such setting." }
    ])
  })

  it("of an object's prototype is as unknown as others", () => {
    assert.strictEqual(refused({ constructor: 1, ["__proto__"]: 1, hasOwnProperty: 2 }).problems.length, 3)
  })

  it.each([
    ["BROKER_URL", "broker_url"],
    ["CELERY_RESULT_BACKEND", "result_backend"],
    ["CELERYD_CONCURRENCY", "worker_concurrency"],
    ["CELERY_BROKER_URL", "broker_url"],
    ["TASK_DEFAULT_QUEUE", "task_default_queue"]
  ])("in upper case, as %s, is refused and %s is named", (old, now) => {
    assert.deepInclude(refused({ [old]: "redis://u:hunter2@h" }).problems[0], { reason: "renamed", suggestion: now })
  })

  it("that is undefined is not said, and null is where it is Celery's default", () => {
    const nothing = right({})
    assert.deepStrictEqual(right({ task_default_queue: undefined, task_time_limit: null, task_routes: null }), nothing)
    assert.strictEqual(
      refused({ worker_prefetch_multiplier: null }).message,
      "worker_prefetch_multiplier: it takes a whole number, 0 or more"
    )
  })
})

describe("routing", () => {
  const byName = { queue: "feeds", routing_key: "feed.new", priority: 3 }
  const here = { queue: "feeds", routingKey: "feed.new", priority: 3 }

  it("is read in all of Celery's forms, and with the names of both", () => {
    const route = () => undefined
    const feeds = Queue.make("own")
    const read = (task_routes: unknown) => Configuration.client(right({ task_routes })).routes
    assert.deepStrictEqual(read({ "mail.send": "mail", "feeds.*": byName }), { "mail.send": "mail", "feeds.*": here })
    assert.deepStrictEqual(read({ "feeds.*": here }), { "feeds.*": here })
    assert.deepStrictEqual(
      read([
        [
          ["feeds.*", byName],
          [/video/, { queue: feeds }]
        ],
        { a: "b" },
        route
      ]),
      [
        [
          ["feeds.*", here],
          [/video/, { queue: feeds }]
        ],
        { a: "b" },
        route
      ]
    )
    assert.deepStrictEqual(read([["feeds.*", "feeds"]]), [["feeds.*", "feeds"]])
    assert.strictEqual(read(route), route)
    assert.deepStrictEqual(read([]), [])
    assert.deepStrictEqual(Configuration.worker(right({ taskRoutes: { a: "b" } })).routes, { a: "b" })
  })

  it("says what becomes of queues that nobody described", () => {
    const missing = (input: Record<string, unknown>) => Configuration.client(right(input)).createMissingQueues
    assert.isUndefined(missing({ task_create_missing_queues: true, task_create_missing_queue_type: "classic" }))
    assert.isFalse(missing({ task_create_missing_queues: false, task_create_missing_queue_type: "quorum" }))
    const made = missing({ task_create_missing_queue_type: "quorum", task_create_missing_queue_exchange_type: "topic" })
    if (typeof made !== "function") return assert.fail("it makes none")
    const { arguments: args, bindings, name } = made("new")
    assert.deepStrictEqual(
      [name, args, bindings.map(({ exchange, routingKey }) => [exchange.name, exchange.type, routingKey])],
      ["new", { "x-queue-type": "quorum" }, [["new", "topic", "new"]]]
    )
  })

  it("says how often a publish is tried again, and whether a worker has a queue of its own", () => {
    const retry = (input: Record<string, unknown>) => Configuration.worker(right(input)).publishRetry
    assert.isUndefined(retry({}))
    assert.isFalse(retry({ task_publish_retry: false, task_publish_retry_policy: { max_retries: 9 } }))
    assert.deepStrictEqual(retry({ task_publish_retry_policy: { max_retries: null, interval_step: 0.5 } }), {
      maxRetries: Number.POSITIVE_INFINITY,
      intervalStep: Duration.millis(500)
    })
    assert.isTrue(Configuration.worker(right({ worker_direct: true })).direct)
  })

  it("gives a broadcast the default routing key, on which all of an app listen", () => {
    const broadcast = Queue.broadcast("reload")
    const input = { task_queues: [Queue.make("celery"), broadcast], task_default_routing_key: "app" }
    const keys = Configuration.client(right(input)).queues?.[1]?.bindings.map(({ routingKey }) => routingKey)
    assert.deepStrictEqual(keys, ["app", ""])
  })
})

describe("what is wrong", () => {
  it("is said all at once", () => {
    const { problems } = refused({
      worker_concurrency: "four",
      task_annotations: { a: "b" },
      brokerurl: "x",
      CELERY_ACKS_LATE: true
    })
    assert.deepStrictEqual(
      problems.map(({ reason }) => reason),
      ["invalid", "absent", "unknown", "renamed"]
    )
  })

  it.each([
    ["worker_concurrency", 0, "a whole number, 1 or more"],
    ["task_acks_late", "yes", "true or false"],
    ["task_time_limit", "soon", "seconds, more than 0"],
    ["task_time_limit", -1, "seconds, more than 0"],
    ["task_time_limit", Number.NaN, "seconds, more than 0"],
    ["result_expires", 1e300, "seconds (0 or null: for ever)"],
    ["task_queue_max_priority", 256, "a whole number from 1 to 255"],
    ["broker_url", [], "a URL"],
    ["broker_failover_strategy", "random", "round-robin, shuffle"],
    ["task_queues", ["mail"], "an object of queues"],
    ["task_queues", { mail: "mail" }, "mail takes an object"],
    ["task_queues", { mail: { routingkey: "x" } }, "there is no routingkey. Did you mean routing_key?"],
    ["task_queues", { mail: { durable: 1 } }, "durable takes true or false"],
    ["task_routes", "proj.routers.route", "no path of a Python function"],
    ["task_routes", ["proj.routers.route"], "no path of a Python function"],
    ["task_routes", { "feeds.*": 1 }, "feeds.* takes the name of a queue, or a route"],
    ["task_routes", { "feeds.*": "" }, "feeds.* takes the name of a queue, or a route"],
    ["task_routes", { "": "q" }, "a route is for a task without a name"],
    ["task_routes", [{}, { a: { queu: "q" } }], "there is no queu. Did you mean queue?"],
    ["task_routes", { a: { queue: "" } }, "queue takes the name of a queue, or a Queue value"],
    ["task_routes", [[["a", { routing_key: 1 }]]], "routing_key takes a text"],
    ["task_publish_retry_policy", { max_retries: -1 }, "max_retries takes a whole number, 0 or more, or null"],
    ["task_publish_retry_policy", { retries: 1 }, "there is no retries"],
    ["task_create_missing_queue_type", "stream", "classic, quorum"]
  ])("is said of %s: %s", (key, value, takes) => {
    const { message, problems } = refused({ [key]: value })
    assert.strictEqual(problems.length, 1)
    assert.include(message, `${key}: `)
    assert.include(message, takes)
  })

  it("is no object", () => {
    for (const input of [null, undefined, "broker_url", []]) {
      assert.strictEqual(refused(input).message, "configuration: it is an object")
    }
  })

  it("never holds a value, nor a URL that became a key", () => {
    const url = "redis://user:hunter2@host"
    const { message } = refused({
      broker_url: "rediz://user:hunter2@host",
      result_backend: "user:hunter2@host",
      result_backend_transport_options: { sentinel_kwargs: { password: ["hunter2"] } },
      redis_password: "hunter2",
      broker_password: "hunter2",
      broker_use_ssl: { keyfile: "hunter2" },
      security_key: "hunter2",
      worker_concurrency: "hunter2",
      task_queues: { a: { durable: "hunter2" } },
      BROKER_URL: url,
      [url]: 1
    })
    assert.notInclude(message, "hunter2")
    assert.include(message, "broker_url: its URL begins with none of amqp://")
    assert.include(message, "Did you mean redis://?")
    assert.include(message, "(a key that is no name): there is no such setting.")
  })

  it("is on one line for each key, whatever a key holds", () => {
    assert.notMatch(refused({ ["a\u001B[2J\nb"]: 1 }).message, /\p{Cc}/u)
  })
})

describe("a configuration", () => {
  it("shows no URL and no password", () => {
    const configuration = right({
      broker_url: "sentinel://u:hunter2@h",
      broker_transport_options: { master_name: "m", sentinel_kwargs: { password: "hunter2" } },
      result_backend: "redis://:hunter2@h"
    })
    assert.notInclude(JSON.stringify(configuration) + inspect(configuration, { depth: 9 }), "hunter2")
    const { url } = Configuration.transport(configuration) as { readonly url: Redacted.Redacted }
    assert.strictEqual(Redacted.value(url), "sentinel://u:hunter2@h")
  })

  it("with nothing in it gives Apium's own defaults", () => {
    const configuration = right({})
    const plain = queueNamed("celery")
    assert.deepStrictEqual(Configuration.client(configuration), { queues: [plain] })
    assert.deepStrictEqual(Configuration.worker(configuration, 8), {
      queues: [plain],
      concurrency: 8,
      profile: Profile.durable,
      conf: {}
    })
    assert.deepStrictEqual(Configuration.beat(configuration), {})
    assert.deepStrictEqual(Configuration.backend(configuration), { _tag: "memory", options: {} })
    const transport = Configuration.transport(configuration)
    assert.strictEqual(transport._tag === "amqp" && Redacted.value(transport.url), "amqp://")
    assert.deepStrictEqual(transport.options, {})
  })

  it("gives the options of a worker", () => {
    const configuration = right({
      worker_concurrency: 10,
      worker_prefetch_multiplier: 1,
      worker_disable_prefetch: true,
      worker_eta_task_limit: 100,
      worker_cancel_long_running_tasks_on_connection_loss: true,
      worker_deduplicate_successful_tasks: true,
      worker_send_task_events: true,
      worker_soft_shutdown_timeout: 2.5,
      task_time_limit: 30,
      task_soft_time_limit: "20 seconds",
      task_acks_late: false,
      task_default_queue: "mail",
      control_exchange: "proj"
    })
    const { conf, ...options } = Configuration.worker(configuration)
    // For `inspect conf`.
    assert.deepInclude(conf, { worker_concurrency: 10, task_time_limit: Duration.seconds(30) })
    assert.deepStrictEqual(options, {
      queues: [queueNamed("mail")],
      concurrency: 10,
      defaultQueue: "mail",
      profile: { ...Profile.durable, acksLate: false },
      prefetchMultiplier: 1,
      fetch: "exact",
      etaTaskLimit: 100,
      cancelLongRunningTasksOnConnectionLoss: true,
      deduplicateSuccessfulTasks: true,
      events: true,
      timeLimit: Duration.seconds(30),
      softTimeLimit: Duration.seconds(20),
      softTimeout: Duration.millis(2500),
      controlNamespace: "proj"
    })
  })

  it("gives the options of a client and of beat", () => {
    const configuration = right({
      taskDefaultQueue: "mail",
      taskSendSentEvent: true,
      controlExchange: "proj",
      brokerTransportOptions: { confirmPublish: false },
      beatMaxLoopInterval: 60,
      beatCronStartingDeadline: "1 hour"
    })
    assert.deepStrictEqual(Configuration.client(configuration), {
      queues: [queueNamed("mail")],
      defaultQueue: "mail",
      sendSentEvent: true,
      controlNamespace: "proj",
      profile: { ...Profile.durable, confirm: false, mandatory: false }
    })
    assert.deepStrictEqual(Configuration.beat(configuration), {
      maxInterval: Duration.minutes(1),
      cronStartingDeadline: Duration.hours(1)
    })
    assert.deepStrictEqual(Configuration.beat(right({ beat_max_loop_interval: 0 })), {})
  })

  it("gives the queues that Celery would make", () => {
    const queues = Configuration.worker(
      right({
        task_default_exchange: "tasks",
        task_default_exchange_type: "topic",
        task_queue_max_priority: 9,
        task_queues: {
          mail: { exchange: "post", exchange_type: "fanout", routing_key: "mail.#", durable: false },
          slow: { queueArguments: { "x-max-priority": 3 }, exclusive: true }
        }
      })
    ).queues
    const [mail, slow] = queues
    assert.deepInclude(mail, { name: "mail", durable: false, autoDelete: false, arguments: { "x-max-priority": 9 } })
    assert.deepInclude(mail!.bindings[0], { routingKey: "mail.#" })
    assert.deepInclude(mail!.bindings[0]!.exchange, { name: "post", type: "fanout", durable: false })
    assert.deepInclude(slow, { name: "slow", exclusive: true, autoDelete: true, arguments: { "x-max-priority": 3 } })
    assert.deepInclude(slow!.bindings[0], { routingKey: "slow" })
    assert.deepInclude(slow!.bindings[0]!.exchange, { name: "tasks", type: "topic" })
    assert.strictEqual(queues.length, 2)
  })

  it("gives the default queue its type, exchange and routing key, and takes queues as values", () => {
    const [queue] = Configuration.client(
      right({ task_default_queue_type: "quorum", task_default_exchange: "x", task_default_routing_key: "k" })
    ).queues!
    assert.deepInclude(queue, { name: "celery", arguments: { "x-queue-type": "quorum" } })
    assert.deepInclude(queue!.bindings[0], { routingKey: "k" })
    const own = Queue.make("own")
    assert.deepStrictEqual(Configuration.worker(right({ task_queues: [own] })).queues, [own])
  })

  it("gives the options of AMQP", () => {
    const configuration = right({
      broker_url: ["amqp://a", "amqp://b"],
      broker_pool_limit: 3,
      broker_connection_retry_on_startup: true,
      broker_connection_timeout: 5,
      broker_failover_strategy: "shuffle",
      broker_transport_options: { write_timeout: 2 }
    })
    const transport = Configuration.transport(configuration)
    if (transport._tag !== "amqp") return assert.fail(transport._tag)
    assert.strictEqual(Redacted.value(transport.url), "amqp://a;amqp://b")
    // The door takes them.
    const options: Amqp.Options = transport.options
    assert.deepStrictEqual(options, {
      poolLimit: 3,
      retryOnStartup: true,
      connectTimeout: Duration.seconds(5),
      writeTimeout: Duration.seconds(2),
      failoverStrategy: "shuffle"
    })
  })

  it("gives the options of Redis, of the broker and of the results", () => {
    const configuration = right({
      broker_url: "redis://h/1",
      broker_transport_options: { visibility_timeout: 43200, global_keyprefix: "{a}", queueOrderStrategy: "sorted" },
      result_backend: "rediss://h/2",
      result_backend_transport_options: { global_keyprefix: "r", result_chord_ordered: false },
      result_expires: null,
      result_extended: true
    })
    const transport = Configuration.transport(configuration)
    if (transport._tag !== "redis") return assert.fail(transport._tag)
    const options: RedisDoor.Options = transport.options
    assert.deepStrictEqual(options, {
      visibilityTimeout: Duration.hours(12),
      globalKeyprefix: "{a}",
      queueOrderStrategy: "sorted"
    })
    const backend = Configuration.backend(configuration)
    if (backend._tag !== "redis") return assert.fail(backend._tag)
    assert.strictEqual(Redacted.value(backend.url), "rediss://h/2")
    const client: RedisDoor.ClientOptions = backend.client
    assert.deepStrictEqual(client, { globalKeyprefix: "r" })
    assert.deepStrictEqual(backend.options, {
      expires: Duration.infinity,
      extended: true,
      globalKeyprefix: "r",
      chordOrdered: false
    })
  })

  it("keeps results where the scheme says, which may stand alone", () => {
    assert.deepStrictEqual(Configuration.backend(right({ result_backend: "rpc", result_expires: 60 })), {
      _tag: "rpc",
      options: { expires: Duration.minutes(1) }
    })
    assert.strictEqual(Configuration.backend(right({ result_backend: "cache+memory://" }))._tag, "memory")
    assert.include(refused({ result_backend: "db+sqlite:///x" }).message, "result_backend: its URL begins with none of")
  })

  it("refuses what its broker or its result backend would not hear of", () => {
    const ofRedis = { broker_url: "redis://h", broker_connection_timeout: 9 }
    assert.strictEqual(refused(ofRedis).message, "broker_connection_timeout: it is for amqp:// alone")
    const visibility = { broker_url: "amqp://h", broker_transport_options: { visibility_timeout: 1 } }
    assert.include(refused(visibility).message, "broker_transport_options: there is no visibility_timeout.")
    const ofMemory = { broker_url: "memory://", brokerTransportOptions: { lease: 1 } }
    assert.strictEqual(refused(ofMemory).message, "brokerTransportOptions: it is for amqp:// and redis:// alone")
    const ofRpc = { result_backend: "rpc://", result_extended: true, result_backend_transport_options: { a: 1 } }
    assert.strictEqual(refused(ofRpc).problems.length, 2)
  })

  it("is typed: a key that nobody has does not compile", () => {
    const input = { task_default_queue: "mail", workerConcurrency: 1 } satisfies Configuration.Input
    // @ts-expect-error: it is task_default_queue.
    const wrong: Configuration.Input = { task_defualt_queue: "mail" }
    assert.strictEqual(right(input).workerConcurrency, 1)
    assert.strictEqual(refused(wrong).problems.length, 1)
  })

  it.effect("runs a worker and a client that find each other", () => {
    const add = Task.make("configured.add", { params: { x: Schema.Number, y: Schema.Number }, result: Schema.Number })
    const configuration = right({
      broker_url: "memory://",
      task_default_exchange: "tasks",
      task_queues: { mail: {}, other: {} },
      task_default_queue: "mail",
      worker_concurrency: 2
    })
    const live = Worker.layer(Configuration.worker(configuration)).pipe(
      Layer.provide(Tasks.handle(add, ({ x, y }) => Effect.succeed(x + y))),
      Layer.provide(Tasks.layer),
      Layer.provideMerge(Client.layerWith(Configuration.client(configuration))),
      Layer.provide(MemoryBackend.layer),
      Layer.provide(Connection.layer),
      Layer.provide(MemoryTransport.layer)
    )
    return Effect.gen(function* () {
      const sent = yield* add.delay({ x: 2, y: 3 })
      assert.strictEqual(yield* sent.get, 5)
    }).pipe(Effect.provide(live))
  })
})
