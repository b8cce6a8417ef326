import { MemoryBroker } from "@apium/hub/memory/MemoryTransport"
import { Client } from "@apium/worker/client/Client"
import * as Retry from "@apium/worker/task/Retry"
import * as Task from "@apium/worker/task/Task"
import { TaskContext } from "@apium/worker/task/TaskContext"
import { Ignore, Reject } from "@apium/worker/task/TaskError"
import { Tasks } from "@apium/worker/task/Tasks"
import { assert, describe } from "@effect/vitest"
import { Clock, Effect, Option, Schema, type Scope } from "effect"
import { TestClock } from "effect/testing"
import { random } from "../../protocol/test/support/Random.ts"
import * as Ledger from "../../../test/support/Ledger.ts"
import * as SlowWorld from "./support/SlowWorld.ts"
import { settle, start, stored, test, waiting, type World } from "./support/World.ts"

const kinds = ["success", "failure", "retry", "ignore", "reject", "expired", "unknown", "early"] as const
type Kind = (typeof kinds)[number]

/** What is stored in the end; nothing for what asked for that. */
const states: Readonly<Record<Kind, string | undefined>> = {
  success: "SUCCESS",
  failure: "FAILURE",
  retry: "SUCCESS",
  ignore: undefined,
  reject: undefined,
  expired: "REVOKED",
  unknown: "FAILURE",
  early: "SUCCESS"
}

/** How many runs a task takes to its end; each of them is an effect of its own. */
const runsOf = (kind: Kind): number => (kind === "expired" || kind === "unknown" ? 0 : kind === "retry" ? 3 : 1)

const runOf = (id: string, retries: number) => `${id}, run ${retries}`

const params = { wait: Schema.Number }
const tasks = {
  success: Task.make("ledger.success", { params, result: Schema.Number }),
  failure: Task.make("ledger.failure", { params, result: Schema.Number }),
  retry: Task.make("ledger.retry", {
    params,
    result: Schema.Number,
    retry: Retry.exponential({ maxRetries: 5, base: "500 millis", cap: "4 seconds" })
  }),
  ignore: Task.make("ledger.ignore", { params, result: Schema.Number }),
  reject: Task.make("ledger.reject", { params, result: Schema.Number }),
  expired: Task.make("ledger.expired", { params, result: Schema.Number }),
  early: Task.make("ledger.early", { params, result: Schema.Number, acksLate: false })
}

type Run = <A, E>(name: string, effect: Effect.Effect<A, E, World | Scope.Scope>) => void

/** One broker whose every verb is through at once, and one that takes a turn to hear and a turn to answer. */
const brokers: ReadonlyArray<readonly [string, Run]> = [
  ["embedded", test],
  ["asynchronous", (name, effect) => SlowWorld.test(name, Effect.andThen(SlowWorld.asynchronous, effect))]
]

describe("the ledger", () => {
  for (const [answers, seed, run] of brokers.flatMap(([answers, run]) =>
    [1, 20_261_121].map((seed) => [answers, seed, run] as const)
  )) {
    run(
      `every one of 5,000 accepted tasks ends as it should, whatever happens to the link (${answers} broker, seed ${seed})`,
      Effect.gen(function* () {
        const r = random(seed)
        const client = yield* Client
        const broker = yield* MemoryBroker
        const clock = yield* Clock.Clock
        const ledger = Ledger.make(() => clock.currentTimeMillisUnsafe())
        const accepted = new Map<string, Kind>()
        yield* TestClock.setTime(1_700_000_000_000)

        let cuts = 0
        const cut = Effect.andThen(
          Effect.sync(() => {
            cuts++
            ledger.fault()
          }),
          broker.disconnect
        )
        const ran = (wait: number) =>
          Effect.gen(function* () {
            const { id, retries } = yield* TaskContext
            ledger.started(runOf(id, retries))
            if (wait > 0) yield* Effect.sleep(wait)
            // In the middle of whatever else goes on.
            if (r.next() < 0.005) yield* cut
            ledger.finished(runOf(id, retries))
            return retries
          })
        yield* start(
          { concurrency: 8, events: true },
          Tasks.handle(tasks.success, ({ wait }) => ran(wait)),
          Tasks.handle(tasks.early, ({ wait }) => ran(wait)),
          Tasks.handle(tasks.expired, ({ wait }) => ran(wait)),
          Tasks.handle(tasks.failure, ({ wait }) => Effect.andThen(ran(wait), Effect.die(new Error("as it should")))),
          Tasks.handle(tasks.retry, ({ wait }) =>
            Effect.flatMap(ran(wait), (retries) =>
              retries < 2 ? Effect.die(new Error("again")) : Effect.succeed(retries)
            )
          ),
          Tasks.handle(tasks.ignore, ({ wait }) => Effect.andThen(ran(wait), Effect.fail(new Ignore()))),
          Tasks.handle(tasks.reject, ({ wait }) =>
            Effect.andThen(ran(wait), Effect.fail(new Reject({ requeue: false })))
          )
        )

        const send = (kind: Kind) => {
          const payload = { wait: r.next() < 0.5 ? 0 : r.below(100) }
          if (kind === "unknown") return client.sendTask("ledger.nobody", [], payload)
          return client.send(tasks[kind], payload, kind === "expired" ? { expires: new Date(1_000_000) } : {})
        }
        let producing = 4
        let refused = 0
        const produce = Effect.gen(function* () {
          for (let sent = 0; sent < 1250; sent++) {
            // An acknowledgement before the run promises less: a few, and they are counted on all the same here.
            const kind = r.next() < 0.5 ? "success" : r.pick(kinds)
            let result = yield* Effect.option(send(kind))
            while (Option.isNone(result)) {
              refused++
              result = yield* Effect.option(send(kind))
            }
            const { id } = result.value
            accepted.set(id, kind)
            ledger.accepted(id)
            for (let run = 0; run < runsOf(kind); run++) ledger.accepted(runOf(id, run))
            if (sent % 10 === 0) yield* Effect.sleep(r.below(100))
          }
          producing--
        })
        yield* Effect.forEach([1, 2, 3, 4], () => Effect.forkScoped(produce))

        for (let step = 0; step < 20_000; step++) {
          yield* TestClock.adjust(1 + r.below(100))
          if (cuts < 300 && r.next() < 0.1) yield* cut
          if (producing === 0 && cuts >= 100 && step % 50 === 0) {
            yield* TestClock.adjust("10 seconds")
            yield* settle
            const left = yield* Effect.filter(accepted, ([id, kind]) =>
              states[kind] === undefined
                ? Effect.succeed(ledger.effects(runOf(id, 0)) === 0)
                : Effect.map(stored(id), (message) => message === undefined || message.status === "RETRY")
            )
            if (left.length === 0) break
          }
        }
        assert.strictEqual(producing, 0, "not everything was sent")

        // What became of the task itself is one effect more.
        for (const [id, kind] of accepted) {
          const message = yield* stored(id)
          if (message?.status === states[kind]) ledger.finished(id)
          if (kind === "expired") assert.strictEqual(ledger.effects(runOf(id, 0)), 0)
        }
        const report = ledger.report()
        console.log(
          `ledger, ${answers} broker, seed ${seed}: ${report.line} sent=${accepted.size} cuts=${cuts} refused=${refused}`
        )
        assert.deepStrictEqual([report.lost, report.unknown], [[], []])
        assert.strictEqual(accepted.size, 5000)
        assert.isAtLeast(cuts, 100)
        assert.strictEqual(yield* waiting("celery"), 0)
      })
    )
  }
})
