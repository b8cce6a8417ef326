/**
 * A whole worker on the embedded broker in one layer, with a client and results: for tests, under whatever runner. Under
 * `TestClock` its time is virtual: etas, retries, heartbeats and limits wait for the test to move the clock.
 *
 * ```ts
 * const test = Effect.gen(function*() {
 *   const worker = yield* TestWorker.TestWorker
 *   const result = yield* add.delay({ x: 2, y: 3 })
 *   yield* worker.idle
 *   yield* worker.states(result.id)   // ["SUCCESS"]
 * })
 * Effect.provide(test, TestWorker.layer({ handlers: [AddLive] }))
 * ```
 *
 * Nothing here waits for real time, and nothing is shared: each time the layer is built there is another broker.
 */
import { Connection } from "@apium/hub/Connection"
import type { HubError } from "@apium/hub/HubError"
import * as MemoryStore from "@apium/hub/memory/MemoryStore"
import { MemoryBroker } from "@apium/hub/memory/MemoryTransport"
import type { Message } from "@apium/hub/Message"
import * as Serializer from "@apium/hub/Serializer"
import { Transport } from "@apium/hub/Transport"
import * as VirtualTransport from "@apium/hub/virtual/VirtualTransport"
import * as TaskMessage from "@apium/protocol/celery/TaskMessage"
import type { KombuJson } from "@apium/protocol/kombu/Json"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Blueprint from "../Blueprint.ts"
import * as MemoryBackend from "../client/backends/MemoryBackend.ts"
import { Client } from "../client/Client.ts"
import * as Publisher from "../client/Publisher.ts"
import { ResultBackend } from "../client/ResultBackend.ts"
import type { Middleware } from "../execution/Middleware.ts"
import { Requests } from "../execution/Requests.ts"
import { Tasks } from "../task/Tasks.ts"
import * as Worker from "../Worker.ts"
import * as EagerClient from "./EagerClient.ts"
import * as WatchedStore from "./WatchedStore.ts"

/** A message in a queue. What cannot be read as a task is `undefined`. */
export interface Waiting {
  readonly id: string | undefined
  readonly name: string | undefined
  readonly args: ReadonlyArray<KombuJson> | undefined
  readonly kwargs: Readonly<Record<string, KombuJson>> | undefined
  readonly retries: number | undefined
  /** The broker keeps it until then. */
  readonly notBefore: Date | undefined
  /** Of a dead queue: why it is there (`undecodable`, `unregistered`, `deliveries`, `failed`). */
  readonly reason: string | undefined
  readonly message: Message
}

export class TestWorker extends Context.Service<
  TestWorker,
  {
    /**
     * Waits until the worker has nothing left to do: what was sent to its queues has ended. A task that is not due (an eta, a
     * retry) does not count until the clock is moved; a handler that sleeps, and a task that waits for its rate limit, do.
     * When the worker has stopped, nothing counts.
     */
    readonly idle: Effect.Effect<void>
    /** What waits in a queue and nobody has taken, in the order it was sent in; of tasks that are not due, too. Takes nothing. */
    readonly waiting: (queue?: string) => Effect.Effect<ReadonlyArray<Waiting>>
    /** What waits in a queue's dead-letter queue: `waiting` of `<queue>.dead`. */
    readonly dead: (queue?: string) => Effect.Effect<ReadonlyArray<Waiting>>
    /** Each state that was stored of a task, in order. */
    readonly states: (id: string) => Effect.Effect<ReadonlyArray<string>>
  }
>()("@apium/worker/testing/TestWorker") {}

export type Handler = Layer.Layer<never, unknown, unknown>

export interface Options<Handlers extends ReadonlyArray<Handler>, E = never, R = never> extends Partial<
  Omit<Worker.Options<E, R>, never>
> {
  /** `Tasks.handle(...)`. They may send tasks, and need whatever else the layer is provided with. */
  readonly handlers: Handlers
}

/** What the layer gives. */
export type Provided = TestWorker | Client | Connection | MemoryBroker | ResultBackend | Tasks | Worker.Worker

type Given = Client | Connection | MemoryBroker | ResultBackend | Tasks

/** `queues`: default `celery`, known to the client as they are; none, and what is sent stays where it is. `concurrency`: default 1. */
export const layer = <const Handlers extends ReadonlyArray<Handler>, E = never, R = never>(
  options: Options<Handlers, E, R>
): Layer.Layer<
  Provided,
  Layer.Error<Handlers[number]> | E | HubError,
  Exclude<Layer.Services<Handlers[number]> | R, Given>
> => {
  const { handlers, queues = [celery], concurrency = 1, middleware = [] } = options
  const Working = Layer.effectContext(
    Effect.gen(function* () {
      const { watched, states } = yield* Watch
      let running = 0
      const counted: Middleware = (_, next) =>
        Effect.suspend(() => {
          running++
          return Effect.ensuring(
            next,
            Effect.sync(() => {
              running--
              // A task that was acknowledged before its run moves nothing more in the store.
              watched.moved()
            })
          )
        })
      let requests: Requests["Service"] | undefined
      const Look = Layer.effectDiscard(Effect.map(Requests, (found) => void (requests = found)))
      const steps = Worker.blueprint({
        ...options,
        queues,
        concurrency,
        middleware: [counted, ...middleware]
      }).pipe(Blueprint.add("Look", { requires: ["Tasks"], layer: Look }))
      const worker = yield* Layer.build(Worker.layerOf(steps, options))
      // A test that is over waits for nobody: what still runs is interrupted, and its message given back.
      yield* Effect.addFinalizer(() => Context.get(worker, Worker.Worker).shutdown.request("cold"))
      const names = new Set(queues.map(({ name }) => name))
      return Context.add(
        worker,
        TestWorker,
        service({
          watched,
          states,
          names,
          running: () => running,
          requests: requests!,
          stopped: Effect.ignore(Context.get(worker, Worker.Worker).stopped)
        })
      )
    })
  )
  return Working.pipe(
    Layer.provideMerge(merged(handlers)),
    Layer.provideMerge(Client.layerWith({ queues })),
    Layer.provideMerge(Tasks.layer),
    Layer.provideMerge(Connection.layer),
    Layer.provideMerge(Base),
    Layer.fresh
  ) as unknown as Layer.Layer<
    Provided,
    Layer.Error<Handlers[number]> | E | HubError,
    Exclude<Layer.Services<Handlers[number]> | R, Given>
  >
}

/**
 * No worker and no broker: a client whose `delay` runs the task with its handler, and returns when it has ended (Celery's
 * `task_always_eager`). Retries run at once; callbacks are refused.
 */
export const layerEager = <const Handlers extends ReadonlyArray<Handler>>(options: {
  readonly handlers: Handlers
}): Layer.Layer<
  Client | ResultBackend | Tasks,
  Layer.Error<Handlers[number]>,
  Exclude<Layer.Services<Handlers[number]>, Client | ResultBackend | Tasks>
> =>
  merged(options.handlers).pipe(
    Layer.provideMerge(EagerClient.layer),
    Layer.provideMerge(Layer.mergeAll(Tasks.layer, MemoryBackend.layer)),
    Layer.fresh
  ) as unknown as Layer.Layer<
    Client | ResultBackend | Tasks,
    Layer.Error<Handlers[number]>,
    Exclude<Layer.Services<Handlers[number]>, Client | ResultBackend | Tasks>
  >

const celery = Publisher.queueNamed("celery")

const merged = (handlers: ReadonlyArray<Handler>) => Layer.mergeAll(Layer.empty, ...handlers)

const turns = 20

/** The broker and the results, and what can be seen of them. */
class Watch extends Context.Service<
  Watch,
  { readonly watched: WatchedStore.WatchedStore; readonly states: ReadonlyMap<string, ReadonlyArray<string>> }
>()("@apium/worker/testing/TestWorker/Watch") {}

const Base = Layer.effectContext(
  Effect.gen(function* () {
    const watched = WatchedStore.make(yield* MemoryStore.make)
    const { transport, disconnect } = VirtualTransport.make("memory", watched.store)
    const states = new Map<string, Array<string>>()
    const backend = yield* ResultBackend
    const store: ResultBackend["Service"]["store"] = (message) =>
      Effect.suspend(() => {
        const seen = states.get(message.taskId)
        if (seen === undefined) states.set(message.taskId, [message.status])
        else seen.push(message.status)
        return backend.store(message)
      })
    return Context.make(Transport, transport).pipe(
      Context.add(MemoryBroker, { disconnect: disconnect("the test's broker closed the connection") }),
      Context.add(ResultBackend, { ...backend, store }),
      Context.add(Watch, { watched, states })
    )
  })
).pipe(Layer.provide(MemoryBackend.layer))

const service = ({
  watched,
  states,
  names,
  running,
  requests,
  stopped
}: Watch["Service"] & {
  readonly names: ReadonlySet<string>
  readonly running: () => number
  readonly requests: Requests["Service"]
  readonly stopped: Effect.Effect<void>
}): TestWorker["Service"] => {
  /** `waiting`: something will move of itself, and the store sees it. `ending`: a run is over, and its slot is not free yet. */
  const busy = (now: number): "waiting" | "ending" | undefined => {
    const later = new Set(
      requests.scheduled().flatMap(({ request, until }) => (until > now ? [request.delivery.message.properties] : []))
    )
    const due = ({ queue, message, notBefore = now }: WatchedStore.Held) =>
      names.has(queue) && notBefore <= now && !later.has(message.properties)
    if (running() > 0 || requests.reserved().length > 0) return "waiting"
    for (const held of watched.held()) if (due(held)) return "waiting"
    return requests.active().length > 0 ? "ending" : undefined
  }

  /**
   * Nothing to do, `times` turns in a row: a publish that nobody waits for, and a delivery without acknowledgement on its way
   * to a slot, are for some turns nowhere to be seen.
   */
  const quiet = (times: number): Effect.Effect<void> =>
    Effect.flatMap(Clock.currentTimeMillis, (now) => {
      const state = busy(now)
      if (state === "waiting") return Effect.andThen(watched.move, idle)
      return times === 0 ? Effect.void : Effect.andThen(Effect.yieldNow, state === "ending" ? idle : quiet(times - 1))
    })
  const idle: Effect.Effect<void> = Effect.suspend(() => quiet(turns))

  const waiting = (queue = "celery") =>
    Effect.suspend(() =>
      Effect.forEach(
        [...watched.held()].filter((held) => held.queue === queue && !held.taken),
        read
      )
    )

  return {
    // A worker that has stopped takes nothing more, whatever waits.
    idle: Effect.raceFirst(idle, stopped),
    waiting,
    dead: (queue = "celery") => waiting(`${queue}.dead`),
    states: (id) => Effect.sync(() => [...(states.get(id) ?? [])])
  }
}

const read = ({ message, notBefore }: WatchedStore.Held): Effect.Effect<Waiting> =>
  Effect.map(Effect.option(Serializer.decode(message)), (payload) => {
    const task = Option.flatMap(payload, (value) => Result.getSuccess(TaskMessage.decode(message.headers, value)))
    const { id, task: name, "x-apium-reason": reason } = message.headers
    const { headers, args, kwargs } = Option.getOrUndefined(task) ?? {
      headers: undefined,
      args: undefined,
      kwargs: undefined
    }
    return {
      id: headers?.id ?? text(id),
      name: headers?.task ?? text(name),
      args,
      kwargs,
      retries: headers?.retries,
      notBefore: notBefore === undefined ? undefined : new Date(notBefore),
      reason: text(reason),
      message
    }
  })

const text = (value: unknown): string | undefined => (typeof value === "string" ? value : undefined)
