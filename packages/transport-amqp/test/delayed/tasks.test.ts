/** Tasks that are not due, through the lattice: a client, a worker, and Python's on either side. */
import { Connection } from "@apium/hub/Connection"
import * as Queue from "@apium/hub/Queue"
import * as DelayedDelivery from "@apium/transport-amqp/DelayedDelivery"
import * as Amqp from "@apium/transport-amqp/node"
import { Client, MemoryBackend, Profile, Retry, Task, TaskContext, Tasks, Worker } from "@apium/worker"
import { assert, layer } from "@effect/vitest"
import { Effect, Layer, Logger, Queue as Inbox, Schema } from "effect"
import * as Python from "../../../../test/support/Python.ts"
import { RabbitMq } from "../../../../test/support/RabbitMq.ts"
import * as Figures from "../../../../test/support/Figures.ts"

const note = Task.make("delayed.note", { params: { index: Schema.Number, due: Schema.Number } })
const flaky = Task.make("delayed.flaky", {
  params: {},
  result: Schema.Number,
  retry: Retry.fixed({ maxRetries: 5, delay: "1200 millis" })
})

interface Run {
  readonly index: number
  /** Milliseconds after it was due. */
  readonly late: number
  readonly headers: Readonly<Record<string, unknown>>
  readonly delivery: { readonly exchange: string; readonly routingKey: string; readonly queue: string }
}

class NotYet extends Schema.TaggedError<NotYet>()("NotYet", {}) {}

/** A worker of one queue, and the runs of its tasks. */
const working = (url: string, queue: Queue.Queue, profile: Profile.Profile = Profile.durable) =>
  Effect.gen(function* () {
    const runs = yield* Inbox.unbounded<Run>()
    const handlers = Layer.mergeAll(
      Tasks.handle(note, ({ due, index }) =>
        Effect.flatMap(TaskContext, ({ delivery, headers }) =>
          Effect.asVoid(Inbox.offer(runs, { index, late: Date.now() - due, headers, delivery }))
        )
      ),
      Tasks.handle(flaky, () =>
        Effect.gen(function* () {
          const { delivery, headers, retries } = yield* TaskContext
          yield* Inbox.offer(runs, { index: retries, late: 0, headers, delivery })
          return retries < 3 ? yield* Effect.die(new NotYet()) : retries
        })
      )
    )
    yield* Layer.build(
      Worker.layer({ queues: [queue], concurrency: 8, profile, name: `celery@${queue.name}` }).pipe(
        Layer.provide([handlers]),
        Layer.provide(Tasks.layer),
        Layer.provide(Client.layerWith({ profile })),
        Layer.provide(Layer.fresh(Amqp.layer(url)))
      )
    )
    return runs
  })

/** A client of its own, after the lattice is there: who sends first waits for it. */
const sending = (url: string, queues: ReadonlyArray<Queue.Queue> = []) =>
  Effect.tap(
    Layer.build(Client.layerWith({ queues }).pipe(Layer.provideMerge(Layer.fresh(Amqp.layer(url))))),
    (client) =>
      Effect.flatMap(Connection, (connection) => Effect.ignore(connection.use(DelayedDelivery.declare))).pipe(
        Effect.provideContext(client)
      )
  )

const World = Layer.suspend(() => MemoryBackend.layer).pipe(Layer.provideMerge(RabbitMq.shared))

/** They do nothing but wait, most of the time. */
const together = { excludeTestServices: true, concurrent: true } as const

layer(World, together)("a task that is not due, on RabbitMQ", (it) => {
  for (const [kind, queue] of [
    ["classic", Queue.make("many")],
    ["quorum", Queue.quorum(Queue.make("many-quorum"))]
  ] as const) {
    it.effect(`of many that are due at some time within 4 s, each runs once and none early, from a ${kind} queue`, () =>
      Effect.gen(function* () {
        const count = Figures.times(100, 1000)
        const url = (yield* RabbitMq).url()
        const runs = yield* working(url, queue)
        const client = yield* sending(url, [queue])
        yield* Effect.forEach(
          Array.from({ length: count }, (_, index) => index),
          (index) =>
            Effect.suspend(() => {
              const due = Date.now() + 1000 + Math.random() * 3000
              return Effect.flatMap(Client, (client) =>
                client.send(note, { index, due: Math.ceil(due) }, { queue: queue.name, eta: new Date(Math.ceil(due)) })
              )
            }),
          { concurrency: 100, discard: true }
        ).pipe(Effect.provideContext(client))
        const seen = new Set<number>()
        const late: Array<number> = []
        for (let taken = 0; taken < count; taken++) {
          const run = yield* Inbox.take(runs)
          seen.add(run.index)
          late.push(run.late)
          assert.isAtLeast(run.late, 0)
        }
        yield* Figures.print(
          `${count} tasks with an eta, ${kind} queue: late by p50/p95/max ${Figures.spread(late)} ms`
        )
        assert.strictEqual(seen.size, count)
        assert.strictEqual(yield* Inbox.size(runs), 0)
      })
    )
  }

  for (const [kind, queue] of [
    ["classic", Queue.make("once")],
    ["quorum", Queue.quorum(Queue.make("once-quorum"))]
  ] as const) {
    it.effect(`that waited for a ${kind} queue shows its handler nothing of the way it took`, () =>
      Effect.gen(function* () {
        const url = (yield* RabbitMq).url()
        const runs = yield* working(url, queue)
        const client = yield* sending(url, [queue])
        const due = Date.now() + 1500
        yield* Effect.flatMap(Client, (client) =>
          client.send(
            note,
            { index: 1, due },
            { queue: queue.name, eta: new Date(due), headers: { "x-tenant": "acme" } }
          )
        ).pipe(Effect.provideContext(client))
        const { delivery, headers, late } = yield* Inbox.take(runs)
        assert.isAtLeast(late, 0)
        assert.deepStrictEqual(headers, { "x-tenant": "acme" })
        assert.deepInclude(delivery, { exchange: "", routingKey: queue.name, queue: queue.name })
      })
    )
  }

  it.effect("that retries comes again each time, through the same level", () =>
    Effect.gen(function* () {
      const url = (yield* RabbitMq).url()
      const runs = yield* working(url, Queue.make("flaky"))
      const client = yield* sending(url)
      const began = Date.now()
      const result = yield* Effect.flatMap(Client, (client) => client.send(flaky, {}, { queue: "flaky" })).pipe(
        Effect.provideContext(client)
      )
      assert.strictEqual(yield* result.get, 3)
      // By clocks of whole milliseconds.
      assert.isAtLeast(Date.now() - began, 3590)
      const all = yield* Inbox.takeAll(runs)
      assert.deepStrictEqual(
        all.map(({ headers, index }) => [index, headers]),
        [0, 1, 2, 3].map((retries) => [retries, {}])
      )
    })
  )
})

const python = (url: string) => `
from datetime import datetime, timezone
from celery import Celery
from kombu import Queue
app = Celery("peer", broker="${url}")
app.conf.task_queues = [Queue("python")]
app.conf.task_default_queue = "python"

@app.task(name="delayed.python", bind=True, ignore_result=True)
def python(self, due):
    print(f"late by {datetime.now(timezone.utc).timestamp() * 1000 - due:.0f} ms as {self.request.delivery_info['routing_key']}")
`

layer(World, together)("a task that is not due, with Python", (it) => {
  it.effect("runs on time in a Python worker, which gets it when it is due", () =>
    Effect.gen(function* () {
      const url = (yield* RabbitMq).url()
      const worker = yield* Python.worker({ code: python(url), args: ["--concurrency", "1", "--pool", "solo"] })
      const peer = Task.make("delayed.python", { params: { due: Schema.Number }, ignoreResult: true })
      const client = yield* sending(url)
      const due = Date.now() + 6500
      yield* Effect.flatMap(Client, (client) =>
        client.send(peer, { due }, { queue: "python", eta: new Date(due) })
      ).pipe(Effect.provideContext(client))
      const [said, late, routingKey] = /late by (-?\d+) ms as (\S+)/.exec(yield* worker.line("late by"))!
      yield* Figures.print(`in Python: ${said}`)
      assert.isAtLeast(Number(late), 0)
      // Through the lattice, and not held by the worker from the beginning.
      assert.match(routingKey!, /^([01]\.){28}python$/)
    })
  )

  for (const [where, profile] of [
    ["in the broker", Profile.durable],
    ["in the worker", Profile.celery]
  ] as const) {
    it.effect(`sent by Python runs on time and once in our worker, having waited ${where}`, () =>
      Effect.gen(function* () {
        const url = (yield* RabbitMq).url()
        const queue = Queue.make(`from-python-${profile.delay}`)
        const runs = yield* working(url, queue, profile)
        const code = `
import time
from celery import Celery
app = Celery("peer", broker="${url}", broker_transport_options={"confirm_publish": True})
due = time.time() * 1000 + 2500
app.send_task("delayed.note", kwargs={"index": 1, "due": due}, countdown=2.5, queue="${queue.name}", ignore_result=True)
app.send_task("delayed.note", kwargs={"index": 2, "due": due + 1500}, countdown=4, queue="${queue.name}", ignore_result=True)`
        yield* Python.run(code)
        const late = [yield* Inbox.take(runs), yield* Inbox.take(runs)]
        yield* Figures.print(`from Python, ${where}: late by ${late.map(({ late }) => Math.round(late)).join(", ")} ms`)
        // A broker or a worker that is held up has both due at once, in any order.
        assert.sameMembers(
          late.map(({ index }) => index),
          [1, 2]
        )
        // Python takes its time between the two lines, which makes it later and not earlier.
        for (const run of late) assert.isAtLeast(run.late, -2)
        assert.strictEqual(yield* Inbox.size(runs), 0)
      })
    )
  }
})

layer(World, { excludeTestServices: true })("a broker that keeps no tasks for us", (it) => {
  it.effect("gets them undelayed, the worker holds them, and each of both says so once", () =>
    Effect.gen(function* () {
      const rabbit = yield* RabbitMq
      yield* rabbit.addUser("poor", "poor", ["^(?!celery_delayed).*", ".*", ".*"])
      const url = rabbit.url().replace("guest:guest", "poor:poor")
      const said: Array<string> = []
      const logger = Logger.make(({ message }) => {
        const text = Array.isArray(message) ? String(message[0]) : String(message)
        if (text.includes("until they are due")) said.push(text)
      })
      const late = yield* Effect.gen(function* () {
        const runs = yield* working(url, Queue.make("poor"))
        const client = yield* sending(url)
        const one = (index: number) =>
          Effect.suspend(() => {
            const due = Date.now() + 2500
            return Effect.flatMap(Client, (client) =>
              client.send(note, { index, due }, { queue: "poor", eta: new Date(due) })
            )
          })
        yield* Effect.forEach([1, 2, 3], one, { discard: true }).pipe(Effect.provideContext(client))
        return [yield* Inbox.take(runs), yield* Inbox.take(runs), yield* Inbox.take(runs)].map(({ late }) => late)
      }).pipe(Effect.scoped, Effect.provide(Logger.layer([logger])))
      assert.isTrue(
        late.every((milliseconds) => milliseconds >= 0),
        `late by ${late.join(", ")}`
      )
      assert.deepStrictEqual(said.toSorted(), [
        "The broker does not keep tasks until they are due: the worker holds them",
        "The broker does not keep tasks until they are due: they are sent at once, for workers to hold"
      ])
      assert.notInclude(
        (yield* rabbit.queues).map(({ name }) => name),
        "celery_delayed_0"
      )
    })
  )
})
