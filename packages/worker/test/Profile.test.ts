import { Connection } from "@apium/hub/Connection"
import type { Route } from "@apium/hub/Message"
import * as TaskMessage from "@apium/protocol/celery/TaskMessage"
import { Client } from "@apium/worker/client/Client"
import * as Control from "@apium/worker/control/Control"
import { celery as celeryProfile, durable, fast } from "@apium/worker/Profile"
import type { Profile } from "@apium/worker/Profile"
import * as Task from "@apium/worker/task/Task"
import { Tasks } from "@apium/worker/task/Tasks"
import * as Worker from "@apium/worker/Worker"
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Exit, Layer, Schema, Scope } from "effect"
import { celery, consumers, headers, inject, json, settle, takeAll, test, waiting } from "./support/World.ts"

const params = { n: Schema.Number }
const tasks = {
  plain: Task.make("profile.plain", { params, result: Schema.Null }),
  late: Task.make("profile.late", { params, result: Schema.Null, acksLate: true }),
  early: Task.make("profile.early", { params, result: Schema.Null, acksLate: false })
}

const profiles = { durable, celery: celeryProfile, fast } as const

interface Row extends Profile {
  /** Which of four tasks are not acknowledged yet while the first of them runs: a kill has them in the queue again. */
  readonly afterKill: Readonly<Record<keyof typeof tasks, ReadonlyArray<number>>>
}

/** DESIGN, section 6. */
const table: Readonly<Record<"durable" | "celery" | "fast", Row>> = {
  durable: {
    acksLate: true,
    noAck: false,
    confirm: true,
    mandatory: true,
    delay: "broker",
    expiry: "worker",
    afterKill: { plain: [0, 1, 2, 3], late: [0, 1, 2, 3], early: [1, 2, 3] }
  },
  celery: {
    acksLate: false,
    noAck: false,
    confirm: false,
    mandatory: false,
    delay: "worker",
    expiry: "broker",
    afterKill: { plain: [1, 2, 3], late: [0, 1, 2, 3], early: [1, 2, 3] }
  },
  fast: {
    acksLate: false,
    noAck: true,
    confirm: false,
    mandatory: false,
    delay: "worker",
    expiry: "broker",
    afterKill: { plain: [], late: [], early: [] }
  }
}

/** A worker with a link of its own, which the broker sees die as if the process had been killed. */
const doomed = (options: Partial<Worker.Options>) =>
  Effect.gen(function* () {
    const link = yield* Scope.make()
    const connection = yield* Effect.map(
      Scope.provide(Layer.build(Layer.fresh(Connection.layer)), link),
      Context.get(Connection)
    )
    const worker = yield* Effect.provideService(
      Layer.build(Worker.layer({ queues: [celery], concurrency: 1, name: "celery@a", ...options })),
      Connection,
      connection
    )
    // A killed process waits for nothing.
    yield* Effect.addFinalizer(() => Context.get(worker, Worker.Worker).shutdown.request("cold"))
    yield* settle
    return { kill: Effect.andThen(Scope.close(link, Exit.void), settle) }
  })

const handlers = Layer.mergeAll(
  Tasks.handle(tasks.plain, () => Effect.never),
  Tasks.handle(tasks.late, () => Effect.never),
  Tasks.handle(tasks.early, () => Effect.never)
)

for (const name of ["durable", "celery", "fast"] as const) {
  const { afterKill, ...options } = table[name]

  describe(`the profile ${name}`, () => {
    it("is these options", () => {
      assert.deepStrictEqual(profiles[name], options)
    })

    for (const kind of ["plain", "late", "early"] as const) {
      const what = { plain: "does not say when", late: "acknowledges late", early: "acknowledges early" }[kind]
      test(
        `leaves ${afterKill[kind].length} of 4 in the queue when it is killed, of a task that ${what}`,
        Effect.gen(function* () {
          yield* Layer.build(handlers)
          const client = yield* Client
          const { kill } = yield* doomed({ profile: profiles[name] })
          const results = yield* client.sendAll(
            tasks[kind],
            Array.from({ length: 4 }, (_, n) => ({ n }))
          )
          yield* settle
          // All of them are the worker's, and one runs.
          assert.deepStrictEqual([yield* waiting("celery"), yield* consumers("celery")], [0, 1])
          yield* kill
          const left = yield* takeAll("celery")
          assert.deepStrictEqual(
            left.map(({ message }) => results.findIndex(({ id }) => id === message.headers.id)),
            [...afterKill[kind]]
          )
          assert.isTrue(left.every(({ redelivered }) => redelivered))
        })
      )
    }

    test(
      `publishes ${options.confirm ? "and waits until the broker has it" : "and waits for nobody"}, ${options.mandatory ? "to a queue that is there" : "whether or not there is a queue"}`,
      Effect.gen(function* () {
        const routes: Array<Route> = []
        const connection = yield* Connection
        const observed: Connection["Service"] = {
          ...connection,
          publish: (message, route, topology) => {
            routes.push(route)
            return connection.publish(message, route, topology)
          }
        }
        const context = yield* Layer.build(Client.layerWith({ profile: profiles[name] })).pipe(
          Effect.provideService(Connection, observed)
        )
        const client = Context.get(context, Client)
        yield* client.send(tasks.plain, { n: 1 })
        const nowhere = yield* Effect.exit(client.send(tasks.plain, { n: 2 }, { exchange: "", routingKey: "nowhere" }))
        assert.strictEqual(Exit.isFailure(nowhere), options.mandatory)
        assert.deepStrictEqual(
          routes.map(({ confirm, mandatory }) => ({ confirm, mandatory })),
          Array.from(routes, () => ({ confirm: options.confirm, mandatory: options.mandatory }))
        )
        assert.strictEqual(routes.length, 2)
        assert.strictEqual(yield* waiting("celery"), 1)
        // What is not due is out of sight where the broker keeps it, and there for a worker to take where it does not.
        yield* client.send(tasks.plain, { n: 3 }, { countdown: "1 hour" })
        assert.strictEqual(yield* waiting("celery"), options.delay === "broker" ? 1 : 2)
      })
    )

    test(
      `has a task that is not due wait in the ${options.delay}`,
      Effect.gen(function* () {
        yield* Layer.build(handlers)
        const { kill } = yield* doomed({ profile: profiles[name] })
        const eta = TaskMessage.formatEta(3_600_000)
        yield* inject(json(`[[], {"n": 1}, null]`, headers("profile.plain", "later", { eta })))
        yield* settle
        const [reply] = yield* Control.inspect.scheduled({ destination: ["celery@a"] })
        const held = Control.isFailed(reply?.reply) ? undefined : reply?.reply.length
        assert.strictEqual(held, options.delay === "worker" ? 1 : 0)
        yield* kill
        // What the broker keeps is not there before its time; what the worker held is back, if the broker remembers it.
        assert.strictEqual(yield* waiting("celery"), name === "celery" ? 1 : 0)
        const connection = yield* Connection
        const forgotten = name === "fast" ? 0 : 1
        assert.strictEqual(yield* connection.use((channel) => channel.queuePurge("celery")), forgotten)
      })
    )
  })
}

describe("a profile", () => {
  test(
    "can be changed by one option",
    Effect.gen(function* () {
      yield* Layer.build(handlers)
      const client = yield* Client
      const { kill } = yield* doomed({ profile: { ...celeryProfile, acksLate: true } })
      yield* client.send(tasks.plain, { n: 1 })
      yield* settle
      yield* kill
      assert.strictEqual(yield* waiting("celery"), 1)
    })
  )

  test(
    "is durable unless the worker says otherwise",
    Effect.gen(function* () {
      yield* Layer.build(handlers)
      const client = yield* Client
      const { kill } = yield* doomed({})
      yield* client.send(tasks.plain, { n: 1 })
      yield* settle
      yield* kill
      assert.strictEqual(yield* waiting("celery"), 1)
    })
  )
})
