/** Chords whose workers are killed while they run (RELIABILITY E4), on whatever broker; the results are in the Redis of the layer. */
import { Connection } from "@apium/hub/Connection"
import * as Canvas from "@apium/worker/client/Canvas"
import * as Signature from "@apium/worker/client/Signature"
import { assert } from "@effect/vitest"
import { Effect, Scope } from "effect"
import { random } from "../../../packages/protocol/test/support/Random.ts"
import { print, times } from "../Figures.ts"
import type * as Program from "../Program.ts"
import { Redis as Server } from "../Redis.ts"
import { clientOf } from "./completion.ts"
import * as Fleet from "./Fleet.ts"
import { canvasOf, type Script } from "./Script.ts"

const parts = 10
const concurrency = 10

export const chords = times(100, 120, 1000)
export const kills = times(8, 10, 50)

/**
 * Two workers, of which one after the other is killed. The bar: the body of every chord runs, and one message of it alone: a second run
 * is of a message that came before.
 */
export const killed = (row: string, seed: number, script: Partial<Script> = {}) =>
  Effect.gen(function* () {
    const r = random(seed)
    const server = yield* Server
    yield* Connection
    const fleet = yield* Fleet.make({ results: server.url(), concurrency, ...script })
    const services = yield* clientOf(fleet.name)
    const scope = yield* Effect.scope
    const begin = Effect.gen(function* () {
      const worker = yield* fleet.start()
      yield* worker.line("@ ready")
      return worker
    }).pipe(Scope.provide(scope))
    const workers: Array<Program.Program> = [yield* begin, yield* begin]
    const { body, step } = canvasOf({ queue: fleet.name })
    const sent = yield* Effect.forEach(
      Array.from({ length: chords }, (_, index) => index),
      (n) =>
        Canvas.delay(
          Canvas.chord(
            Array.from({ length: parts }, (_, index) =>
              Signature.set(step.s({ kind: "chord", n: index, wait: 20 + r.below(times(100, 100, 160)) }), {
                queue: fleet.name
              })
            ),
            body.partial({ n })
          )
        ),
      { concurrency: 20 }
    ).pipe(Effect.provide(services))
    let refused = 0
    const ended = (worker: Program.Program) =>
      Effect.map(worker.ended, ({ code, lines }) => {
        refused += lines.filter((line) => line.includes("A chord's body was sent twice")).length
        return code
      })
    const began = performance.now()
    for (let kill = 0; kill < kills; kill++) {
      const victim = workers.shift()!
      yield* Effect.sleep(r.below(times(250, 300, 500)))
      yield* victim.signal("SIGKILL")
      yield* fleet.fault
      yield* ended(victim)
      workers.push(yield* begin)
    }
    const killing = performance.now() - began
    const values = yield* Effect.forEach(sent, ({ get }) => get, { concurrency: "unbounded" })
    const took = performance.now() - began
    yield* fleet.drained
    for (const worker of workers) {
      yield* worker.signal("SIGTERM")
      assert.strictEqual(yield* ended(worker), 0)
    }
    const started = fleet.lines().filter(({ what }) => what === "started")
    const bodies = new Map(sent.map(({ id }) => [id, { first: 0, again: 0 }]))
    for (const { again, id } of started) {
      const runs = bodies.get(id)
      if (runs !== undefined) runs[again ? "again" : "first"]++
    }
    const runs = [...bodies.values()]
    const named = (matches: (one: (typeof runs)[number]) => boolean) =>
      [...bodies].flatMap(([id, one]) => (matches(one) ? [id] : []))
    const sum = (of: (one: (typeof runs)[number]) => number) => runs.reduce((total, one) => total + of(one), 0)
    const twice = sum(({ first }) => Math.max(0, first - 1))
    const ran = runs.filter(({ again, first }) => again + first > 0).length
    const cutOff = started.filter(({ again }) => again).length
    yield* print(
      `E4 ${row}: bodies=${ran}/${chords} twice=${twice} sent twice and run once=${refused} begun again by a killed worker's message=${sum(({ again }) => again)} kills=${kills} in ${Math.round(killing)} ms, all after ${Math.round(took)} ms; of ${chords * parts} parts and ${chords} bodies begun again=${cutOff}`
    )
    const found = { never: named(({ again, first }) => again + first === 0), twice: named(({ first }) => first > 1) }
    assert.deepStrictEqual(found, { never: [], twice: [] })
    const whole = (parts * (parts - 1)) / 2
    assert.deepStrictEqual(
      values,
      values.map(() => whole)
    )
  })
