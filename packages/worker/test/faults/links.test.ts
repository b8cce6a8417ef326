import { AccessRefused, ConnectionLost } from "@apium/hub/HubError"
import * as Publisher from "@apium/worker/client/Publisher"
import { Client } from "@apium/worker/client/Client"
import * as Profile from "@apium/worker/Profile"
import * as Task from "@apium/worker/task/Task"
import * as TaskError from "@apium/worker/task/TaskError"
import { Tasks } from "@apium/worker/task/Tasks"
import { assert, describe } from "@effect/vitest"
import { Deferred, Effect, Layer, Schema } from "effect"
import { Faults, mended, open, pass, refused, test } from "../support/SlowWorld.ts"
import { celery, cut, headers, inject, json, settle, start, waiting } from "../support/World.ts"

const work = Task.make("proj.work", { params: { n: Schema.Number }, result: Schema.Number })

const away = refused(new ConnectionLost({ cause: "unreachable", text: "the broker is away" }))

/** Whose tasks wait in the worker until they are due, and not in the broker. */
const asCelery = Effect.provide(Client.layerWith({ profile: Profile.celery }))

/** A message that nobody can read: its FAILURE is stored before the next of its batch is looked at. */
const unreadable = inject(json("{}", headers("proj.work", "unreadable")))

/** The result of the unreadable one is stored when the gate opens. */
const gated = Effect.gen(function* () {
  const faults = yield* Faults
  const gate = yield* Deferred.make<void>()
  faults.store = ({ taskId }) => (taskId === "unreadable" ? Deferred.await(gate) : Effect.void)
  return { open: Deferred.succeed(gate, undefined) }
})

describe("a broker that is away while a task ends", () => {
  for (const outage of [20, 40]) {
    test(
      `for ${outage} s: the task is not run again`,
      Effect.gen(function* () {
        const faults = yield* Faults
        const client = yield* Client
        let runs = 0
        yield* start(
          {},
          Tasks.handle(work, ({ n }) =>
            Effect.sync(() => void runs++).pipe(Effect.andThen(Effect.sleep("10 seconds")), Effect.as(n))
          )
        )
        yield* client.send(work, { n: 1 })
        yield* settle
        faults.connect = away
        yield* cut
        yield* pass(outage)
        assert.strictEqual(runs, 1)
        yield* mended
        yield* pass(60)
        assert.deepStrictEqual([runs, yield* waiting("celery")], [1, 0])
      })
    )
  }

  test(
    "and comes back: what runs on holds one slot of two, and the other one is used",
    Effect.gen(function* () {
      const client = yield* Client
      const begun: Array<number> = []
      yield* start(
        { concurrency: 2, prefetchMultiplier: 1 },
        Tasks.handle(work, ({ n }) =>
          Effect.sync(() => void begun.push(n)).pipe(Effect.andThen(Effect.sleep("1 minute")), Effect.as(n))
        )
      )
      yield* client.send(work, { n: 1 })
      yield* settle
      yield* cut
      yield* pass(5)
      // Nor are there more than the two of them here, when others come.
      for (const n of [2, 3]) yield* client.send(work, { n })
      yield* pass(5)
      assert.deepStrictEqual([begun, yield* waiting("celery")], [[1, 2], 1])
      yield* pass(150)
      assert.deepStrictEqual(begun, [1, 2, 3])
    })
  )

  test(
    "by a rejection: it is not run again",
    Effect.gen(function* () {
      const faults = yield* Faults
      const client = yield* Client
      let runs = 0
      yield* start(
        {},
        Tasks.handle(work, () =>
          Effect.sync(() => void runs++).pipe(
            Effect.andThen(Effect.sleep("5 seconds")),
            Effect.andThen(Effect.fail(new TaskError.Reject({ requeue: false })))
          )
        )
      )
      yield* client.send(work, { n: 1 })
      yield* settle
      faults.connect = away
      yield* cut
      yield* pass(6)
      assert.strictEqual(runs, 1)
      yield* mended
      yield* pass(60)
      assert.deepStrictEqual([runs, yield* waiting("celery")], [1, 0])
    })
  )
})

describe("a link that is lost while a batch is looked at", () => {
  for (const when of ["never", "between two batches", "in the middle of one"] as const) {
    test(
      `${when}: a task of that batch that is not due yet runs once`,
      Effect.gen(function* () {
        const gate = when === "in the middle of one" ? yield* gated : { open: Effect.void }
        let runs = 0
        // Both are there before the worker is, so that they come in one batch.
        yield* unreadable
        yield* Effect.flatMap(Client, (client) => client.send(work, { n: 7 }, { countdown: "1 minute" })).pipe(asCelery)
        yield* start(
          { concurrency: 4 },
          Tasks.handle(work, ({ n }) =>
            Effect.as(
              Effect.sync(() => void runs++),
              n
            )
          )
        )
        if (when !== "never") yield* cut
        yield* pass(5)
        yield* gate.open
        yield* settle
        yield* pass(90)
        assert.deepStrictEqual([runs, yield* waiting("celery.dead")], [1, 1])
      })
    )
  }

  test(
    "without acknowledgements: what was taken and not looked at is sent again, and runs",
    Effect.gen(function* () {
      const gate = yield* gated
      const client = yield* Client
      let runs = 0
      yield* unreadable
      yield* client.send(work, { n: 1 })
      yield* Layer.build(
        Tasks.handle(work, ({ n }) =>
          Effect.as(
            Effect.sync(() => void runs++),
            n
          )
        )
      )
      const worker = yield* open({
        profile: Profile.fast,
        concurrency: 2,
        queues: [celery, Publisher.queueNamed("other")]
      })
      yield* cut
      yield* gate.open
      yield* pass(120)
      assert.deepStrictEqual([runs, yield* waiting("celery"), worker.shutdown.level()], [1, 0, "running"])
    })
  )
})

describe("a link that is lost, and a worker that cannot go on", () => {
  test(
    "for its password is not taken any more: it ends",
    Effect.gen(function* () {
      const faults = yield* Faults
      yield* Layer.build(Tasks.handle(work, ({ n }) => Effect.succeed(n)))
      const worker = yield* open()
      faults.connect = refused(new AccessRefused({ replyText: "rotated" }))
      yield* cut
      yield* pass(5)
      yield* mended
      const stopped = yield* Effect.forkChild(worker.stopped)
      yield* pass(600)
      assert.notStrictEqual(worker.shutdown.level(), "running")
      assert.isDefined(stopped.pollUnsafe())
    })
  )

  test(
    "for its consumer has a defect: it does not stay and take nothing",
    Effect.gen(function* () {
      const faults = yield* Faults
      const client = yield* Client
      let runs = 0
      yield* Layer.build(
        Tasks.handle(work, ({ n }) =>
          Effect.as(
            Effect.sync(() => void runs++),
            n
          )
        )
      )
      const worker = yield* open()
      faults.consume = (queue) => (queue === "celery" ? Effect.die(new Error("a bug")) : Effect.void)
      yield* cut
      yield* pass(5)
      yield* mended
      yield* client.send(work, { n: 1 })
      yield* pass(120)
      // Either it goes on, or it ends, and a supervisor starts another.
      assert.isTrue(runs === 1 || worker.shutdown.level() !== "running", "it is silent")
    })
  )
})
