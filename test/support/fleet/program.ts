/**
 * A worker process on a real broker. `Script`, as JSON in its first argument, says what it does; what happens to its tasks it
 * writes down line by line, at once: a SIGKILL takes no line back.
 */
import * as Queue from "@apium/hub/Queue"
import * as Amqp from "@apium/transport-amqp/node"
import * as Redis from "@apium/transport-redis/node"
import * as Blueprint from "@apium/worker/Blueprint"
import * as MemoryBackend from "@apium/worker/client/backends/MemoryBackend"
import { Client } from "@apium/worker/client/Client"
import { run } from "@apium/worker/node"
import * as Profile from "@apium/worker/Profile"
import { Requests } from "@apium/worker/execution/Requests"
import { TaskContext } from "@apium/worker/task/TaskContext"
import { Tasks } from "@apium/worker/task/Tasks"
import * as Worker from "@apium/worker/Worker"
import { Effect, Layer } from "effect"
import { writeSync } from "node:fs"
import { type Script, tasksOf } from "./Script.ts"

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

const tasks = tasksOf(script)
const Handlers = Layer.mergeAll(Tasks.handle(tasks.late, work), Tasks.handle(tasks.early, work))

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

run(
  Worker.layerOf(Blueprint.add("Ready", { requires: ["Tasks"], layer: Ready })(Worker.blueprint(options))).pipe(
    Layer.provide(Handlers),
    Layer.provide([Tasks.layer, Client.layer]),
    Layer.provide(MemoryBackend.layer),
    Layer.provide(Link)
  )
)
