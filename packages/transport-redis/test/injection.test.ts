/**
 * Results that were written by somebody else (RELIABILITY G13, CVE-2021-23727): whatever they name comes back as data, from Redis and as
 * messages. Nothing is imported, nothing is called, and no prototype is another.
 */
import { Connection } from "@apium/hub/Connection"
import { HubError } from "@apium/hub/HubError"
import * as Message from "@apium/hub/Message"
import * as Redis from "@apium/transport-redis/node"
import { AsyncResult, Client, RedisBackend, ResultBackend, RpcBackend, Task, TaskError } from "@apium/worker"
import { assert, layer } from "@effect/vitest"
import { Cause, Context, type Duration, Effect, Exit, Layer, Schema } from "effect"
import { Redis as EffectRedis } from "effect/persistence"
import { Redis as Server } from "../../../test/support/Redis.ts"

/** Declared: an error of this name with these fields is made of what is stored. */
class Polluted extends Schema.TaggedError<Polluted>()("Polluted", { polluted: Schema.Boolean }) {}

const task = Task.make("proj.victim", { params: {}, result: Schema.Unknown, error: Polluted })

const deep = (open: string, close: string) => open.repeat(200_000) + "1" + close.repeat(200_000)

const exception = (type: string, module: string, args: string) =>
  `{"exc_type": ${type}, "exc_module": ${module}, "exc_message": ${args}}`

/** The JSON of `result`, and what is told of it: type, module and arguments; `undefined`: that it cannot be read, or something of the kind. */
const failures: Readonly<Record<string, readonly [result: string, told?: readonly [unknown, unknown, unknown]]>> = {
  "a function of the system": [
    '{"exc_module":"os","exc_type":"system","exc_message":["id"]}',
    ["system", "os", ["id"]]
  ],
  "a function of Node.js": [
    exception('"execSync"', '"node:child_process"', '["id"]'),
    ["execSync", "node:child_process", ["id"]]
  ],
  "a path, and a URL": [
    exception('"default"', '"data:text/javascript,globalThis.polluted=1"', "[]"),
    ["default", "data:text/javascript,globalThis.polluted=1", []]
  ],
  "a global": [
    exception('"Function"', '"builtins"', '["globalThis.polluted = 1"]'),
    ["Function", "builtins", ["globalThis.polluted = 1"]]
  ],
  "the constructor of everything": [
    exception('"constructor"', '"__proto__"', '["return process"]'),
    ["constructor", "__proto__", ["return process"]]
  ],
  "a prototype": [
    '{"__proto__":{"polluted":true},"exc_type":"X","exc_module":"y","exc_message":[{"__proto__":{"polluted":true}}]}'
  ],
  "a prototype of the constructor": [exception('"X"', '"y"', '[{"constructor":{"prototype":{"polluted":true}}}]')],
  "a declared error with a prototype": [exception('"Polluted"', '"apium"', '["m", {"__proto__":{"polluted":true}}]')],
  "a declared error as another's class": [
    exception('"Polluted"', '"os"', '["m", {"_tag":"Polluted","polluted":"yes"}]')
  ],
  "a value of a type that there is not": [
    exception('"X"', '"y"', '[{"__type__":"__proto__","__value__":{"polluted":true}}]')
  ],
  "numbers for names": [exception("5", "7", "[1]")],
  "objects for names": [exception('{"toString":"x"}', '{"a":1}', '{"b":[2]}')],
  "lists for names": [exception("[]", "[[]]", '"text"')],
  "nothing at all": [exception("null", "null", "null")],
  "a dotted name that leaves its module": [
    exception('"os.system"', '"celery.exceptions"', '["id"]'),
    ["os.system", "celery.exceptions", ["id"]]
  ],
  "a list that is no exception": ['["os", "system", "id"]'],
  "a text": ['"os.system"'],
  "lists 200,000 deep": [exception('"X"', '"y"', deep("[", "]"))],
  "objects 200,000 deep": [exception('"X"', '"y"', deep('{"a":', "}"))],
  "a megabyte of a name": [exception(JSON.stringify("x".repeat(2 ** 20)), '"y"', "[]")]
}

/** Fields around the result. */
const metas: Readonly<Record<string, string>> = {
  "a prototype": '"__proto__": {"status": "SUCCESS", "polluted": true}',
  "a traceback that is none": '"traceback": {"polluted": true}',
  "children that are none": '"children": {"__proto__": 1}',
  "a parent that is a prototype": '"parent_id": {"__proto__": 1}, "group_id": ["x"]'
}

const meta = (id: string, result: string, more = '"traceback": null, "children": []') =>
  `{"status": "FAILURE", "result": ${result}, "task_id": "${id}", "date_done": null, ${more}}`

/** Writes these octets as the result of a task that was sent. */
class Forge extends Context.Service<Forge, (id: string, octets: string) => Effect.Effect<unknown, unknown>>()(
  "test/Forge"
) {}

const stored = Layer.effect(
  Forge,
  Effect.map(
    EffectRedis.Redis,
    ({ send }) =>
      (id: string, octets: string) =>
        send("SET", `celery-task-meta-${id}`, octets)
  )
)

const sent = Layer.effect(
  Forge,
  Effect.gen(function* () {
    const connection = yield* Connection
    const { replyTo } = yield* ResultBackend
    return (id: string, octets: string) =>
      Effect.flatMap(replyTo!, (routingKey) =>
        connection.publish(
          Message.make(new TextEncoder().encode(octets), {
            correlationId: id,
            contentType: "application/json",
            contentEncoding: "utf-8"
          }),
          { exchange: "", routingKey }
        )
      )
  })
)

const backendOf = (rpc: boolean): Layer.Layer<ResultBackend, never, Connection | EffectRedis.Redis> =>
  rpc ? RpcBackend.layer : RedisBackend.layer

const World = (rpc: boolean) =>
  Layer.unwrap(
    Effect.map(Server, (server) =>
      Layer.mergeAll(rpc ? sent : stored, Client.layer).pipe(
        Layer.provideMerge(backendOf(rpc)),
        Layer.provideMerge(Redis.layerAll(server.url()))
      )
    )
  ).pipe(Layer.provide(Server.shared))

const prototypes = () =>
  [Object, Array, Function, String, Error].flatMap(({ prototype }) => Reflect.ownKeys(prototype).map(String)).join()

for (const [name, rpc] of [
  ["in Redis", false],
  ["as messages", true]
] as const) {
  layer(World(rpc), { excludeTestServices: true })(`forged results ${name}`, (it) => {
    const outcome = (octets: (id: string) => string, wait: Duration.Input = "500 millis") =>
      Effect.gen(function* () {
        const before = prototypes()
        const forge = yield* Forge
        const backend = yield* ResultBackend
        const id = crypto.randomUUID()
        yield* forge(id, octets(id))
        const handle = AsyncResult.make(
          backend,
          id,
          { result: task.result, error: task.error },
          { ignored: false, revoke: () => Effect.void }
        )
        // What cannot be read as a message is logged, and never comes.
        const exit = yield* Effect.exit(Effect.timeout(handle.get, wait))
        assert.strictEqual(prototypes(), before)
        assert.isUndefined(Reflect.get({}, "polluted"))
        assert.isUndefined(Reflect.get(globalThis, "polluted"))
        assert.isTrue(Exit.isFailure(exit) && Cause.hasFails(exit.cause) && !Cause.hasDies(exit.cause))
        return Exit.isFailure(exit) ? Cause.squash(exit.cause) : undefined
      })

    it.effect.each(Object.entries(failures).map(([title, [result, told]]) => ({ title, result, told })))(
      "with $title are data",
      ({ result, told }) =>
        Effect.gen(function* () {
          const error = yield* outcome((id) => meta(id, result), told === undefined ? undefined : "1 minute")
          if (told === undefined) {
            assert.isFalse(error instanceof Polluted)
            return
          }
          assert.instanceOf(error, TaskError.TaskFailed)
          assert.deepStrictEqual([error.excType, error.excModule, error.excMessage], told)
        })
    )

    it.effect.each(Object.entries(metas).map(([title, more]) => ({ title, more })))(
      "with $title beside them are no other result",
      ({ more }) =>
        Effect.gen(function* () {
          const error = yield* outcome((id) => meta(id, failures["a function of the system"]![0], more))
          assert.isTrue(
            error instanceof TaskError.TaskFailed || error instanceof HubError || Cause.isTimeoutError(error)
          )
        })
    )
  })
}
