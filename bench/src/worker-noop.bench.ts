/** Tasks that do nothing, through client, embedded broker, worker and fiber pool: what a task costs besides its work. */
import { Connection } from "@apium/hub/Connection"
import * as MemoryTransport from "@apium/hub/memory/MemoryTransport"
import * as Queue from "@apium/hub/Queue"
import * as MemoryBackend from "@apium/worker/client/backends/MemoryBackend"
import { Client } from "@apium/worker/client/Client"
import * as Task from "@apium/worker/task/Task"
import { Tasks } from "@apium/worker/task/Tasks"
import * as Worker from "@apium/worker/Worker"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Scope from "effect/Scope"
import * as Bench from "./Bench.ts"

const operations = 20_000
const batch = 1000

const noop = Task.make("bench.noop", { params: {} })

const base = Connection.layer.pipe(
  Layer.provide(MemoryTransport.layer),
  Layer.merge(MemoryBackend.layerWith({ capacity: 2 * operations }))
)

/** Counts runs, and tells when a turn's worth is done. */
const counter = () => {
  let left = operations
  let done = Deferred.makeUnsafe<void>()
  return {
    handler: Tasks.handle(noop, () =>
      Effect.sync(() => {
        if (--left === 0) Deferred.doneUnsafe(done, Effect.void)
      })
    ),
    wait: Effect.suspend(() =>
      Effect.tap(Deferred.await(done), () =>
        Effect.sync(() => {
          left = operations
          done = Deferred.makeUnsafe()
        })
      )
    )
  }
}

const worker = (handler: Layer.Layer<never, never, Tasks>) =>
  Worker.layer({ queues: [Queue.make("celery")], concurrency: 100 }).pipe(
    Layer.provide([handler]),
    Layer.provide(Tasks.layer)
  )

const payloads = Array.from({ length: batch }, () => ({}))

/** Ten batches under way, as a service that keeps its worker busy. */
const send = (ignoreResult: boolean, await_: boolean) =>
  Effect.forEach(
    Array.from({ length: operations / batch }),
    () =>
      Effect.gen(function* () {
        const client = yield* Client
        const results = yield* client.sendAll(noop, payloads, { ignoreResult })
        if (await_) yield* Effect.forEach(results, (result) => result.get, { discard: true })
      }),
    { concurrency: 10, discard: true }
  )

const contestant = (name: string, ignoreResult: boolean): Bench.Contestant => ({
  name,
  start: () => {
    const { handler, wait } = counter()
    const runtime = ManagedRuntime.make(
      worker(handler).pipe(Layer.provideMerge(Client.layer), Layer.provideMerge(base))
    )
    return {
      turn: () => runtime.runPromise(Effect.andThen(send(ignoreResult, !ignoreResult), wait)),
      stop: () => runtime.dispose()
    }
  }
})

/** The worker alone: its queue is full before the clock starts. */
const filled: Bench.Contestant = {
  name: "run alone, the queue filled before, result ignored",
  start: async () => {
    const { handler, wait } = counter()
    const runtime = ManagedRuntime.make(Layer.provideMerge(Client.layer, base))
    const context = await runtime.context()
    return {
      prepare: () => runtime.runPromise(send(true, false)),
      turn: () =>
        Effect.runPromise(
          Effect.gen(function* () {
            const scope = yield* Scope.make()
            yield* Layer.buildWithScope(worker(handler), scope)
            yield* wait
            yield* Scope.close(scope, Exit.void)
          }).pipe(Effect.provideContext(context))
        ),
      stop: () => runtime.dispose()
    }
  }
}

export default Bench.timed({
  title: "No-op tasks through the embedded broker and the fiber pool",
  unit: "tasks",
  operations,
  contestants: [contestant("send, run, await the result", false), contestant("send, run, result ignored", true), filled]
})
