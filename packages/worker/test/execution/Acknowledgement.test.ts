import { Connection } from "@apium/hub/Connection"
import * as Mailbox from "@apium/hub/Mailbox"
import * as Queue from "@apium/hub/Queue"
import type * as EventMessage from "@apium/protocol/celery/EventMessage"
import * as ResultMessage from "@apium/protocol/celery/ResultMessage"
import * as EventReceiver from "@apium/worker/events/EventReceiver"
import { type Ending, type Settlement, settlement } from "@apium/worker/execution/Acknowledgement"
import type { Outcome } from "@apium/worker/execution/Outcome"
import { type Job, Pool } from "@apium/worker/execution/Pool"
import * as Profile from "@apium/worker/Profile"
import * as Task from "@apium/worker/task/Task"
import { Tasks } from "@apium/worker/task/Tasks"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, pipe, Stream } from "effect"
import { headers, inject, json, settle, start, stored, test, waiting } from "../support/World.ts"

const endings: ReadonlyArray<Ending> = [
  "success",
  "failure",
  "timedOut",
  "lost",
  "retry",
  "ignore",
  "reject",
  "rejectAndRequeue",
  "revoked",
  "interrupted"
]

/** WIRE 4.6.3: acknowledged late, as it is by default; and what its options change. */
const late: Readonly<Record<Ending, Settlement>> = {
  success: "ack",
  failure: "ack",
  timedOut: "ack",
  lost: "ack",
  retry: "ack",
  ignore: "ack",
  reject: "reject",
  rejectAndRequeue: "requeue",
  revoked: "ack",
  interrupted: "requeue"
}

const strict = { acksOnFailure: false, acksOnTimeout: false, rejectOnWorkerLost: true }

const changed: Partial<typeof late> = { failure: "reject", timedOut: "requeue", lost: "requeue" }

describe("the matrix", () => {
  for (const ending of endings) {
    it(`for ${ending}`, () => {
      assert.strictEqual(settlement(ending, {}), late[ending])
      assert.strictEqual(settlement(ending, { acksLate: true }), late[ending])
      assert.strictEqual(settlement(ending, { ...strict, acksLate: true }), changed[ending] ?? late[ending])
      for (const options of [{}, strict]) {
        const early = ending === "revoked" ? "ack" : "none"
        assert.strictEqual(settlement(ending, { ...options, acksLate: false }), early)
        for (const acksLate of [true, false]) {
          assert.strictEqual(settlement(ending, { ...options, acksLate, noAck: true }), "none")
        }
      }
    })
  }

  it("each option changes its own row alone", () => {
    for (const ending of endings) {
      const only = (row: Ending, to: Settlement) => (ending === row ? to : late[ending])
      assert.strictEqual(settlement(ending, { acksOnFailure: false }), only("failure", "reject"))
      assert.strictEqual(settlement(ending, { acksOnTimeout: false }), only("timedOut", "requeue"))
      assert.strictEqual(settlement(ending, { rejectOnWorkerLost: true }), only("lost", "requeue"))
    }
  })
})

const failure = { excType: "ValueError", excMessage: ["no"], excModule: "builtins" }

/** What the pool reports; `revoked` is a run that is terminated. */
const outcomes: Readonly<Record<Exclude<Ending, "interrupted">, Outcome>> = {
  success: { _tag: "Success", value: 5 },
  failure: { _tag: "Failure", failure, traceback: null },
  timedOut: { _tag: "TimedOut", timeLimit: 2 },
  lost: { _tag: "Lost", text: "gone" },
  retry: { _tag: "Retry", at: 0, failure, traceback: null },
  ignore: { _tag: "Ignore" },
  reject: { _tag: "Reject", requeue: false, reason: "no" },
  rejectAndRequeue: { _tag: "Reject", requeue: true, reason: "no" },
  revoked: { _tag: "Lost", text: "killed" }
}

interface Seen {
  /** In the queue, its dead letters, and in the backend. */
  readonly queue: number
  readonly rejected: number
  readonly stored: string | undefined
  readonly event: string | undefined
  readonly runs: number
}

const ack = (stored: string | undefined, event: string | undefined): Seen => ({
  queue: 0,
  rejected: 0,
  stored,
  event,
  runs: 1
})
const reject = (stored: string | undefined, event: string): Seen => ({ ...ack(stored, event), rejected: 1 })
/** It comes again, and its second run asks to be ignored. */
const requeue: Seen = { ...ack(undefined, "task-rejected true"), runs: 2 }

const seenLate: Readonly<Record<keyof typeof outcomes, Seen>> = {
  success: ack("SUCCESS", "task-succeeded"),
  failure: ack("FAILURE ValueError", "task-failed"),
  timedOut: ack("FAILURE TimeLimitExceeded", "task-failed"),
  lost: ack("FAILURE WorkerLostError", "task-failed"),
  // The next try came as a message of its own.
  retry: { ...ack("RETRY ValueError", "task-retried"), runs: 2 },
  ignore: ack(undefined, undefined),
  reject: reject(undefined, "task-rejected false"),
  rejectAndRequeue: requeue,
  revoked: ack("REVOKED TaskRevokedError", "task-revoked 15")
}

const seenStrict: typeof seenLate = {
  ...seenLate,
  failure: reject("FAILURE ValueError", "task-failed"),
  timedOut: requeue,
  lost: requeue
}

/** What is acknowledged cannot be given back: it ends where it is. */
const seenEarly: typeof seenLate = {
  ...seenLate,
  reject: ack(undefined, "task-rejected false"),
  rejectAndRequeue: ack(undefined, "task-rejected false")
}

const matrix = pipe(Queue.make("matrix"), Queue.deadLetter("", "rejected"))

/** The first run ends so; one that is to be terminated waits for it. */
const scripted = (ran: Array<Job>, ending: keyof typeof outcomes) =>
  Layer.succeed(Pool, {
    name: "scripted",
    size: () => 1,
    run: (job) =>
      Effect.suspend(() => {
        ran.push(job)
        if (ran.length > 1) return Effect.succeed(outcomes.ignore)
        return ending === "revoked" ? Effect.never : Effect.succeed(outcomes[ending])
      }),
    kill: () => Effect.void,
    resize: () => Effect.void,
    stats: () => ({})
  } satisfies Pool["Service"])

const describeEvent = ({ type, fields }: EventMessage.Event): string => {
  const more = fields.requeue ?? fields.signum
  return more === undefined ? type : `${type} ${JSON.stringify(more)}`
}

describe("through a worker", () => {
  const cases = [
    ["late", {}, Profile.durable, seenLate],
    ["late, strict", strict, Profile.durable, seenStrict],
    ["early", { acksLate: false }, Profile.durable, seenEarly],
    ["early, strict", { ...strict, acksLate: false }, Profile.durable, seenEarly],
    ["without acknowledgements", strict, { ...Profile.durable, noAck: true }, seenEarly]
  ] as const
  for (const [how, options, profile, expected] of cases) {
    for (const ending of endings) {
      if (ending === "interrupted") continue
      test(
        `${how}: ${ending}`,
        Effect.gen(function* () {
          const ran: Array<Job> = []
          const events: Array<string> = []
          yield* Effect.forkScoped(
            Stream.runForEach(EventReceiver.stream({ routingKey: "task.#" }), (event) =>
              Effect.sync(() => void events.push(describeEvent(event)))
            )
          )
          const task = Task.make("proj.matrix", { params: {}, ...options })
          yield* start(
            { queues: [matrix], events: true, profile, pool: scripted(ran, ending) },
            Tasks.handle(task, () => Effect.void)
          )
          const connection = yield* Connection
          yield* connection.declare({ queues: [Queue.make("rejected")] })
          yield* inject(json("[[], {}, {}]", headers("proj.matrix", "m1")), { routingKey: "matrix" })
          yield* settle
          if (ending === "revoked") {
            yield* Mailbox.cast({ method: "revoke", arguments: { task_id: "m1", terminate: true, signal: "SIGTERM" } })
          }
          yield* settle
          const found = yield* stored("m1")
          const result = found?.result
          const why = ResultMessage.decodeFailure(result)
          const noise = new Set(["task-received", "task-started"])
          const [event, ...others] = events.filter((type) => !noise.has(type))
          assert.deepStrictEqual(others, [])
          const seen: Seen = {
            queue: yield* waiting("matrix"),
            rejected: yield* waiting("rejected"),
            stored:
              found === undefined ? undefined : why === undefined ? found.status : `${found.status} ${why.excType}`,
            event,
            runs: ran.length
          }
          assert.deepStrictEqual(seen, expected[ending])
        })
      )
    }
  }
})
