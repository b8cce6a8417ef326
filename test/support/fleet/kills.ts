/** Workers that are killed while they run, and links that are cut, over and over: on whatever broker. */
import { assert } from "@effect/vitest"
import { Effect, Scope } from "effect"
import { random } from "../../../packages/protocol/test/support/Random.ts"
import { print } from "../Figures.ts"
import type * as Program from "../Program.ts"
import * as Fleet from "./Fleet.ts"
import type { Script } from "./Script.ts"

const many = 1000
const concurrency = 10

/** SIGKILL after SIGKILL while 1,000 tasks run on two workers (RELIABILITY A1, A2). */
export const killed = (row: string, kills: number, seed: number, script: Partial<Script> = {}) =>
  Effect.gen(function* () {
    const r = random(seed)
    const fleet = yield* Fleet.make({ concurrency, ...script })
    const scope = yield* Effect.scope
    const begin = Effect.gen(function* () {
      const worker = yield* fleet.start()
      yield* worker.line("@ ready")
      return worker
    }).pipe(Scope.provide(scope))
    const workers: Array<Program.Program> = [yield* begin, yield* begin]
    const waits = random(seed)
    const send = (count: number) => fleet.send(count, () => ({ wait: 20 + waits.below(60) }))
    yield* send(many)
    for (let kill = 0; kill < kills; kill++) {
      const victim = workers.shift()!
      yield* Effect.sleep(r.below(400))
      // Whoever is killed has something to do.
      if ((yield* fleet.queue).ready < 100) yield* send(200)
      yield* victim.signal("SIGKILL")
      yield* fleet.fault
      yield* victim.ended
      workers.push(yield* begin)
    }
    yield* fleet.drained
    for (const worker of workers) {
      yield* worker.signal("SIGTERM")
      assert.strictEqual((yield* worker.ended).code, 0)
    }
    const books = yield* fleet.books
    const started = fleet.lines().filter(({ what }) => what === "started")
    const again = started.filter((line) => line.again)
    yield* print(`${row} ${books.line} kills=${kills} started=${started.length} again=${again.length}`)
    assert.deepStrictEqual([books.lost, books.unknown, books.unmarked], [[], [], []])
    assert.strictEqual(books.finished, books.n)
    assert.isAtMost(books.dup, concurrency * kills)
    assert.isAbove(again.length, 0)
    return books
  })

/** Another worker is idle when the one that runs three tasks is killed. After how many milliseconds the first of them began again. */
export const taken = (row: string, script: Partial<Script> = {}) =>
  Effect.gen(function* () {
    const fleet = yield* Fleet.make({ ...script, swift: true })
    const victim = yield* fleet.start({ concurrency: 3, prefetchMultiplier: 1 })
    yield* victim.line("@ ready")
    yield* fleet.send(3, () => ({ wait: 600_000 }))
    yield* victim.line("@ busy")
    const other = yield* fleet.start()
    yield* other.line("@ ready")
    const killed = performance.timeOrigin + performance.now()
    yield* victim.signal("SIGKILL")
    yield* fleet.fault
    yield* victim.ended
    yield* fleet.drained
    yield* other.signal("SIGTERM")
    yield* other.ended
    const books = yield* fleet.books
    const first = fleet.lines().find(({ again, what }) => what === "started" && again)
    const after = Math.round((first?.at ?? NaN) - killed)
    yield* print(`${row} idle: ${books.line} first begun again after ${after} ms`)
    assert.deepStrictEqual([books.lost, books.dup, books.finished, books.unmarked], [[], 0, 3, []])
    return after
  })

/** What a worker is given while its links are cut. Left out: 500 tasks of 20 to 170 ms, and cuts up to 600 ms apart. */
export interface Load {
  readonly tasks: number
  readonly longest: number
  readonly apart: number
}

/** A worker on each kind of queue, and its links are cut so often: what runs goes on, and none runs twice. */
export const cut = <E, R>(
  row: string,
  kinds: Readonly<Record<string, Partial<Script>>>,
  cuts: number,
  cut: Effect.Effect<unknown, E, R>,
  { apart, longest, tasks }: Load = { tasks: 500, longest: 170, apart: 600 }
) =>
  Effect.gen(function* () {
    const r = random(3)
    const between = (most: number) => Math.floor(most / 8) + r.below(Math.ceil((most * 7) / 8))
    const fleets = yield* Effect.forEach(Object.entries(kinds), ([kind, script]) =>
      Effect.gen(function* () {
        const fleet = yield* Fleet.make(script)
        const worker = yield* fleet.start()
        yield* worker.line("@ ready")
        yield* fleet.send(tasks, () => ({ wait: between(longest) }))
        return { kind, fleet, worker }
      })
    )
    for (let time = 0; time < cuts; time++) {
      yield* Effect.sleep(between(apart))
      yield* cut
    }
    for (const { fleet, kind, worker } of fleets) {
      yield* fleet.drained
      yield* worker.signal("SIGTERM")
      const { code } = yield* worker.ended
      const books = yield* fleet.books
      const again = fleet.lines().filter((line) => line.what === "started" && line.again).length
      yield* print(
        `${row} ${kind} lost=${books.lost.length} dup=${books.dup} n=${books.n} cuts=${cuts} started=${books.started} again=${again}`
      )
      // What runs when the link goes is adopted by the next one: a process remembers what it ran.
      assert.deepStrictEqual([code, books.lost, books.unknown, books.dup], [0, [], [], 0], kind)
      assert.strictEqual(books.finished, tasks, kind)
    }
  })
