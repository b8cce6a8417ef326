/** Task messages of Celery 5.6.3, as they were recorded, put into the broker again octet by octet: a worker of ours runs each. */
import * as Queue from "@apium/hub/Queue"
import * as Serializer from "@apium/hub/Serializer"
import * as Json from "@apium/protocol/kombu/Json"
import { msgpack } from "@apium/protocol/kombu/Msgpack"
import { yaml } from "@apium/protocol/kombu/Yaml"
import { ResultBackend } from "@apium/worker/client/ResultBackend"
import * as Task from "@apium/worker/task/Task"
import { Tasks } from "@apium/worker/task/Tasks"
import * as Worker from "@apium/worker/Worker"
import { Client } from "@apium/worker/client/Client"
import { assert } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { capture, ends, type Fields, fixture, headerOf, idsOf, records } from "./support/captured.ts"
import { type Check, Deployed, onEach } from "./support/suites.ts"

const numbers = (args: ReadonlyArray<unknown>) => args.reduce<number>((all, one) => all + Number(one), 0)

class ValueError extends Error {
  override readonly name = "ValueError"
}

const Handlers = Layer.mergeAll(
  Tasks.handle(Task.raw("wire.add"), ({ args }) => Effect.succeed(numbers(args))),
  Tasks.handle(Task.raw("wire.tsum"), ({ args: [of] }) => Effect.succeed(numbers(of as ReadonlyArray<unknown>))),
  Tasks.handle(Task.raw("wire.echo"), ({ args, kwargs }) => Effect.succeed({ args, kwargs })),
  Tasks.handle(Task.raw("wire.fail"), () => Effect.die(new ValueError("deliberate"))),
  Tasks.handle(Task.raw("wire.errback"), ({ args }) => Effect.succeed(args)),
  Tasks.handle(Task.raw("wire.retry"), ({ args: [value] }) => Effect.succeed(value ?? null))
)

/** Frames of py-amqp's, or the keys that redis-py has written. */
const put = (name: string) =>
  Effect.gen(function* () {
    const { broker, python } = yield* Deployed
    const { ask } = yield* python
    const { size } = (yield* ResultBackend).chords
    const onRedis = broker.startsWith("redis")
    const { keys, published, resultIds } = capture(onRedis ? "redis" : "amqp", name)
    const header = headerOf(resultIds)
    if (header !== undefined && !onRedis) yield* size(...header)
    const frames = records(published).map((one) => [one["methodHex"], one["contentHeaderHex"], one["bodyBase64"]])
    yield* ask(`
import base64, struct
captured = json.loads(${JSON.stringify(JSON.stringify(onRedis ? keys : frames))})
${onRedis ? restore : replay}`)
    return idsOf(resultIds)
  })

// How many parts a chord has is there before the last of them, as Celery has it.
const restore = `
for key, kept in sorted(captured.items(), key=lambda entry: entry[1]["type"] == "list"):
    if kept["type"] == "list":
        app.backend.client.rpush(key, *kept["lrange"])
    elif kept["type"] == "string":
        app.backend.client.set(key, next(v for k, v in kept.items() if k not in ("type", "ttl")))`

const replay = `
def frame(kind, payload):
    return struct.pack(">BHI", kind, channel.channel_id, len(payload)) + payload + b"\\xce"
with app.connection_for_write() as connection:
    channel = connection.default_channel
    for method, header, body in captured:
        channel.connection.transport.write(
            frame(1, bytes.fromhex(method)) + frame(2, bytes.fromhex(header)) + frame(3, base64.b64decode(body)))
    # An answer: what the broker does not like it has said by then.
    channel.queue_declare(passive=True, queue="celery")`

const valueOf = (ids: string | ReadonlyArray<unknown>): Effect.Effect<unknown, unknown, ResultBackend> =>
  typeof ids === "string"
    ? Effect.flatMap(ResultBackend, ({ wait }) => Effect.map(wait(ids), ({ result }) => result))
    : Effect.forEach(ids, (one) => valueOf(one as string))

/** As it was called, by its body on AMQP. */
const calledWith = (name: string) => {
  const [one] = records(capture("amqp", name)["published"])
  const [args, kwargs] = Json.parse(String(one!["bodyText"])) as ReadonlyArray<unknown>
  return { args, kwargs }
}

const checks = Object.fromEntries(
  Object.entries(ends).map(([name, end]): [string, Check] => [
    name,
    Effect.gen(function* () {
      const value = yield* Effect.flatMap(put(name), valueOf)
      if (end === "echoes") assert.deepStrictEqual(value, calledWith(name))
      else if ("result" in end) assert.deepStrictEqual(value, end.result)
      else assert.deepInclude(value, { exc_type: end.failure })
    })
  ])
)

/** Of workers of 5.6.3: what became of tasks of these very ids. */
const metas = records(Object.values(fixture("5.6.3/results/redis_plain.json")["values"] ?? {})).flatMap(({ meta }) =>
  meta === null || meta === undefined ? [] : [Json.parse(String((meta as Fields)["raw"])) as Fields]
)

const republished: Check = Effect.gen(function* () {
  const { broker, python } = yield* Deployed
  if (broker.startsWith("redis")) return
  const { ask } = yield* python
  const { wait } = yield* ResultBackend
  // The later of two messages of one id is the retry, of which the stored result is.
  const last = new Map(
    records(capture("amqp", "retry_republished")["published"]).map((one) => [(one["headers"] as Fields)["id"], one])
  )
  let compared = 0
  for (const { result, status, task_id } of metas) {
    const one = last.get(task_id)
    if (one === undefined || status !== "SUCCESS") continue
    const frames = [[one["methodHex"], one["contentHeaderHex"], one["bodyBase64"]]]
    yield* ask(`
import base64, struct
captured = json.loads(${JSON.stringify(JSON.stringify(frames))})
${replay}`)
    const ours = yield* wait(String(task_id))
    assert.deepStrictEqual([ours.status, ours.result] as ReadonlyArray<unknown>, [status, result])
    compared++
  }
  assert.isAbove(compared, 2)
})

const queues = ["celery", "wire.prio", "wire.quorum", "wire.other"].map((name) => Queue.make(name))

onEach(
  "messages of Celery 5.6.3",
  { stored: { ...checks, "what a worker sent on, and what it stored": republished } },
  {
    peers: ({ connection, results }) =>
      Worker.layer({ queues, concurrency: 8 }).pipe(
        Layer.provide(Handlers),
        Layer.provide(Tasks.layer),
        Layer.provide(Client.layer),
        Layer.provide(Layer.fresh(results)),
        Layer.provide(connection()),
        Layer.provide(Layer.orDie(Serializer.layer({ serializers: [msgpack, yaml] })))
      )
  }
)
