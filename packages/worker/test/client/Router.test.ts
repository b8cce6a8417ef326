import * as Exchange from "@apium/hub/Exchange"
import { HubError } from "@apium/hub/HubError"
import * as Queue from "@apium/hub/Queue"
import * as Canvas from "@apium/worker/client/Canvas"
import { Client } from "@apium/worker/client/Client"
import * as Router from "@apium/worker/client/Router"
import * as Signature from "@apium/worker/client/Signature"
import * as Retry from "@apium/worker/task/Retry"
import * as Task from "@apium/worker/task/Task"
import { TaskContext } from "@apium/worker/task/TaskContext"
import { Tasks } from "@apium/worker/task/Tasks"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Layer, Schema } from "effect"
import { TestClock } from "effect/testing"
import { celery, next, settle, start, takeAll, test, waiting } from "../support/World.ts"

const x = { x: Schema.Number }
const inc = Task.make("proj.inc", { params: x, result: Schema.Number })
const IncLive = Tasks.handle(inc, ({ x }) => Effect.succeed(x + 1))

const topic = Queue.bindTo(Exchange.topic("feeds"), "feed.#")(Queue.make("feeds"))

/** The names of the tasks in a queue, and where they were published to. */
const arrived = (queue: string) =>
  Effect.map(takeAll(queue), (all) =>
    all.map(({ message, route }) => [message.headers.task, route.exchange, route.routingKey])
  )

const refusedBy = <A, E, R>(send: Effect.Effect<A, E, R>) =>
  Effect.map(Effect.flip(send), (error) => {
    assert.instanceOf(error, HubError)
    return error.reason._tag
  })

describe("a client with routes", () => {
  const routes = {
    "proj.inc": "mail",
    "feeds.*": { queue: "feeds", routingKey: "feed.new", priority: 3, expires: "1 minute" }
  } as const
  const routed = Effect.provide(Client.layerWith({ queues: [celery, topic], routes }))

  test(
    "sends by them what is sent by a definition, by its name, many at once and in a canvas",
    Effect.gen(function* () {
      const client = yield* Client
      yield* inc.delay({ x: 1 })
      yield* client.sendTask("proj.inc", [1], {})
      yield* client.sendAll(inc, [{ x: 1 }, { x: 2 }])
      yield* Canvas.delay(Canvas.group([inc.s({ x: 1 }), inc.s({ x: 2 })]))
      assert.deepStrictEqual(
        yield* arrived("mail"),
        Array.from({ length: 6 }, () => ["proj.inc", "", "mail"])
      )
      yield* client.sendTask("feeds.import", [], {})
      const [delivery] = yield* takeAll("feeds")
      assert.deepStrictEqual(delivery?.route, { exchange: "feeds", routingKey: "feed.new" })
      assert.strictEqual(delivery?.message.properties.priority, 3)
      assert.isString(delivery?.message.headers.expires)
    }).pipe(routed)
  )

  test(
    "sends a signature to the exchange that it says, and not to the queue of its definition, as it does a task",
    Effect.gen(function* () {
      const bound = Task.make("proj.bound", { params: {}, queue: "mail" })
      yield* bound.applyAsync({}, { queue: "feeds" })
      yield* bound.applyAsync({}, { exchange: "feeds" })
      yield* Canvas.delay(bound.s({}, { exchange: "feeds", routingKey: "feed.a" }))
      yield* Canvas.delay(bound.s({}, { exchange: "feeds" }))
      assert.strictEqual(yield* waiting("mail"), -1)
      assert.strictEqual((yield* takeAll("feeds")).length, 4)
    }).pipe(Effect.provide(Client.layerWith({ queues: [celery, topic] })))
  )

  test(
    "sends a signature to a broadcast by its alias, and leaves no queue of its name",
    Effect.gen(function* () {
      // A step of a canvas is sent by whoever runs the step before it: it has a name, and no queue as a value.
      yield* Effect.exit(Canvas.delay(inc.s({ x: 1 }, { queue: "reload" })))
      assert.strictEqual(yield* waiting("reload"), -1)
      // @ts-expect-error: by its name.
      inc.s({ x: 1 }, { queue: Queue.broadcast("reload") })
    }).pipe(Effect.provide(Client.layerWith({ queues: [celery, Queue.broadcast("reload")] })))
  )

  test(
    "sends a map where what it calls goes",
    Effect.gen(function* () {
      yield* Canvas.delay(Canvas.map(inc, [{ x: 1 }]))
      yield* Canvas.delay(Canvas.starmap(inc, [{ x: 1 }]))
      assert.deepStrictEqual(
        (yield* arrived("mail")).map(([name]) => name),
        ["celery.map", "celery.starmap"]
      )
    }).pipe(routed)
  )

  test(
    "refuses a routing key that would be dropped, and a queue without a name",
    Effect.gen(function* () {
      for (const options of [{ routingKey: "k" }, { queue: "mail", routingKey: "k" }, { queue: "" }]) {
        assert.strictEqual(yield* refusedBy(inc.applyAsync({ x: 1 }, options)), "EncodeFailed")
      }
      yield* inc.applyAsync({ x: 1 }, { queue: "feeds", routingKey: "feed.said" })
      assert.deepStrictEqual(yield* arrived("feeds"), [["proj.inc", "feeds", "feed.said"]])
    }).pipe(routed)
  )

  test(
    "fails with RouteFailed and QueueNotFound, in a canvas as well, and sends nothing",
    Effect.gen(function* () {
      const client = yield* Client
      const both = Canvas.group([Signature.named("proj.good"), Signature.named("proj.bad")])
      assert.strictEqual(yield* refusedBy(client.sendTask("proj.bad", [], {})), "RouteFailed")
      assert.strictEqual(yield* refusedBy(client.apply(both as never)), "RouteFailed")
      assert.strictEqual(yield* refusedBy(client.sendTask("proj.lost", [], {})), "QueueNotFound")
      assert.strictEqual(yield* refusedBy(inc.applyAsync({ x: 1 }, { queue: "mial" })), "QueueNotFound")
      assert.strictEqual(yield* waiting("celery"), -1)
    }).pipe(
      Effect.provide(
        Client.layerWith({
          createMissingQueues: false,
          routes: [
            (name) => {
              if (name === "proj.bad") throw new Error("no")
              return undefined
            },
            { "proj.lost": "nowhere" }
          ]
        })
      )
    )
  )
})

describe("a worker with routes", () => {
  const routes = { "proj.next": "one", "proj.linked": "two", "proj.body": "three", "proj.err": "four" }
  const named = (name: string) => Signature.named(name)

  test(
    "sends by them the steps of chains, links, bodies of chords, errbacks and replacements",
    Effect.gen(function* () {
      const fails = Task.make("proj.fails", { params: {} })
      const replaced = Task.make("proj.replaced", { params: {} })
      yield* start(
        { routes },
        IncLive,
        Tasks.handle(fails, () => Effect.die(new Error("no"))),
        Tasks.handle(replaced, () => Canvas.replace(named("proj.next") as never))
      )
      yield* Canvas.delay(Canvas.chain(inc.s({ x: 1 }), named("proj.next")))
      yield* inc.applyAsync({ x: 1 }, { link: named("proj.linked") })
      yield* Canvas.delay(Canvas.chord([inc.s({ x: 1 }), inc.s({ x: 2 })], named("proj.body")))
      yield* fails.applyAsync({}, { linkError: named("proj.err") })
      yield* replaced.delay({})
      const tasks = [
        yield* next("one"),
        yield* next("one"),
        yield* next("two"),
        yield* next("three"),
        yield* next("four")
      ]
      assert.deepStrictEqual(
        tasks.map(({ message }) => message.headers.task),
        ["proj.next", "proj.next", "proj.linked", "proj.body", "proj.err"]
      )
    })
  )

  test(
    "leaves a callback alone that says its queue, and a retry in the queue it came from",
    Effect.gen(function* () {
      const again = Task.make("proj.again", {
        params: {},
        result: Schema.Number,
        retry: Retry.fixed({ maxRetries: 1, delay: "10 millis" })
      })
      const seen: Array<string> = []
      yield* start(
        { routes: { "*": "elsewhere" } },
        Tasks.handle(again, () =>
          Effect.flatMap(TaskContext, ({ delivery, retries }) => {
            seen.push(delivery.queue)
            return retries === 0 ? Effect.die(new Error("again")) : Effect.succeed(retries)
          })
        ),
        IncLive
      )
      const result = yield* again.delay({})
      yield* settle
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* result.get, 1)
      assert.deepStrictEqual(seen, ["celery", "celery"])
      yield* inc.applyAsync({ x: 1 }, { link: Signature.named("proj.said", [], {}, { queue: "said" }) })
      assert.strictEqual((yield* next("said")).message.headers.task, "proj.said")
    })
  )

  test(
    "does not start with a route that is broken",
    Effect.gen(function* () {
      const exit = yield* Effect.exit(start({ routes: { a: "" } }))
      assert.isTrue(Exit.isFailure(exit))
    })
  )
})

describe("a router that is told of queues one after the other", () => {
  it("knows the newest 10,000 as they are, and those that it began with", () => {
    const first = Queue.make("first", { durable: false })
    const router = Router.make({ queues: [first] })
    const isDurable = (name: string) => {
      const { declare } = router.destination({ queue: name }, undefined, undefined)
      return declare?.queues?.[0]?.durable
    }
    const tell = (name: string) => router.describe(Queue.make(name, { durable: false }))
    for (let n = 0; n < 10_000; n++) tell(`q${n}`)
    assert.deepStrictEqual(["q0", "q9999", "first"].map(isDurable), [false, false, false])
    // Told of again: it is among the newest now.
    tell("q0")
    tell("first")
    tell("last")
    assert.deepStrictEqual(["q0", "q1", "q2", "last", "first"].map(isDurable), [false, true, false, false, false])
  })
})

describe("a worker's queues", () => {
  const where = Task.raw("proj.where")
  const WhereLive = (told: Array<string>, node: string) =>
    Tasks.handle(where, () =>
      Effect.map(TaskContext, ({ delivery }) => {
        told.push(`${node} ${delivery.exchange}/${delivery.routingKey}`)
        return delivery.queue
      })
    )

  test(
    "have one of its own with the option direct, alone, and none without",
    Effect.gen(function* () {
      const told: Array<string> = []
      yield* start({ name: "w1@here", direct: true }, WhereLive(told, "w1"))
      const sent = yield* where.applyAsync({ args: [], kwargs: {} }, { queue: Queue.workerDirect("w1@here") })
      assert.strictEqual(yield* sent.get, "w1@here.dq2")
      const keyed = { exchange: "C.dq2", routingKey: "w1@here" }
      assert.strictEqual(yield* (yield* where.applyAsync({ args: [], kwargs: {} }, keyed)).get, "w1@here.dq2")
      assert.deepStrictEqual(told, ["w1 /w1@here.dq2", "w1 C.dq2/w1@here"])
      assert.strictEqual(yield* waiting("celery@other.dq2"), -1)
    })
  )

  test(
    "may hear a broadcast, which runs once on each, and whose retry runs where it failed",
    Effect.gen(function* () {
      const runs: Array<string> = []
      const reload = Task.make("proj.reload", {
        params: {},
        ignoreResult: true,
        retry: Retry.fixed({ maxRetries: 1, delay: "10 millis" })
      })
      for (const node of ["w1", "w2"]) {
        const Handler = Tasks.handle(reload, () =>
          Effect.flatMap(TaskContext, ({ retries }) => {
            runs.push(`${node} ${retries}`)
            return node === "w2" && retries === 0 ? Effect.die(new Error("no")) : Effect.void
          })
        )
        const own = Tasks.layer
        yield* Effect.provide(
          start({ name: `${node}@here`, queues: [Queue.broadcast("reload")] }, Handler),
          Layer.fresh(own)
        )
      }
      const client = yield* Client
      yield* client.send(reload, {}, {})
      yield* settle
      yield* TestClock.adjust("1 second")
      yield* settle
      assert.deepStrictEqual(runs.toSorted(), ["w1 0", "w2 0", "w2 1"])
    }).pipe(
      Effect.provide(
        Client.layerWith({ queues: [celery, Queue.broadcast("reload")], routes: { "proj.reload": "reload" } })
      )
    )
  )
})
