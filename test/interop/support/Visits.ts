/**
 * Tasks that both languages have by the same names, each language on a queue of its own: what ran where is in their results.
 *
 * ```text
 *   our client ──▶ typescript ──▶ our worker ──┐
 *              └─▶ python ──▶ Python's worker ─┴▶ one Redis of results
 * ```
 */
import * as Queue from "@apium/hub/Queue"
import type { KombuJson } from "@apium/protocol/kombu/Json"
import * as Canvas from "@apium/worker/client/Canvas"
import { Client } from "@apium/worker/client/Client"
import * as Signature from "@apium/worker/client/Signature"
import * as Task from "@apium/worker/task/Task"
import { TaskContext } from "@apium/worker/task/TaskContext"
import { Tasks } from "@apium/worker/task/Tasks"
import * as Worker from "@apium/worker/Worker"
import { Effect, Layer } from "effect"
import type { Redis } from "../../support/Redis.ts"
import type { Deployment } from "./deployments.ts"
import * as PythonWorker from "./PythonWorker.ts"
import * as tasks from "./tasks.ts"

export type Side = "typescript" | "python"

/** A task of one side, unchecked. */
export const on = (side: Side, task: string, args: ReadonlyArray<KombuJson> = [], options: Signature.Options = {}) =>
  Signature.named(`proj.${task}`, args, {}, { queue: side, ...options })

const text = (value: KombuJson | undefined): string => (typeof value === "string" ? value : "")

const path = (value: KombuJson | undefined): ReadonlyArray<KombuJson> => (Array.isArray(value) ? value : [])

const Handlers = (redis: Redis["Service"]) =>
  Layer.mergeAll(
    Tasks.handle(Task.raw("proj.visit"), ({ args: [before, ...more] }) =>
      Effect.succeed([...path(before), "typescript", ...more])
    ),
    Tasks.handle(Task.raw("proj.traced"), ({ args: [before] }) =>
      Effect.map(TaskContext, ({ headers: { traceparent } }) => [
        ...path(before),
        "typescript",
        text(traceparent as string)
      ])
    ),
    Tasks.handle(Task.raw("proj.visits"), ({ args: [paths] }) =>
      Effect.succeed([...path(paths).map((one) => path(one).map(text).join("/")), "typescript"])
    ),
    Tasks.handle(Task.raw("proj.moves"), ({ args: [before, queue] }) =>
      Canvas.replace(
        Signature.set(Signature.named("proj.visit", [[...path(before), "typescript"]]), { queue: text(queue) })
      )
    ),
    Tasks.handle(Task.raw("proj.grows"), ({ args: [queue] }) =>
      Effect.as(Canvas.addToChord(Signature.named("proj.visit", [["added"]], {}, { queue: text(queue) })), [
        "typescript"
      ])
    ),
    Tasks.handle(Task.raw("proj.counted"), ({ args: [of, list] }) => {
      const sum = path(of).reduce<number>((all, one) => all + Number(one), 0)
      return Effect.as(Effect.orDie(redis.command("RPUSH", text(list), sum)), sum)
    }),
    Tasks.handle(Task.raw("proj.oops"), ({ args: [id] }) => Effect.succeed(["typescript", id ?? null])),
    tasks.handlers
  )

/** A worker of each. */
export const both = ({ backend, broker, connection, results }: Deployment, redis: Redis["Service"]) =>
  Layer.merge(
    Worker.layer({ queues: [Queue.make("typescript")], concurrency: 8, name: "typescript@here" }).pipe(
      Layer.provide(Handlers(redis)),
      Layer.provide(Tasks.layer),
      Layer.provide(Client.layer),
      Layer.provide(Layer.fresh(results)),
      Layer.provide(connection())
    ),
    Layer.effectDiscard(
      PythonWorker.start({ BROKER: broker, BACKEND: backend }, { concurrency: 3, args: ["-Q", "python"] })
    )
  )
