import type { Delivery } from "@apium/hub/Delivery"
import { ConnectionLost, type HubError, fail, FrameTooLarge, Nacked } from "@apium/hub/HubError"
import * as Message from "@apium/hub/Message"
import type { ResultMessage } from "@apium/protocol/celery/ResultMessage"
import * as Signature from "@apium/protocol/celery/Signature"
import * as TaskMessage from "@apium/protocol/celery/TaskMessage"
import type { Publisher } from "@apium/worker/client/Publisher"
import * as Router from "@apium/worker/client/Router"
import * as MemoryBackend from "@apium/worker/client/backends/MemoryBackend"
import { ResultBackend } from "@apium/worker/client/ResultBackend"
import * as Callbacks from "@apium/worker/execution/Callbacks"
import { passing } from "@apium/worker/execution/Failpoint"
import { Pool } from "@apium/worker/execution/Pool"
import type { Outcome } from "@apium/worker/execution/Outcome"
import * as FiberPool from "@apium/worker/execution/pools/FiberPool"
import type { Request } from "@apium/worker/execution/Request"
import * as Results from "@apium/worker/execution/Results"
import * as Trace from "@apium/worker/execution/Trace"
import * as Retry from "@apium/worker/task/Retry"
import * as Task from "@apium/worker/task/Task"
import { TaskContext } from "@apium/worker/task/TaskContext"
import * as TaskError from "@apium/worker/task/TaskError"
import { Tasks } from "@apium/worker/task/Tasks"
import { assert, describe, it } from "@effect/vitest"
import { Clock, Deferred, Effect, Fiber, Layer, Option, Stream } from "effect"
import { TestClock } from "effect/testing"

const lost = fail(new ConnectionLost({ cause: "closed", text: "away" }))
const refused = fail(new FrameTooLarge({ size: 200_000, limit: 131_072 }))
const nacked = fail(new Nacked({ exchange: "", routingKey: "celery" }))

interface Broken {
  readonly store?: (message: ResultMessage) => ReturnType<ResultBackend["Service"]["store"]>
  readonly publish?: Publisher["publish"]
  readonly settle?: Delivery["ack"]
  readonly pool?: Pool["Service"]["run"]
  readonly expiresAt?: number
  readonly ignoreResult?: boolean
  readonly embed?: Partial<TaskMessage.Embed>
  readonly terminated?: NonNullable<Request["terminated"]>
  readonly count?: Effect.Effect<void, HubError>
}

/** Runs one request, and writes down what leaves the worker, in order. */
const traced = <A>(options: Task.TaskOptions, handler: Effect.Effect<A, TaskError.Steering>, broken: Broken = {}) =>
  Effect.gen(function* () {
    const log: Array<string> = []
    const states: Array<ResultMessage> = []
    const note = (line: string, then: Effect.Effect<void> | Delivery["ack"] = Effect.void) =>
      Effect.andThen(
        // An effect that takes its time, as a real broker and a real backend do.
        Effect.yieldNow,
        Effect.andThen(
          Effect.sync(() => void log.push(line)),
          then
        )
      )
    const task = Task.make("proj.traced", { params: {}, ...options })
    const registry = yield* Layer.build(
      Layer.provideMerge(
        Tasks.handle(task, () =>
          Effect.asVoid(
            Effect.andThen(
              Effect.sync(() => void log.push("run")),
              handler
            )
          )
        ),
        Tasks.layer
      )
    )
    const registered = (yield* Effect.provide(Tasks, registry)).find(task.name)!
    const pool = yield* Effect.provide(Pool, FiberPool.layer)
    const delivery: Delivery = {
      message: Message.make(new Uint8Array(), { contentType: "application/json" }),
      route: { exchange: "", routingKey: "celery" },
      queue: "celery",
      consumerTag: "c",
      redelivered: false,
      deliveryCount: Option.none(),
      ack: note("ack", broken.settle),
      reject: ({ requeue }) => note(requeue ? "requeue" : "reject", broken.settle),
      release: note("release", broken.settle)
    }
    const memory = yield* Effect.provide(ResultBackend, MemoryBackend.layer)
    const backend: ResultBackend["Service"] = {
      ...memory,
      chords: {
        ...memory.chords,
        count: ({ groupIndex, state }) =>
          Effect.as(Effect.andThen(note(`count ${groupIndex} ${state}`), broken.count ?? Effect.void), false)
      },
      store: (message) => {
        states.push(message)
        return note(`store ${message.status}`, broken.store?.(message))
      },
      get: () => Effect.succeedNone,
      wait: () => Effect.never,
      changes: () => Stream.empty,
      forget: () => Effect.void
    }
    const clock = yield* Clock.Clock
    const results = Results.make(backend)
    const publisher: Publisher = {
      publish: (outgoing) =>
        note(
          outgoing.task.headers.id === "t1"
            ? `publish ${outgoing.task.headers.retries}`
            : `send ${outgoing.task.headers.task}`,
          broken.publish?.(outgoing)
        ),
      publishAll: () => Effect.void
    }
    const tasks = yield* Effect.provide(Tasks, registry)
    const trace = Trace.make({
      pool: { ...pool, run: broken.pool ?? pool.run },
      results,
      publisher,
      callbacks: Callbacks.make({
        publisher,
        backend,
        tasks,
        results,
        clock,
        passing: passing(undefined),
        hostname: "celery@test",
        router: Router.make()
      }),
      events: {
        enabled: () => true,
        send: (type, fields) =>
          void log.push(type === "task-progress" ? `${type} of ${(fields as { uuid: string }).uuid}` : type),
        enable: () => false,
        disable: () => false
      },
      clock,
      node: { pid: 7, hostname: "celery@test" },
      timeLimits: () => undefined,
      middleware: [],
      deduplicateSuccessfulTasks: false,
      tracer: undefined,
      transport: "memory",
      failpoint: undefined
    })
    const request: Request = {
      delivery,
      sequence: 1,
      registered,
      message: {
        protocol: 2,
        headers: TaskMessage.makeHeaders({
          task: task.name,
          id: "t1",
          group: "g1",
          groupIndex: 3,
          ignoreResult: broken.ignoreResult ?? false
        }),
        args: [],
        kwargs: {},
        embed: { ...TaskMessage.emptyEmbed, ...broken.embed }
      },
      expiresAt: broken.expiresAt
    }
    if (broken.terminated !== undefined) request.terminated = broken.terminated
    return { log, states, request, run: trace.run(request) }
  })

const logged = <A>(options: Task.TaskOptions, handler: Effect.Effect<A, TaskError.Steering>, broken: Broken = {}) =>
  Effect.gen(function* () {
    const { log, run } = yield* traced(options, handler, broken)
    yield* run
    return log
  })

const link = [Signature.make("proj.next")]
const retry = Retry.fixed({ maxRetries: 3, delay: "1 second" })

describe("the order of Celery's trace", () => {
  it.effect("late: started, STARTED, run, result, acknowledgement, event", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* logged({ trackStarted: true }, Effect.void), [
        "task-started",
        "store STARTED",
        "run",
        "store SUCCESS",
        "ack",
        "task-succeeded"
      ])
      assert.deepStrictEqual(yield* logged({}, Effect.die("no")), [
        "task-started",
        "run",
        "store FAILURE",
        "ack",
        "task-failed"
      ])
    })
  )

  it.effect("early: the acknowledgement comes before the run, and once", () =>
    Effect.gen(function* () {
      const early = { acksLate: false, trackStarted: true }
      assert.deepStrictEqual(yield* logged(early, Effect.void), [
        "task-started",
        "ack",
        "store STARTED",
        "run",
        "store SUCCESS",
        "task-succeeded"
      ])
      assert.deepStrictEqual(yield* logged(early, Effect.die("no")), [
        "task-started",
        "ack",
        "store STARTED",
        "run",
        "store FAILURE",
        "task-failed"
      ])
    })
  )

  it.effect("retry: RETRY is stored and the message sent before the old one is acknowledged", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* logged({ retry }, Effect.die("again")), [
        "task-started",
        "run",
        "store RETRY",
        "publish 1",
        "ack",
        "task-retried"
      ])
    })
  )

  it.effect("ignore: acknowledged, and nothing is stored", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* logged({}, Effect.fail(new TaskError.Ignore())), ["task-started", "run", "ack"])
    })
  )

  it.effect("reject: as it asked, and nothing is stored", () =>
    Effect.gen(function* () {
      for (const requeue of [true, false]) {
        assert.deepStrictEqual(yield* logged({}, Effect.fail(new TaskError.Reject({ requeue }))), [
          "task-started",
          "run",
          requeue ? "requeue" : "reject",
          "task-rejected"
        ])
      }
    })
  )

  it.effect("no result is wanted: nothing is stored, STARTED included, whoever said so", () =>
    Effect.gen(function* () {
      const expected = ["task-started", "run", "ack", "task-succeeded"]
      assert.deepStrictEqual(yield* logged({ ignoreResult: true, trackStarted: true }, Effect.void), expected)
      assert.deepStrictEqual(yield* logged({ trackStarted: true }, Effect.void, { ignoreResult: true }), expected)
    })
  )

  it.effect("a task whose time ran out while it waited for its turn is revoked instead of run", () =>
    Effect.gen(function* () {
      const { log, states, run } = yield* traced({}, Effect.void, { expiresAt: 5000 })
      yield* TestClock.setTime(5000)
      yield* run
      assert.deepStrictEqual(log, ["store REVOKED", "ack", "task-revoked"])
      assert.deepStrictEqual(states[0]!.result, {
        exc_type: "TaskRevokedError",
        exc_message: ["expired"],
        exc_module: "celery.exceptions"
      })
      assert.isNull(states[0]!.children)
      assert.include(yield* logged({}, Effect.void, { expiresAt: 5001 }), "run")
    })
  )
})

describe("interruption", () => {
  it.effect("gives a task that is acknowledged late back to its queue", () =>
    Effect.gen(function* () {
      const running = yield* Deferred.make<void>()
      const { log, run } = yield* traced({}, Effect.andThen(Deferred.succeed(running, undefined), Effect.never))
      const fiber = yield* Effect.forkChild(run)
      yield* Deferred.await(running)
      yield* Fiber.interrupt(fiber)
      assert.deepStrictEqual(log, ["task-started", "run", "requeue"])
    })
  )

  it.effect("cannot give back one that was acknowledged early", () =>
    Effect.gen(function* () {
      const running = yield* Deferred.make<void>()
      const { log, run } = yield* traced(
        { acksLate: false },
        Effect.andThen(Deferred.succeed(running, undefined), Effect.never)
      )
      const fiber = yield* Effect.forkChild(run)
      yield* Deferred.await(running)
      yield* Fiber.interrupt(fiber)
      assert.deepStrictEqual(log, ["task-started", "ack", "run"])
    })
  )

  it.effect("does not stop what comes after the run: the result is stored and the message settled", () =>
    Effect.gen(function* () {
      const storing = yield* Deferred.make<void>()
      const go = yield* Deferred.make<void>()
      const { log, run } = yield* traced({}, Effect.void, {
        store: () => Effect.andThen(Deferred.succeed(storing, undefined), Deferred.await(go))
      })
      const fiber = yield* Effect.forkChild(run)
      yield* Deferred.await(storing)
      fiber.interruptUnsafe()
      yield* Deferred.succeed(go, undefined)
      yield* Fiber.await(fiber)
      assert.deepStrictEqual(log, ["task-started", "run", "store SUCCESS", "ack", "task-succeeded"])
    })
  )
})

describe("when something is away", () => {
  it.effect("a backend that fails or breaks costs the result and not the task", () =>
    Effect.gen(function* () {
      const expected = ["task-started", "store STARTED", "run", "store SUCCESS", "ack", "task-succeeded"]
      for (const store of [() => lost, () => Effect.die(new Error("backend broke"))]) {
        assert.deepStrictEqual(yield* logged({ trackStarted: true }, Effect.void, { store }), expected)
      }
      assert.include(yield* logged({ retry }, Effect.die("again"), { store: () => Effect.die("broke") }), "publish 1")
    })
  )

  it.effect("a settle that comes too late ends the run all the same", () =>
    Effect.gen(function* () {
      assert.strictEqual((yield* logged({}, Effect.void, { settle: lost })).at(-1), "task-succeeded")
    })
  )

  it.effect("a retry that cannot be sent while the link is away: the message itself comes again", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* logged({ retry }, Effect.die("again"), { publish: () => lost }), [
        "task-started",
        "run",
        "store RETRY",
        "publish 1",
        "requeue",
        "task-rejected"
      ])
    })
  )

  it.effect("a retry the broker refuses for good is a failure, and no endless loop", () =>
    Effect.gen(function* () {
      const { log, states, run } = yield* traced({ retry }, Effect.die(new Error("flaked")), { publish: () => refused })
      yield* run
      assert.deepStrictEqual(log, [
        "task-started",
        "run",
        "store RETRY",
        "publish 1",
        "store FAILURE",
        "reject",
        "task-failed"
      ])
      assert.deepStrictEqual(states.at(-1)?.result, { exc_type: "Error", exc_message: ["flaked"], exc_module: "apium" })
    })
  )

  it.effect("a retry that cannot be sent, of a task that was acknowledged early, is a failure its caller sees", () =>
    Effect.gen(function* () {
      assert.include(
        yield* logged({ retry, acksLate: false }, Effect.die("again"), { publish: () => lost }),
        "store FAILURE"
      )
    })
  )

  it.effect("a pool that breaks is a failure of the task, and not a message that goes round for ever", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* logged({}, Effect.void, { pool: () => Effect.die(new Error("pool broke")) }), [
        "task-started",
        "store FAILURE",
        "ack",
        "task-failed"
      ])
    })
  )
})

describe("what a success sends", () => {
  const promised = { callbacks: link, chain: null, chord: null, errbacks: link }

  it.effect("leaves before the result is stored", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* logged({}, Effect.void, { embed: promised }), [
        "task-started",
        "run",
        "send proj.next",
        "store SUCCESS",
        "ack",
        "task-succeeded"
      ])
    })
  )

  it.effect("cannot leave while the link is away: nothing is stored, and the message comes again", () =>
    Effect.gen(function* () {
      for (const embed of [{ callbacks: link }, { chain: link }]) {
        assert.deepStrictEqual(yield* logged({}, Effect.void, { embed, publish: () => lost }), [
          "task-started",
          "run",
          "send proj.next",
          "requeue",
          "task-rejected"
        ])
      }
    })
  )

  it.effect("cannot leave, and the message is acknowledged: a failure that says why", () =>
    Effect.gen(function* () {
      const { log, states, run } = yield* traced({ acksLate: false }, Effect.void, {
        embed: { callbacks: link },
        publish: () => lost
      })
      yield* run
      assert.deepStrictEqual(log, ["task-started", "ack", "run", "send proj.next", "store FAILURE", "task-failed"])
      assert.deepInclude(states[0]!.result, { exc_type: "CallbackNotSent", exc_module: "apium" })
      assert.match(JSON.stringify(states[0]!.result), /proj\.next could not be sent/)
    })
  )

  it.effect("is refused for now: nothing is stored, and the message goes back", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* logged({}, Effect.void, { embed: { callbacks: link }, publish: () => nacked }), [
        "task-started",
        "run",
        "send proj.next",
        "requeue",
        "task-rejected"
      ])
    })
  )

  it.effect("is refused for good: a failure, and no endless loop", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* logged({}, Effect.void, { embed: { callbacks: link }, publish: () => refused }), [
        "task-started",
        "run",
        "send proj.next",
        "store FAILURE",
        "ack",
        "task-failed"
      ])
    })
  )
})

describe("what a failure sends", () => {
  const embed = { errbacks: link, callbacks: [Signature.make("proj.never")] }

  it.effect("leaves after it is stored, for who is called may ask for it", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* logged({}, Effect.die("no"), { embed }), [
        "task-started",
        "run",
        "store FAILURE",
        "send proj.next",
        "ack",
        "task-failed"
      ])
    })
  )

  it.effect("cannot leave while the link is away: the message comes again; refused for good it is given up", () =>
    Effect.gen(function* () {
      const sent = ["task-started", "run", "store FAILURE", "send proj.next"]
      assert.deepStrictEqual(yield* logged({}, Effect.die("no"), { embed, publish: () => lost }), [
        ...sent,
        "requeue",
        "task-rejected"
      ])
      assert.deepStrictEqual(yield* logged({}, Effect.die("no"), { embed, publish: () => refused }), [
        ...sent,
        "ack",
        "task-failed"
      ])
    })
  )

  it.effect("marks the steps of its chain that will never run, so that nobody waits for them", () =>
    Effect.gen(function* () {
      const chain = [
        Signature.make("proj.last", { options: { task_id: "last" } }),
        Signature.make("proj.then", { options: { task_id: "then" } }),
        Signature.make("proj.unfrozen")
      ]
      const { states, run } = yield* traced({}, Effect.die(new Error("no")), { embed: { chain } })
      yield* run
      assert.deepStrictEqual(
        states.map(({ taskId, status, result }) => [taskId, status, result]),
        ["t1", "then", "last"].map((id) => [
          id,
          "FAILURE",
          { exc_type: "Error", exc_message: ["no"], exc_module: "apium" }
        ])
      )
    })
  )
})

describe("a run that is terminated", () => {
  const expected = ["store REVOKED", "ack", "task-revoked"]
  const revoked = { exc_type: "TaskRevokedError", exc_message: ["terminated"], exc_module: "celery.exceptions" }

  it.effect("ends as REVOKED whatever the pool says of it", () =>
    Effect.gen(function* () {
      const outcomes: ReadonlyArray<Outcome> = [
        { _tag: "Lost", text: "killed" },
        { _tag: "Success", value: 1 },
        { _tag: "TimedOut", timeLimit: 1 },
        { _tag: "Reject", requeue: true, reason: "" }
      ]
      for (const outcome of outcomes) {
        const { log, states, request, run } = yield* traced({}, Effect.void, {
          embed: { errbacks: link, callbacks: link },
          pool: () =>
            Effect.sync(() => {
              request.terminated = { signal: "SIGKILL" }
              return outcome
            })
        })
        yield* run
        assert.deepStrictEqual(log, ["task-started", ...expected])
        assert.deepStrictEqual(states[0]!.result, revoked)
        assert.isNull(states[0]!.children)
      }
    })
  )

  it.effect("is not given back when it is interrupted, and one that has not begun never does", () =>
    Effect.gen(function* () {
      const running = yield* Deferred.make<void>()
      const { log, request, run } = yield* traced(
        {},
        Effect.andThen(Deferred.succeed(running, undefined), Effect.never)
      )
      const fiber = yield* Effect.forkChild(run)
      yield* Deferred.await(running)
      assert.strictEqual(request.timeStart, 0)
      assert.strictEqual(request.job?.info.id, "t1")
      request.terminated = { signal: "SIGTERM" }
      yield* Fiber.interrupt(fiber)
      assert.deepStrictEqual(log, ["task-started", "run", ...expected])
      assert.deepStrictEqual(yield* logged({}, Effect.void, { terminated: { signal: "SIGTERM" } }), expected)
    })
  )
})

describe("a part of a chord", () => {
  const embed = { chord: Signature.make("proj.body") }

  it.effect("is counted when its result is stored, and acknowledged when it is counted", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* logged({}, Effect.void, { embed }), [
        "task-started",
        "run",
        "store SUCCESS",
        "count 3 SUCCESS",
        "ack",
        "task-succeeded"
      ])
      assert.deepStrictEqual(yield* logged({}, Effect.die("broken"), { embed }), [
        "task-started",
        "run",
        "store FAILURE",
        "count 3 FAILURE",
        "ack",
        "task-failed"
      ])
    })
  )

  it.effect("that was terminated, or expired before it began, is counted as revoked", () =>
    Effect.gen(function* () {
      const terminated = yield* logged({}, Effect.void, { embed, terminated: { signal: "SIGTERM" } })
      assert.deepStrictEqual(terminated, ["store REVOKED", "count 3 REVOKED", "ack", "task-revoked"])
      const expired = yield* logged({}, Effect.void, { embed, expiresAt: 0 })
      assert.deepStrictEqual(expired, ["store REVOKED", "count 3 REVOKED", "ack", "task-revoked"])
    })
  )

  it.effect("that cannot be counted while the backend is away goes back to its queue", () =>
    Effect.gen(function* () {
      const log = yield* logged({}, Effect.void, { embed, count: lost })
      assert.deepStrictEqual(log.slice(-2), ["requeue", "task-rejected"])
    })
  )
})

describe("an event of a task's own", () => {
  it.effect("carries the task's id, whatever its fields say", () =>
    Effect.gen(function* () {
      const { log, run } = yield* traced(
        {},
        Effect.flatMap(TaskContext, ({ sendEvent }) =>
          sendEvent("task-progress", { uuid: "other" })
        ) as Effect.Effect<void>
      )
      yield* run
      assert.deepStrictEqual(log, [
        "task-started",
        "run",
        "task-progress of t1",
        "store SUCCESS",
        "ack",
        "task-succeeded"
      ])
    })
  )
})
