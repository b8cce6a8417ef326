/** A queue that a worker is told to consume and not to consume, over and over, while tasks come: none is lost, none runs twice. */
import { Connection } from "@apium/hub/Connection"
import * as Queue from "@apium/hub/Queue"
import { Client, Control, Task, Tasks } from "@apium/worker"
import { assert } from "@effect/vitest"
import { Effect, Fiber, Schema, Stream } from "effect"

const mark = Task.make("proj.mark", { params: { n: Schema.Int } })

/** The handler, and the numbers it was called with. */
export const marks = () => {
  const ran: Array<number> = []
  const live = Tasks.handle(mark, ({ n }) =>
    Effect.andThen(
      Effect.sleep("2 millis"),
      Effect.sync(() => void ran.push(n))
    )
  )
  return { ran, live }
}

const total = 1000
const changes = 20

const to = { reply: true, limit: 1, timeout: "1 minute" } as const

const said = (replies: Control.Replies<Control.Done>, text: string) =>
  Effect.map(replies, ([only]) => assert.deepStrictEqual(only?.reply, { ok: text }))

/** The worker has nothing in its hands. */
const idle = Effect.repeat(Effect.all([Control.inspect.active(to), Control.inspect.reserved(to)]), {
  until: (answers) => answers.every(([only]) => Array.isArray(only?.reply) && only.reply.length === 0)
})

export const changing = (ran: ReadonlyArray<number>) =>
  Effect.gen(function* () {
    const client = yield* Client
    const connection = yield* Connection
    const sending = yield* Effect.forkChild(
      Effect.forEach(
        Array.from({ length: total / 10 }, (_, batch) => batch * 10),
        (first) =>
          Effect.andThen(
            client.sendAll(
              mark,
              Array.from({ length: 10 }, (_, index) => ({ n: first + index })),
              { queue: "more" }
            ),
            Effect.sleep("5 millis")
          ),
        { discard: true }
      )
    )
    for (let n = 0; n < changes; n++) {
      yield* said(Control.addConsumer("more", to), "add consumer more")
      yield* Effect.sleep(`${n * 2} millis`)
      // Some run before it is consumed for good, however slow the machine is.
      if (n === changes - 1) yield* Effect.repeat(Effect.sleep("5 millis"), { until: () => ran.length > 0 })
      yield* said(Control.cancelConsumer("more", to), "no longer consuming from more")
    }
    yield* Fiber.join(sending)
    const count = connection.use((channel) =>
      Effect.map(channel.queueDeclare(Queue.make("more"), { passive: true }), ({ messageCount }) => messageCount)
    )
    // Nobody takes them now, and what was taken is done.
    yield* idle
    yield* Effect.repeat(Effect.delay(count, "20 millis"), { until: (left) => ran.length + left === total })
    yield* said(Control.addConsumer("more", to), "add consumer more")
    yield* Effect.repeat(Effect.delay(count, "20 millis"), { until: (left) => left === 0 && ran.length >= total })
    yield* idle
    assert.deepStrictEqual(
      ran.toSorted((a, b) => a - b),
      Array.from({ length: total }, (_, n) => n)
    )
  })

/** A queue that may be declared and not consumed, for somebody else is exclusive there: an answer, and the others are consumed as before. */
export const refused = (ran: ReadonlyArray<number>) =>
  Effect.gen(function* () {
    const client = yield* Client
    const connection = yield* Connection
    const before = ran.length
    yield* Effect.scoped(
      Effect.gen(function* () {
        const channel = yield* connection.channel
        yield* channel.queueDeclare(Queue.make("taken"))
        yield* Effect.forkScoped(Stream.runDrain(channel.consume("taken", { exclusive: true })))
        const consumed = Effect.map(
          channel.queueDeclare(Queue.make("taken"), { passive: true }),
          ({ consumerCount }) => consumerCount === 1
        )
        yield* Effect.repeat(Effect.delay(consumed, "10 millis"), { until: (is) => is })
        yield* said(Control.addConsumer("free", to), "add consumer free")
        for (let n = 0; n < 5; n++) {
          const [only] = yield* Control.addConsumer("taken", to)
          assert.match(JSON.stringify(only?.reply), /^\{"error":.*ACCESS_REFUSED.*'taken'/)
        }
        const [queues] = yield* Control.inspect.activeQueues(to)
        assert.notInclude(JSON.stringify(queues?.reply), `"taken"`)
        const calls = Array.from({ length: 20 }, (_, n) => ({ n: total + n }))
        yield* client.sendAll(mark, calls, { queue: "free" })
        yield* Effect.repeat(Effect.sleep("20 millis"), { until: () => ran.length >= before + calls.length })
      })
    )
    // Who was in the way is gone.
    yield* said(Control.addConsumer("taken", to), "add consumer taken")
    yield* client.sendAll(mark, [{ n: total + 20 }], { queue: "taken" })
    yield* Effect.repeat(Effect.sleep("20 millis"), { until: () => ran.length > before + 20 })
    yield* idle
    assert.deepStrictEqual(
      ran.slice(before).toSorted((a, b) => a - b),
      Array.from({ length: 21 }, (_, n) => total + n)
    )
    for (const queue of ["free", "taken"]) yield* Control.cancelConsumer(queue, to)
  })
