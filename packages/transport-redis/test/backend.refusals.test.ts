/** What Redis refuses of results, for now or for good, and who hears of it (RELIABILITY D6, D9, D16). */
import type { HubError } from "@apium/hub/HubError"
import { assert, layer } from "@effect/vitest"
import { Effect, Exit, Fiber, Option, Scope } from "effect"
import { message, part } from "../../../test/support/BackendSuite.ts"
import { Redis as Server, RedisServer } from "../../../test/support/Redis.ts"
import { open, subscribed } from "./support/backends.ts"
import * as stores from "./support/stores.ts"

layer(Server.layer(), { excludeTestServices: true })("what Redis refuses", (it) => {
  it.effect("is the failure of its own key, and of none beside it", () =>
    Effect.gen(function* () {
      const server = yield* Server
      const backend = yield* open(server.url())
      yield* server.command("RPUSH", "celery-task-meta-list", "x")
      yield* server.command("SET", "celery-task-meta-torn", '{"status": "SUCC')
      yield* server.command("SET", "celery-task-meta-other", "[1]")
      const [good, bad] = yield* Effect.all(
        [Effect.exit(backend.store(message("good"))), Effect.flip(backend.store(message("list")))],
        { concurrency: "unbounded" }
      )
      assert.strictEqual(good._tag, "Success")
      assert.strictEqual(bad.reason._tag, "ChannelClosed")
      assert.include(bad.message, "WRONGTYPE")
      for (const id of ["torn", "other"]) {
        for (const asked of [backend.get(id), backend.wait(id)] as const) {
          const { message: text, reason } = yield* Effect.flip<unknown, HubError, never>(asked)
          assert.strictEqual(reason._tag, "DecodeFailed")
          assert.include(text, `the result of the task ${id}`)
        }
        // A result that can be read takes its place.
        yield* backend.store(message(id))
        assert.strictEqual((yield* backend.wait(id)).status, "SUCCESS")
      }
      // What somebody publishes is not what is stored.
      const waiting = yield* Effect.forkChild(backend.wait("noise"), { startImmediately: true })
      yield* subscribed(1)
      yield* server.command("PUBLISH", "celery-task-meta-noise", "no JSON")
      yield* backend.store(message("noise", "SUCCESS", 1))
      assert.strictEqual((yield* Fiber.join(waiting)).result, 1)
    })
  )

  it.effect("for want of memory is tried again, and then fails as that", () =>
    Effect.gen(function* () {
      const server = yield* Server
      const backend = yield* open(server.url(), { retryFor: "300 millis" })
      const patient = yield* open(server.url())
      yield* backend.store(message("before", "STARTED"))
      yield* patient.store(message("before", "STARTED"))
      yield* server.command("CONFIG", "SET", "maxmemory", "1")
      const { reason } = yield* Effect.flip(backend.store(message("full")))
      assert.strictEqual(reason._tag, "OutOfMemory")
      const storing = yield* Effect.forkChild(patient.store(message("full")), { startImmediately: true })
      assert.strictEqual(Option.getOrThrow(yield* patient.get("before")).status, "STARTED")
      yield* server.command("CONFIG", "SET", "maxmemory", "0")
      yield* Fiber.join(storing)
      assert.strictEqual((yield* backend.wait("full")).status, "SUCCESS")
    })
  )

  it.effect("as a replica is tried again on another link, until there is a master", () =>
    Effect.gen(function* () {
      const server = yield* Server
      const backend = yield* open(server.url())
      yield* backend.store(message("master"))
      yield* server.command("REPLICAOF", "127.0.0.1", "1")
      const storing = yield* Effect.forkChild(backend.store(message("replica")), { startImmediately: true })
      const counting = yield* Effect.forkChild(
        Effect.andThen(
          backend.chords.size("replica", 1),
          backend.chords.count(part("replica", 0), () => Effect.void)
        ),
        { startImmediately: true }
      )
      yield* stores.until(
        Effect.map(server.command("INFO", "errorstats"), (text) => String(text).includes("errorstat_READONLY"))
      )
      yield* server.command("REPLICAOF", "NO", "ONE")
      yield* Fiber.join(storing)
      assert.isTrue(yield* Fiber.join(counting))
      assert.strictEqual((yield* backend.wait("replica")).status, "SUCCESS")
    })
  )

  it.effect("when it is away for longer than is waited for is a lost connection, for all who ask", () =>
    Effect.gen(function* () {
      const server = yield* Server
      const process = yield* RedisServer
      const backend = yield* open(server.url(), { retryFor: "200 millis" }, { patience: "3 seconds" })
      yield* process.stop
      const errors = yield* Effect.forEach(
        [
          backend.store(message("away")),
          backend.get("away"),
          backend.wait("away"),
          backend.forget("away"),
          backend.groups.restore("away"),
          backend.chords.count(part("away", 0), () => Effect.void)
        ],
        (asked) => Effect.flip<unknown, HubError, never>(asked),
        { concurrency: "unbounded" }
      )
      for (const { reason, recoverable } of errors) {
        assert.deepStrictEqual([reason._tag, recoverable], ["ConnectionLost", true])
      }
      yield* process.start
      yield* stores.until(Effect.map(Effect.exit(backend.store(message("away"))), Exit.isSuccess))
      assert.strictEqual((yield* backend.wait("away")).status, "SUCCESS")
    })
  )

  it.effect("whoever waits or stores when the backend is closed is told so", () =>
    Effect.gen(function* () {
      const server = yield* Server
      const scope = yield* Scope.make()
      const backend = yield* Scope.provide(open(server.url()), scope)
      const waiting = yield* Effect.forkChild(backend.wait("closed"), { startImmediately: true })
      yield* subscribed(1)
      yield* Scope.close(scope, Exit.void)
      for (const asked of [Fiber.join(waiting), backend.wait("later"), backend.store(message("later"))]) {
        assert.include((yield* Effect.flip<unknown, HubError, never>(asked)).message, "closed")
      }
      yield* subscribed(0)
    })
  )
})
