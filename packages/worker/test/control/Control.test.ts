import { Connection } from "@apium/hub/Connection"
import * as Mailbox from "@apium/hub/Mailbox"
import * as MailboxMessage from "@apium/protocol/kombu/MailboxMessage"
import * as Control from "@apium/worker/control/Control"
import { Panel } from "@apium/worker/control/Panel"
import * as LogicalClock from "@apium/worker/events/LogicalClock"
import * as Task from "@apium/worker/task/Task"
import { assert, describe } from "@effect/vitest"
import { type Duration, Effect, Fiber, Option, Queue, Schema, Stream } from "effect"
import { TestClock } from "effect/testing"
import { pidbox } from "../support/Fixtures.ts"
import { node, request } from "../support/Node.ts"
import { cut, json, settle, test } from "../support/World.ts"

const a = "worker1@wire"
const b = "worker2@wire"
const both = Effect.all([node(a, { tasks: ["wire.add"] }), node(b)])

/** Waits out the timeout. */
const over = <A, E, R>(effect: Effect.Effect<A, E, R>, timeout: Duration.Input = "1 second") =>
  Effect.gen(function* () {
    const fiber = yield* Effect.forkChild(effect)
    yield* settle
    yield* TestClock.adjust(timeout)
    return yield* Fiber.join(fiber)
  })

const nodes = (replies: ReadonlyArray<{ readonly node: string }>) => replies.map(({ node }) => node).toSorted()

/** What is sent to the nodes, as it is on the wire. */
const requests = Effect.gen(function* () {
  const seen = yield* Queue.unbounded<readonly [method: string, args: unknown]>()
  yield* Effect.forkScoped(
    Mailbox.serve("spy@wire", (method, args) => Effect.as(Queue.offer(seen, [method, args]), Mailbox.noReply))
  )
  yield* settle
  return Effect.andThen(settle, Queue.clear(seen))
})

describe("who is asked", () => {
  test(
    "is everybody, and everybody who answers in time is heard",
    Effect.gen(function* () {
      yield* both
      const replies = yield* over(Control.ping())
      assert.deepStrictEqual(nodes(replies), [a, b])
      assert.deepStrictEqual(
        replies.map(({ reply }) => reply),
        [{ ok: "pong" }, { ok: "pong" }]
      )
    })
  )

  test(
    "is who is named, without waiting for others",
    Effect.gen(function* () {
      yield* both
      assert.deepStrictEqual(nodes(yield* Control.ping({ destination: [b] })), [b])
      assert.deepStrictEqual(nodes(yield* Control.ping({ destination: [b, a] })), [a, b])
      assert.strictEqual((yield* Control.ping({ limit: 1 })).length, 1)
      assert.deepStrictEqual(yield* over(Control.ping({ destination: ["nobody@wire"] })), [])
    })
  )

  test(
    "is who matches: a glob unless said otherwise",
    Effect.gen(function* () {
      yield* both
      assert.deepStrictEqual(nodes(yield* over(Control.ping({ pattern: "*2@wire" }))), [b])
      assert.deepStrictEqual(nodes(yield* over(Control.ping({ pattern: "worker[12]@wire" }))), [a, b])
      assert.deepStrictEqual(nodes(yield* over(Control.ping({ pattern: "worker.@", matcher: "pcre" }))), [a, b])
      assert.deepStrictEqual(nodes(yield* over(Control.ping({ pattern: "w*", namespace: "other" }))), [])
    })
  )

  test(
    "is nobody who gets the request after its caller has left",
    Effect.gen(function* () {
      const { calls } = yield* node(a)
      const connection = yield* Connection
      yield* TestClock.setTime(10_000)
      const body = (id: string) =>
        JSON.stringify({
          method: "revoke",
          arguments: { task_id: id },
          destination: null,
          pattern: null,
          matcher: null
        })
      const send = (id: string, expires: number) =>
        connection.publish(json(body(id), { ...MailboxMessage.encodeRequestHeaders({ clock: 1, expires }) }), {
          exchange: "celery.pidbox",
          routingKey: ""
        })
      yield* send("late", 9.5)
      yield* send("in time", 10.5)
      yield* settle
      assert.deepStrictEqual(calls, [["revoke", ["in time"], undefined]])
    })
  )
})

describe("what is said", () => {
  test(
    "is what Python's client says",
    Effect.gen(function* () {
      const seen = yield* requests
      yield* Control.revoke("some-unknown-id")
      yield* Control.revoke(["id-a", "id-b"])
      yield* Control.revokeByStampedHeaders({ monitoring_id: ["m-1"] })
      yield* Control.rateLimit("wire.add", "100/m")
      yield* Control.timeLimit("wire.add", { hard: "1 minute", soft: "30 seconds" })
      yield* Control.enableEvents()
      yield* Control.disableEvents()
      yield* Control.heartbeat()
      yield* Control.shutdown()
      assert.deepStrictEqual(
        yield* seen,
        [
          "revoke",
          "revoke_list",
          "revoke_by_stamped_headers",
          "rate_limit",
          "time_limit",
          "enable_events",
          "disable_events",
          "heartbeat",
          "shutdown"
        ].map((of) => {
          const { command, args } = pidbox(of)
          return [command, args]
        })
      )
      yield* Control.addConsumer("wire.added")
      yield* Control.addConsumer("wire.added", { exchange: "wire.added.ex", exchangeType: "topic", routingKey: "k.#" })
      yield* Control.cancelConsumer("wire.added")
      yield* Control.poolGrow()
      yield* Control.poolShrink()
      yield* Control.poolRestart()
      yield* Control.autoscale(4, 2)
      assert.deepStrictEqual(
        yield* seen,
        [
          "add_consumer",
          "two_add_consumer_full",
          "cancel_consumer",
          "pool_grow",
          "pool_shrink",
          "pool_restart",
          "autoscale"
        ].map((of) => {
          const { command, args } = pidbox(of)
          return [command, args]
        })
      )
      yield* Control.addConsumer("brief", { options: { durable: false } })
      assert.deepStrictEqual(yield* seen, [
        ["add_consumer", { queue: "brief", exchange: null, exchange_type: "direct", routing_key: null, durable: false }]
      ])
      yield* Control.terminate("x", { signal: "SIGKILL" })
      yield* Control.timeLimit("wire.add", { soft: "1 second" })
      assert.deepStrictEqual(yield* seen, [
        ["revoke", { task_id: "x", terminate: true, signal: "SIGKILL" }],
        ["time_limit", { task_name: "wire.add", hard: null, soft: 1 }]
      ])
    })
  )

  test(
    "is answered when a reply is wanted, and nobody waits for one otherwise",
    Effect.gen(function* () {
      yield* both
      assert.deepStrictEqual(yield* Control.rateLimit("wire.add", "1/s", { destination: [a] }), [])
      const replies = yield* over(Control.rateLimit("wire.add", "1/s", { reply: true }))
      assert.deepStrictEqual(
        replies.toSorted((one, other) => one.node.localeCompare(other.node)),
        [
          { node: a, reply: { ok: "new rate limit set successfully" } },
          { node: b, reply: { error: "unknown task" } }
        ]
      )
    })
  )
})

describe("inspect", () => {
  test(
    "asks each of its questions",
    Effect.gen(function* () {
      const running = request("wire.add", "t1", [1, 2])
      yield* node(a, {
        script: {
          active: [{ request: running, timeStart: 1000 }],
          reserved: [request("wire.add", "t2")],
          scheduled: [{ request: request("wire.add", "t3"), until: 5000 }],
          revoked: ["t4"],
          totals: { "wire.add": 3 }
        },
        tasks: ["wire.add"]
      })
      const to = { destination: [a] }
      const one = <A>(replies: Control.Replies<A>) =>
        Effect.map(replies, ([only]) => {
          assert.strictEqual(only?.node, a)
          const { reply } = only!
          if (Control.isFailed(reply)) throw new Error(reply.error)
          return reply
        })
      const { inspect } = Control
      assert.deepStrictEqual((yield* one(inspect.active({ ...to, safe: true })))[0]?.args, "(1, 2)")
      assert.deepStrictEqual((yield* one(inspect.active(to)))[0]?.args, [1, 2])
      assert.deepStrictEqual(
        (yield* one(inspect.reserved(to))).map(({ id }) => id),
        ["t2"]
      )
      assert.deepStrictEqual(
        (yield* one(inspect.scheduled(to))).map(({ eta }) => eta),
        ["1970-01-01T00:00:05+00:00"]
      )
      assert.deepStrictEqual(yield* one(inspect.revoked(to)), ["t4"])
      assert.deepStrictEqual(yield* one(inspect.registered(to)), ["wire.add"])
      assert.deepStrictEqual(yield* one(inspect.registered({ ...to, taskInfoItems: ["serializer"] })), [
        "wire.add [serializer=json]"
      ])
      assert.deepStrictEqual((yield* one(inspect.stats(to))).total, { "wire.add": 3 })
      assert.deepStrictEqual((yield* one(inspect.activeQueues(to)))[0]?.exchange.name, "celery")
      assert.deepStrictEqual(yield* one(inspect.conf(to)), { deprecated_settings: null })
      assert.strictEqual((yield* one(inspect.conf({ ...to, withDefaults: true }))).worker_prefetch_multiplier, 4)
      assert.include((yield* one(inspect.report(to))).ok, "software -> apium:")
      assert.isNull(yield* one(inspect.memsample(to)))
      assert.include(yield* one(inspect.memdump({ ...to, samples: 3 })), "- rss")
      assert.deepStrictEqual((yield* one(inspect.queryTask(["t1"], to))).t1?.[0], "active")
      assert.isAbove((yield* one(inspect.clock(to))).clock, 0)
      assert.deepStrictEqual(yield* one(inspect.ping(to)), { ok: "pong" })
    })
  )

  test(
    "takes an answer of another kind for a failed one",
    Effect.gen(function* () {
      yield* node(a, { commands: Panel.command("active", () => Effect.succeed("what?")) })
      const [only] = yield* Control.inspect.active({ destination: [a] })
      assert.deepStrictEqual(only, {
        node: a,
        reply: { error: "The answer to active should be of the kind list, and is not" }
      })
    })
  )

  test(
    "emits the answers to any command as they come",
    Effect.gen(function* () {
      yield* both
      const first = yield* Stream.runHead(Control.broadcast("clock"))
      assert.isTrue(Option.isSome(first))
    })
  )
})

describe("the logical clock", () => {
  test(
    "of a worker goes past each request, and of a caller past each answer",
    Effect.gen(function* () {
      const { clock: worker } = yield* node(a)
      const caller = LogicalClock.make(100)
      yield* Control.ping({ destination: [a], clock: caller })
      // 101 sent, 102 when heard, 103 answered, 104 when that is heard.
      assert.deepStrictEqual([worker.value(), caller.value()], [103, 104])
      yield* Control.ping({ destination: ["nobody@wire"], timeout: "1 milli", clock: caller }).pipe((ping) =>
        over(ping, "1 milli")
      )
      assert.strictEqual(worker.value(), 106)
    })
  )
})

describe("AsyncResult.revoke", () => {
  const sleep = Task.make("wire.sleep", { params: { s: Schema.Number } })

  test(
    "tells all workers, with the words of Python's",
    Effect.gen(function* () {
      const seen = yield* requests
      const result = yield* sleep.applyAsync({ s: 1 }, { taskId: "some-unknown-id" })
      yield* result.revoke()
      yield* result.revoke({ terminate: true, signal: "SIGKILL" })
      assert.deepStrictEqual(yield* seen, [
        ["revoke", pidbox("revoke").args],
        ["revoke", { task_id: "some-unknown-id", terminate: true, signal: "SIGKILL" }]
      ])
    })
  )
})

test(
  "a node that comes back after a lost link is reached again",
  Effect.gen(function* () {
    yield* node(a)
    yield* cut
    yield* TestClock.adjust("2 seconds")
    yield* settle
    assert.deepStrictEqual(nodes(yield* Control.ping({ destination: [a] })), [a])
  })
)
