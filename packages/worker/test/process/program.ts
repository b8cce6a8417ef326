/**
 * A worker process that keeps books on itself: it has a broker of its own, sends its own load, and when it ends its last line
 * is what became of it. `Books` says what the line holds; `Script`, as JSON in the first argument, what it does.
 */
import { Connection } from "@apium/hub/Connection"
import * as MemoryStore from "@apium/hub/memory/MemoryStore"
import * as Queue from "@apium/hub/Queue"
import { Transport } from "@apium/hub/Transport"
import type { VirtualStore } from "@apium/hub/virtual/VirtualStore"
import * as VirtualTransport from "@apium/hub/virtual/VirtualTransport"
import * as Blueprint from "@apium/worker/Blueprint"
import * as MemoryBackend from "@apium/worker/client/backends/MemoryBackend"
import { Client } from "@apium/worker/client/Client"
import * as Control from "@apium/worker/control/Control"
import { run } from "@apium/worker/node"
import { layerFailpoint } from "@apium/worker/node/failpoint"
import { celery, durable, fast } from "@apium/worker/Profile"
import * as Shutdown from "@apium/worker/Shutdown"
import * as Task from "@apium/worker/task/Task"
import { TaskContext } from "@apium/worker/task/TaskContext"
import { Tasks } from "@apium/worker/task/Tasks"
import * as Worker from "@apium/worker/Worker"
import { Context, Deferred, Effect, Layer, Schema } from "effect"
import { random } from "../../../protocol/test/support/Random.ts"
import * as Ledger from "../../../../test/support/Ledger.ts"
import type { Books, Script } from "./Books.ts"

const script = JSON.parse(process.argv[2] ?? "{}") as Script
const r = random(script.seed ?? 1)
const concurrency = script.concurrency ?? 8
const ledger = Ledger.make()
const queue = Queue.make("celery")

const params = { wait: Schema.Number }
const tasks = {
  late: Task.make("process.late", { params, result: Schema.Null }),
  early: Task.make("process.early", { params, result: Schema.Null, acksLate: false }),
  // With a limit, so that it is let go of after 5 s, and not after 10.
  stubborn: Task.make("process.stubborn", { params, result: Schema.Null, timeLimit: "1 hour" })
}

let signalled: { readonly at: number; readonly longest: number } | undefined
const startedAfterSignal: Array<string> = []
const interrupted: Array<string> = []
const running = new Map<string, number>()
const busy = Deferred.makeUnsafe<void>()
const ready = Deferred.makeUnsafe<void>()
const released = Deferred.makeUnsafe<void>()
let begun = 0
let opened = 0
let closed = 0

const stop = () => {
  const at = performance.now()
  signalled ??= { at, longest: Math.max(0, ...running.values()) - at }
}

const work = ({ wait }: { readonly wait: number }) =>
  Effect.gen(function* () {
    const { id } = yield* TaskContext
    yield* Effect.acquireRelease(
      Effect.sync(() => opened++),
      () => Effect.sync(() => closed++)
    )
    ledger.started(id)
    if (signalled !== undefined) startedAfterSignal.push(id)
    running.set(id, performance.now() + wait)
    // All slots are taken.
    if (++begun === Math.min(concurrency, script.tasks ?? 100)) {
      console.log("begun")
      Deferred.doneUnsafe(busy, Effect.void)
    }
    yield* (
      script.held === true ? Effect.andThen(Deferred.await(released), Effect.sleep(wait)) : Effect.sleep(wait)
    ).pipe(
      Effect.onInterrupt(() => Effect.sync(() => void interrupted.push(id))),
      Effect.ensuring(Effect.sync(() => running.delete(id)))
    )
    ledger.finished(id)
    if (script.aloud === true) console.log(`finished ${id}`)
    return null
  })

const Handlers = Layer.mergeAll(
  Tasks.handle(tasks.late, work),
  Tasks.handle(tasks.early, work),
  Tasks.handle(tasks.stubborn, (payload) => Effect.uninterruptible(work(payload)))
)

// ---------------------------------------------------------------- the broker

const idOf = (message: { readonly headers: Readonly<Record<string, unknown>> }): string => String(message.headers.id)

class Store extends Context.Service<Store, VirtualStore>()("test/Store") {}

/** What is delivered and not settled, and what the broker keeps until it is due. */
const unsettled = new Map<string, string>()
const delayed = new Map<string, number>()
let mostUnsettled = 0

/** Filled in when the worker is through. */
const books = { unsettled: 0, counted: 0, mostUnsettled: 0 }

const observed = (store: VirtualStore): VirtualStore => ({
  ...store,
  put: (name, puts) => {
    if (name !== queue.name) return store.put(name, puts)
    // As from a sender that leaves it to the worker.
    if (script.delay === "worker")
      return store.put(
        name,
        puts.map((put) => ({ ...put, notBefore: undefined }))
      )
    for (const { message, notBefore } of puts) if (notBefore !== undefined) delayed.set(idOf(message), notBefore)
    return store.put(name, puts)
  },
  take: (names, max) =>
    Effect.tap(store.take(names, max), (taken) =>
      Effect.sync(() => {
        for (const one of taken) if (one.queue === queue.name) unsettled.set(one.tag, idOf(one.message))
        mostUnsettled = Math.max(mostUnsettled, unsettled.size)
      })
    ),
  settle: (tags) => {
    for (const tag of tags) unsettled.delete(tag)
    return store.settle(tags)
  },
  restore: (tags, options) => {
    for (const tag of tags) unsettled.delete(tag)
    return store.restore(tags, options)
  }
})

const Broker = Layer.effect(
  Transport,
  Effect.map(Store, (store) => VirtualTransport.make("memory", store).transport)
).pipe(Layer.provideMerge(Layer.effect(Store, Effect.map(MemoryStore.make, observed))))

// ---------------------------------------------------------------- the load

/** What is left in the queue, in its order. */
const countQueue = Effect.gen(function* () {
  const store = yield* Store
  // From here on it is us who take.
  books.unsettled = unsettled.size
  books.mostUnsettled = mostUnsettled
  const now = Date.now()
  for (const [id, until] of delayed) if (until > now) ledger.givenBack(id)
  for (;;) {
    const taken = yield* store.take([queue.name], 1000)
    if (taken.length === 0) break
    for (const { message, deliveryCount } of taken) {
      ledger.givenBack(idOf(message))
      if (deliveryCount > 0) books.counted++
    }
  }
}).pipe(Effect.orDie)

const Load = Layer.effectDiscard(
  Effect.gen(function* () {
    const client = yield* Client
    const connection = yield* Connection
    yield* connection.declare({ queues: [queue] })
    const [least, most] = script.wait ?? [0, 50]
    const send = (count: number, options: { readonly eta?: Date } = {}) =>
      Effect.gen(function* () {
        const payload = () => ({
          wait: script.waits === undefined ? least + r.below(most - least + 1) : r.pick(script.waits)
        })
        // Some of one kind, then some of the other.
        for (let left = count; left > 0;) {
          const some = Math.min(left, count > 1000 ? count : 1 + r.below(4))
          const late = script.stubborn === true ? tasks.stubborn : tasks.late
          const task = r.next() < (script.early ?? 0) ? tasks.early : late
          for (const { id } of yield* client.sendAll(task, Array.from({ length: some }, payload), options)) {
            ledger.accepted(id)
          }
          left -= some
        }
      }).pipe(Effect.uninterruptible)

    yield* Effect.addFinalizer(() => countQueue)
    if (script.eta !== undefined) yield* send(script.eta, { eta: new Date(Date.now() + 60 * 86_400_000) })
    yield* send(script.tasks ?? 100)
    if (script.flow === true) {
      yield* Effect.suspend(() => Effect.andThen(send(1 + r.below(8)), Effect.sleep(1 + r.below(6)))).pipe(
        Effect.forever,
        Effect.forkScoped
      )
    }
    // Once: a listener of ours would hide that the worker's is gone.
    for (const signal of ["SIGTERM", "SIGINT", "SIGQUIT", "SIGHUP"] as const) process.prependOnceListener(signal, stop)
    console.log("loaded")
    if (script.startup !== undefined) yield* Effect.sleep(script.startup)
    if (script.fails !== undefined) return yield* Effect.die(new Error(script.fails))
    if (script.remote === true) {
      yield* Effect.forkScoped(
        Effect.andThen(Effect.all([Deferred.await(busy), Deferred.await(ready)]), Control.shutdown())
      )
    }
    if (script.lingers !== undefined) setTimeout(() => undefined, script.lingers)
  }).pipe(Effect.orDie)
)

// ---------------------------------------------------------------- the worker

const Ready = Layer.effectDiscard(
  Effect.sync(() => {
    console.log("ready")
    Deferred.doneUnsafe(ready, Effect.void)
  })
)

const options = {
  queues: [queue],
  concurrency,
  fetch: script.fetch,
  softTimeout: script.softTimeout,
  remapSigterm: script.remapSigterm,
  profile: {
    ...{ durable, celery, fast }[script.profile ?? "durable"],
    ...(script.delay === undefined ? {} : { delay: script.delay })
  }
} satisfies Worker.Options

/** Before tasks are taken, so that it is there whenever the signal comes; and for longer than its step, which is closed before they are through. */
const Releasing = Layer.tap(Shutdown.layer(options), (context) =>
  Effect.sync(() =>
    Effect.runFork(
      Effect.andThen(Context.get(context, Shutdown.Shutdown).reached("warm"), Deferred.succeed(released, undefined))
    )
  )
)

const Main = Worker.layerOf(
  Blueprint.add("Ready", {
    requires: ["Tasks"],
    layer: script.unready === true ? Layer.effectDiscard(Effect.never) : Layer.empty
  })(Blueprint.replace("Shutdown", { layer: Releasing })(Worker.blueprint(options)))
)

process.on("exit", (code) => {
  const report = ledger.report()
  const line: Books = {
    code,
    sent: report.n,
    started: report.started,
    finished: report.finished,
    givenBack: report.givenBack,
    lost: report.lost,
    dup: report.dup,
    unknown: report.unknown,
    interrupted,
    startedAfterSignal,
    finalizers: { opened, closed },
    ...books,
    longest: signalled?.longest ?? 0,
    took: signalled === undefined ? 0 : performance.now() - signalled.at
  }
  console.log(JSON.stringify(line))
})

run(
  Layer.tap(Main, () => Layer.build(Ready)).pipe(
    Layer.provide(Load),
    Layer.provide(Client.layer),
    Layer.provide(Handlers),
    Layer.provide([Tasks.layer, MemoryBackend.layer, layerFailpoint]),
    Layer.provide(Connection.layer),
    Layer.provide(Broker)
  )
)
