/** What the backend keeps and asks, beside what was captured of Celery 5.2.6 and 5.6.3 (`packages/protocol/test/fixtures`). */
import * as Redis from "@apium/transport-redis/node"
import { RedisBackend, ResultBackend } from "@apium/worker"
import { assert, describe, layer } from "@effect/vitest"
import { Effect, Layer, Option } from "effect"
import { Redis as EffectRedis } from "effect/persistence"
import { readFileSync } from "node:fs"
import { part } from "../../../test/support/BackendSuite.ts"
import { Redis as Server } from "../../../test/support/Redis.ts"
import * as monitor from "./support/monitor.ts"

const fixture = (version: string, name: string): unknown =>
  JSON.parse(
    readFileSync(new URL(`../../protocol/test/fixtures/${version}/results/${name}.json`, import.meta.url), "utf8")
  )

interface Values {
  readonly values: Readonly<
    Record<
      string,
      {
        readonly taskId?: string
        readonly meta?: { readonly raw: string; readonly ttl: number } | null
        readonly groupId?: string
        readonly keys?: Readonly<Record<string, { readonly get: string }>>
      }
    >
  >
}

interface Transcript {
  readonly lines: ReadonlyArray<{ readonly command: string }>
}

/** A Redis of its own: everybody else's commands would be in the monitor. */
const World = Layer.unwrap(
  Effect.map(Server, (server) => RedisBackend.layer.pipe(Layer.provideMerge(Redis.layerRedis(server.url()))))
).pipe(Layer.provideMerge(Server.layer()))

layer(World, { excludeTestServices: true })("beside Celery's captures", (it) => {
  for (const version of ["5.2.6", "5.6.3"]) {
    describe(`of ${version}`, () => {
      for (const name of ["redis_plain", "redis_extended"]) {
        it.effect(`every result of ${name} is read, and written to the byte`, () =>
          Effect.gen(function* () {
            const { send } = yield* EffectRedis.Redis
            const backend = yield* ResultBackend
            let read = 0
            for (const [what, { groupId, keys, meta, taskId }] of Object.entries(
              (fixture(version, name) as Values).values
            )) {
              if (taskId !== undefined && meta?.raw !== undefined) {
                const key = `celery-task-meta-${taskId}`
                yield* send("SET", key, meta.raw)
                const found = Option.getOrThrow(yield* backend.get(taskId))
                yield* send("DEL", key)
                yield* backend.store(found)
                // A float that is whole is an integer here (`kombu/Json`).
                const wanted = meta.raw.replace(/(\d)\.0(?=[,\]}])/g, "$1")
                assert.strictEqual(yield* send("GET", key), wanted, what)
                assert.closeTo(yield* send<number>("TTL", key), meta.ttl, 60)
                read++
              }
              const group = keys?.[`celery-taskset-meta-${groupId}`]
              if (groupId !== undefined && group !== undefined) {
                const key = `celery-taskset-meta-${groupId}`
                yield* send("SET", key, group.get)
                const found = Option.getOrThrow(yield* backend.groups.restore(groupId))
                yield* backend.groups.forget(groupId)
                yield* backend.groups.save(found)
                assert.strictEqual(yield* send("GET", key), group.get)
                read++
              }
            }
            assert.isAbove(read, 5)
          })
        )
      }

      it.effect("a chord writes and tells what Celery's does, in its order", () =>
        Effect.gen(function* () {
          const { chords } = yield* ResultBackend
          const captured = (fixture(version, "chord_monitor") as Transcript).lines.map(({ command }) =>
            monitor.words(command)
          )
          const [id] = captured.flatMap(([, key]) => /^celery-taskset-meta-(.*)\.s$/.exec(key ?? "")?.slice(1) ?? [])
          assert.isDefined(id)
          const writes = new Set(["SETEX", "PUBLISH", "ZADD", "EXPIRE", "DEL"])
          const ofChord = (all: ReadonlyArray<ReadonlyArray<string>>) =>
            all.filter(([command, key]) => writes.has(command!) && key!.startsWith(`celery-taskset-meta-${id}.`))
          const wanted = ofChord(captured)
          const parts = wanted
            .filter(([command]) => command === "ZADD")
            .map(([, , score, member]) => {
              const [, taskId, state, result] = JSON.parse(member!) as [number, string, string, number]
              return part(id, Number(score), { taskId, state, result })
            })
          const { asked } = yield* monitor.during(
            Effect.gen(function* () {
              yield* chords.size(id, parts.length)
              for (const one of parts) yield* chords.count(one, () => Effect.void)
            })
          )
          // Celery deletes one key a command.
          const ours = asked
            .flatMap(({ args, command, script }) =>
              !script ? [] : command === "DEL" ? args.map((key) => [command, key]) : [[command, ...args]]
            )
            .filter(([, key]) => key?.endsWith(".apium") === false)
          assert.lengthOf(parts, 2)
          assert.deepStrictEqual(ofChord(ours), wanted)
        })
      )
    })
  }

  it.effect("a result is a SETEX and a PUBLISH of the same text, and with no time to live a SET", () =>
    Effect.gen(function* () {
      const server = yield* Server
      const backend = yield* ResultBackend
      const text =
        '{"status": "SUCCESS", "result": {"a": "\\u00e5", "b": [1, 2.5]}, "traceback": null, "children": [], "date_done": "2026-11-21T02:00:03.631730+00:00", "task_id": "one"}'
      const one = {
        taskId: "one",
        status: "SUCCESS",
        result: { a: "å", b: [1, 2.5] },
        traceback: null,
        children: [],
        dateDone: "2026-11-21T02:00:03.631730+00:00"
      }
      const { asked } = yield* monitor.during(backend.store(one))
      assert.deepStrictEqual(
        asked.filter(({ script }) => script).map(({ args, command }) => [command].concat(args)),
        [
          ["GET", "celery-task-meta-one"],
          ["SETEX", "celery-task-meta-one", "86400", text],
          ["PUBLISH", "celery-task-meta-one", text]
        ]
      )
      const kept = Effect.gen(function* () {
        yield* (yield* ResultBackend).store(one)
        return Number(yield* server.command("TTL", "app_celery-task-meta-one"))
      })
      const withOptions = (options: RedisBackend.Options) =>
        Effect.provide(
          kept,
          RedisBackend.layerWith({ globalKeyprefix: "app", ...options }).pipe(
            Layer.provide(Redis.layerRedis(server.url()))
          )
        )
      assert.strictEqual(yield* withOptions({ expires: 0 }), -1)
      yield* server.command("DEL", "app_celery-task-meta-one")
      assert.closeTo(yield* withOptions({ expires: "1 hour" }), 3600, 60)
    })
  )
})
