/**
 * A worker process on a real broker. `Script`, as JSON in its first argument, says what it does; what happens to its tasks it
 * writes down line by line, at once: a SIGKILL takes no line back.
 */
import * as Queue from "@apium/hub/Queue"
import * as Amqp from "@apium/transport-amqp/node"
import * as Redis from "@apium/transport-redis/node"
import * as Blueprint from "@apium/worker/Blueprint"
import * as MemoryBackend from "@apium/worker/client/backends/MemoryBackend"
import * as RedisBackend from "@apium/worker/client/backends/RedisBackend"
import * as Canvas from "@apium/worker/client/Canvas"
import { Client } from "@apium/worker/client/Client"
import { run } from "@apium/worker/node"
import * as Profile from "@apium/worker/Profile"
import { Failpoint } from "@apium/worker/execution/Failpoint"
import { Requests } from "@apium/worker/execution/Requests"
import { TaskContext } from "@apium/worker/task/TaskContext"
import { Tasks } from "@apium/worker/task/Tasks"
import * as Worker from "@apium/worker/Worker"
import { Effect, Layer } from "effect"
import { writeSync } from "node:fs"
import { canvasOf, type Kind, type Script, tasksOf } from "./Script.ts"

const script = JSON.parse(process.argv[2] ?? "{}") as Script
const concurrency = script.concurrency ?? 10
const queue = script.quorum === undefined ? Queue.make(script.queue) : Queue.quorum(Queue.make(script.queue))

/** One `write`: a line is there whole, or it is not. A pipe that is full says so at once, and takes it later. */
const say = (...words: ReadonlyArray<string | number>): void => {
  const line = `@ ${words.join(" ")} ${Math.round(performance.timeOrigin + performance.now())}\n`
  for (;;) {
    try {
      return void writeSync(1, line)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EAGAIN") throw error
    }
  }
}

let running = 0

const work = ({ wait, dies }: { readonly wait: number; readonly dies: boolean }) =>
  Effect.gen(function* () {
    const { id, delivery } = yield* TaskContext
    yield* Effect.acquireRelease(
      Effect.sync(() => {
        say("started", id, delivery.redelivered ? "again" : "first")
        if (++running === concurrency) say("busy", "-", "-")
      }),
      () => Effect.sync(() => void running--)
    )
    if (dies) {
      process.kill(process.pid, "SIGKILL")
      return yield* Effect.never
    }
    const time = script.swift === true && delivery.redelivered ? 0 : wait
    yield* Effect.onInterrupt(Effect.sleep(time), () => Effect.sync(() => say("interrupted", id, "-")))
    say("finished", id, "-")
    return null
  })

/** By their ids. */
const kindsOf = new Map<string, Kind>()

/** A task of a canvas: what it gives is its number, and what follows it is said by who sent it; only a replacement it sends itself. */
const step = ({ kind, n, wait }: { readonly kind: Kind; readonly n: number; readonly wait: number }) =>
  Effect.gen(function* () {
    const { id } = yield* TaskContext
    kindsOf.set(id, kind)
    yield* work({ wait, dies: false })
    return kind === "replace" ? yield* Canvas.replace(canvas.next.s({ of: n, kind, n })) : n
  })

const tasks = tasksOf(script)
const canvas = canvasOf(script)
const Handlers = Layer.mergeAll(
  Tasks.handle(tasks.late, work),
  Tasks.handle(tasks.early, work),
  Tasks.handle(canvas.step, step),
  Tasks.handle(canvas.early, step),
  Tasks.handle(canvas.body, ({ of }) =>
    Effect.as(
      work({ wait: 0, dies: false }),
      of.reduce((sum, n) => sum + n, 0)
    )
  )
)

const Dying = Layer.suspend(() => {
  if (script.failpoint === undefined) return Layer.empty
  const [at, times, kind] = script.failpoint
  let left = times
  return Layer.succeed(Failpoint, (step, id) =>
    Effect.suspend(() => {
      if (step !== at || (kind !== undefined && kindsOf.get(id) !== kind) || --left !== 0) return Effect.void
      say("dies", id, "-")
      process.kill(process.pid, "SIGKILL")
      // The signal is on its way; nothing of this process goes on before it arrives.
      return Effect.never
    })
  )
})

const Ready = Layer.effectDiscard(
  Effect.gen(function* () {
    say("ready", "-", "-")
    if (script.holding === undefined) return
    const requests = yield* Requests
    yield* Effect.suspend(() =>
      requests.scheduled().length >= script.holding! ? Effect.sync(() => say("holding", "-", "-")) : Effect.fail("few")
    ).pipe(
      Effect.tapError(() => Effect.sleep(5)),
      Effect.eventually,
      Effect.forkScoped
    )
  })
)

const options = {
  name: script.name,
  queues: [queue],
  concurrency,
  prefetchMultiplier: script.prefetchMultiplier ?? 2,
  softTimeout: script.softTimeout,
  profile: { ...Profile.durable, ...(script.delay === undefined ? {} : { delay: script.delay }) }
}

const Link = script.url.startsWith("redis")
  ? Redis.layer(script.url, {
      retryOnStartup: true,
      ...(script.lease === undefined ? {} : { lease: script.lease }),
      ...(script.visibilityTimeout === undefined ? {} : { visibilityTimeout: script.visibilityTimeout })
    })
  : Amqp.layer(script.url, { retryOnStartup: true })

const Results =
  script.results === undefined
    ? MemoryBackend.layer
    : RedisBackend.layerWith({ retryFor: script.retryFor }).pipe(
        Layer.provide(Redis.layerRedis(script.results, { patience: script.retryFor }))
      )

run(
  Worker.layerOf(Blueprint.add("Ready", { requires: ["Tasks"], layer: Ready })(Worker.blueprint(options))).pipe(
    Layer.provide(Handlers),
    Layer.provide([Tasks.layer, Client.layer]),
    Layer.provide(Results),
    Layer.provide(Link),
    Layer.provide(Dying)
  )
)
