/** Jobs straight to a pool, without a worker, and what the tests of both kinds of children share. */
import { type Job, Pool } from "@apium/worker/execution/Pool"
import type { Task } from "@apium/worker"
import type { Outcome } from "@apium/worker/execution/Outcome"
import type { KombuJson } from "@apium/protocol/kombu/Json"
import { assert } from "@effect/vitest"
import { Effect, Fiber, Queue } from "effect"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import * as tasks from "../fixtures/tasks.ts"

export const runtime = "Deno" in globalThis ? "deno" : "Bun" in globalThis ? "bun" : "node"

export const fixture = (name: string) => new URL(`../fixtures/${name}.ts`, import.meta.url)
export const module = fixture("handlers")

/** The name of a file that is not there, in a folder of the test's own. */
export const scratch = Effect.map(
  Effect.acquireRelease(
    Effect.sync(() => mkdtempSync(path.join(tmpdir(), "apium-"))),
    (folder) => Effect.sync(() => rmSync(folder, { recursive: true }))
  ),
  (folder) => path.join(folder, "file")
)

/** The same, and the fixtures know it. Not by the URL of the module: in Bun that has no query. */
export const shared = Effect.tap(scratch, (file) =>
  Effect.acquireRelease(
    Effect.sync(() => (process.env["APIUM_TEST_FILE"] = file)),
    () => Effect.sync(() => delete process.env["APIUM_TEST_FILE"])
  )
)

export interface Said {
  readonly state: string
  readonly meta: KombuJson
}

export interface JobOptions {
  readonly updateState?: Job["updateState"] | undefined
  readonly sendEvent?: Job["sendEvent"] | undefined
  /** Seconds. */
  readonly timeLimit?: readonly [hard: number | null, soft: number | null] | undefined
}

/** What the handler says comes out of `said`. */
export const start = Effect.fnUntraced(function* (
  { name }: Pick<Task.AnyTask, "name">,
  kwargs: Readonly<Record<string, KombuJson>> = {},
  { updateState, sendEvent, timeLimit }: JobOptions = {}
) {
  const pool = yield* Pool
  const said = yield* Queue.unbounded<Said>()
  const job: Job = {
    registered: { task: { name, options: {} }, perform: () => Effect.die("ran in the main thread") },
    call: { args: [], kwargs },
    info: {
      id: "id",
      name,
      retries: 0,
      rootId: "id",
      parentId: null,
      group: null,
      groupIndex: null,
      stamps: {},
      stampedHeaders: [],
      chord: null,
      timeLimit: timeLimit ?? [null, null],
      headers: {},
      delivery: { exchange: "", routingKey: "celery", queue: "celery", redelivered: false, priority: 0 }
    },
    updateState: updateState ?? ((state, meta) => Effect.asVoid(Queue.offer(said, { state, meta }))),
    sendEvent: sendEvent ?? (() => Effect.die("sent an event"))
  }
  const fiber = yield* Effect.forkChild(pool.run(job), { startImmediately: true })
  return { fiber, said: Queue.take(said), kill: pool.kill(job) }
})

export const run = (...job: Parameters<typeof start>) => Effect.flatMap(start(...job), ({ fiber }) => Fiber.join(fiber))

export const success = (value: KombuJson) => ({ _tag: "Success", value }) as const

export const where = Effect.map(run(tasks.where), (outcome) => (outcome._tag === "Success" ? outcome.value : outcome))

export const lostText = (outcome: Outcome) => {
  assert(outcome._tag === "Lost", JSON.stringify(outcome))
  return outcome.text
}

export const lost = (...job: Parameters<typeof start>) => Effect.map(run(...job), lostText)

/** As many jobs as there are children are in their handlers at once, and this thread goes on. Gives the children. */
export const allSpinning = Effect.fnUntraced(function* (size: number) {
  const until = yield* scratch
  const spinning = yield* Effect.replicateEffect(start(tasks.spin, { until }), size)
  const children = yield* Effect.forEach(spinning, ({ said }) => Effect.map(said, ({ meta }) => meta))
  writeFileSync(until, "")
  assert.deepStrictEqual(yield* Effect.forEach(spinning, ({ fiber }) => Fiber.join(fiber)), children.map(success))
  assert.strictEqual(new Set(children).size, size)
  return children
})
