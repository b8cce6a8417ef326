/** What a worker says about itself: its settings without a secret, a report, its memory; and what it tells a neighbour. */
import { Host } from "@apium/hub/Host"
import * as Serializer from "@apium/hub/Serializer"
import * as Json from "@apium/protocol/kombu/Json"
import { msgpack } from "@apium/protocol/kombu/Msgpack"
import * as Control from "@apium/worker/control/Control"
import * as Hello from "@apium/worker/control/Hello"
import { layerHost } from "@apium/worker/node"
import { assert, describe } from "@effect/vitest"
import { Effect, Layer, Redacted, Stream } from "effect"
import celery from "../fixtures/settings.json" with { type: "json" }
import { pidbox } from "../support/Fixtures.ts"
import { node } from "../support/Node.ts"
import { test } from "../support/World.ts"

const name = "worker1@wire"

const ask = (method: string, args: Readonly<Record<string, unknown>> = {}) =>
  Effect.map(Stream.runCollect(Control.broadcast(method, args, { destination: [name] })), ([only]) => only!.reply)

const settings = {
  concurrency: 4,
  timeLimit: "10 minutes",
  fetch: "exact",
  conf: {
    broker_url: "amqps://bob:hunter2@one:5673/shop;amqp://bob:hunter2@two//",
    result_backend: Redacted.make("redis://:hunter2@results:6380/2"),
    security_key: "hunter2",
    broker_transport_options: { sentinel_kwargs: { password: "hunter2" }, token: Redacted.make("hunter2"), lease: 5 },
    task_routes: () => "hunter2"
  }
} as const

describe("conf", () => {
  test(
    "has what was said, by Celery's names and in its units",
    Effect.gen(function* () {
      yield* node(name, { settings: { concurrency: 4, timeLimit: "10 minutes", fetch: "exact" } })
      assert.deepStrictEqual(yield* ask("conf"), {
        deprecated_settings: null,
        task_time_limit: 600,
        worker_concurrency: 4,
        worker_disable_prefetch: true
      })
    })
  )

  test(
    "has what nobody said on request, also under its old name",
    Effect.gen(function* () {
      yield* node(name, { settings })
      const conf = (yield* ask("dump_conf", { with_defaults: true })) as Record<string, unknown>
      assert.deepInclude(conf, { worker_concurrency: 4, worker_prefetch_multiplier: 4, task_acks_late: true })
      // What t/integration/test_inspect.py looks for, and what of it Celery knows.
      const names = [
        "worker_hijack_root_logger",
        "worker_log_color",
        "accept_content",
        "enable_utc",
        "timezone"
      ].concat(["broker_url", "result_backend", "broker_heartbeat", "deprecated_settings", "include"])
      assert.containsAllKeys(conf, names)
      assert.deepStrictEqual(
        Object.keys(conf).filter((key) => !(key in celery["5.6.2"]) && !(key in celery["5.2.6"])),
        ["deprecated_settings"]
      )
    })
  )

  test(
    "shows no secret, wherever it stands; stats and the report do not, either",
    Effect.gen(function* () {
      yield* node(name, { settings })
      const conf = (yield* ask("conf", { with_defaults: true })) as Record<string, unknown>
      assert.deepInclude(conf, {
        broker_url: "amqps://bob:********@one:5673/shop;amqp://bob:********@two//",
        result_backend: "redis://:********@results:6380/2",
        security_key: "********",
        broker_transport_options: { sentinel_kwargs: { password: "********" }, token: "********", lease: 5 },
        task_routes: "<function>"
      })
      const stats = (yield* ask("stats")) as { readonly broker: Record<string, unknown> }
      assert.deepInclude(stats.broker, {
        hostname: "one",
        userid: "bob",
        virtual_host: "shop",
        port: 5673,
        ssl: true,
        alternates: ["amqp://bob:********@two//"]
      })
      for (const said of [conf, stats, yield* ask("report")]) assert.notInclude(JSON.stringify(said), "hunter2")
    })
  )
})

describe("an option that holds a secret", () => {
  const broker_transport_options = {
    auth: "hunter2",
    credentials: { user: "hunter2" },
    headers: { Authorization: "Bearer hunter2" },
    pwd: "hunter2",
    pfx: "hunter2",
    pem: "hunter2",
    sentinels: ["redis://h/0?sig=hunter2&db=1", "redis://h/0?api_key=hunter2", "redis://h/0?accesskey=hunter2"],
    url: "redis://h/0?Password=hunter2",
    visibility_timeout: 5
  }

  test(
    "is covered by whatever name it has, as an option and in a URL",
    Effect.gen(function* () {
      yield* node(name, { settings: { conf: { broker_transport_options } } })
      const conf = (yield* ask("conf")) as { readonly broker_transport_options: Record<string, unknown> }
      assert.notInclude(JSON.stringify(conf), "hunter2")
      assert.deepInclude(conf.broker_transport_options, {
        headers: { Authorization: "********" },
        sentinels: ["redis://h/0?sig=********&db=1", "redis://h/0?api_key=********", "redis://h/0?accesskey=********"],
        visibility_timeout: 5
      })
    })
  )

  test(
    "is no virtual host where a password begins with digits and has a slash",
    Effect.gen(function* () {
      yield* node(name, { settings: { conf: { broker_url: "amqp://u:12/34hunter2@h/v" } } })
      const stats = (yield* ask("stats")) as { readonly broker: Record<string, unknown> }
      assert.isNull(stats.broker["virtual_host"])
      assert.notInclude(JSON.stringify(stats), "hunter2")
    })
  )
})

describe("report", () => {
  test(
    "is laid out as Celery's",
    Effect.gen(function* () {
      yield* node(name, { settings })
      const { ok } = (yield* ask("report")) as { readonly ok: string }
      const python = (pidbox("report").reply as { readonly ok: string }).ok
      const heads = (text: string) => text.split("\n").flatMap((line) => /^(\w+ +->|\w+(?=: ))/.exec(line)?.[1] ?? [])
      assert.deepStrictEqual(heads(ok).slice(0, 5), heads(python).slice(0, 5))
      assert.match(ok, /software -> apium:\S+ (node|bun|deno):\d/)
      assert.include(ok, "worker_concurrency: 4")
    }).pipe(Effect.provide(layerHost))
  )
})

const machine = (bytes: Array<number>) =>
  Layer.effect(
    Host,
    Effect.map(Host, (host) => ({ ...host, memory: Effect.sync(() => ({ residentBytes: bytes.shift() ?? 1 })) }))
  )

describe("memory", () => {
  test(
    "is what Celery says where psutil is missing, on a platform that does not know",
    Effect.gen(function* () {
      yield* node(name)
      assert.strictEqual(yield* ask("memsample"), null)
      assert.strictEqual(yield* ask("memdump"), "- rss: (psutil not installed).\n")
    })
  )

  test(
    "is sampled, and the samples are dumped once, as many as were asked for",
    Effect.gen(function* () {
      yield* node(name)
      assert.strictEqual(yield* ask("memsample"), "1.5MB")
      assert.strictEqual(yield* ask("memsample"), "3GB")
      assert.strictEqual(yield* ask("memsample"), "12.346KB")
      assert.strictEqual(yield* ask("memsample"), "512b")
      assert.strictEqual(
        yield* ask("memdump", { samples: 2 }),
        "- rss (sample):\n-    > 1.5MB,\n-    > 12.346KB,\n- rss (end): 2KB.\n"
      )
      assert.strictEqual(yield* ask("memdump"), "- rss (end): 1b.\n")
    }).pipe(Effect.provide(machine([1.5 * 2 ** 20, 3 * 2 ** 30, 12_642, 512, 2048])))
  )
})

describe("hello", () => {
  test(
    "learns what the neighbour has revoked, tells what is revoked here, and says nothing to itself",
    Effect.gen(function* () {
      const { calls } = yield* node(name, { script: { revoked: ["mine", "both"] } })
      const { args, command } = pidbox("hello")
      const asked = { ...args, revoked: { theirs: [1.5, "theirs"], both: 2.5, ["x".repeat(1025)]: 3.5 } }
      const reply = (yield* ask(command, asked)) as {
        readonly revoked: Record<string, [number, string]>
        clock: number
      }
      assert.deepStrictEqual(calls, [["revoke", ["theirs"], undefined]])
      assert.deepStrictEqual(Object.keys(reply.revoked), ["mine", "both"])
      assert.deepStrictEqual(reply.revoked["mine"], [0, "mine"])
      assert.isAbove(reply.clock, 0)
      assert.isNull(yield* ask("hello", { from_node: name, revoked: null }))
    })
  )

  test(
    "says a time that Python takes for now, and one with a fraction in what has no such number",
    Effect.gen(function* () {
      const told = Hello.encode({ revokedLately: () => ["a"] })
      assert.strictEqual(Json.stringify(yield* told), '{"a":[0.0,"a"]}')
      const Msgpack = Serializer.layer({ serializers: [msgpack], serializer: "msgpack" })
      assert.deepStrictEqual(yield* Effect.provide(told, Msgpack), { a: [0.5, "a"] })
    })
  )

  test(
    "takes whatever stands for revoked, and learns nothing from it",
    Effect.gen(function* () {
      const { calls } = yield* node(name)
      for (const revoked of [null, [], ["x"], "x", 7, {}]) {
        assert.deepInclude(yield* ask("hello", { from_node: "other@wire", revoked }), { revoked: {} })
      }
      assert.deepStrictEqual(calls, [])
    })
  )
})
