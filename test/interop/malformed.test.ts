/**
 * What Python's worker dies of, and more of the kind (WIRE 6, fact 38), put there by Python: a worker of ours answers the next task at once, the message
 * is where its reason can be read, and whoever sent it and waits is told.
 */
import { assert } from "@effect/vitest"
import { Effect, Option } from "effect"
import * as Hostile from "./support/Hostile.ts"
import * as messages from "./support/malformed.ts"
import * as Sender from "./support/Sender.ts"

/** Python wrote it to the broker, and nobody in between made anything of it. */
const put = (message: messages.Malformed, taskId: string) =>
  Effect.flatMap(Hostile.World, ({ onRedis, python }) =>
    (onRedis ? Sender.redis : Sender.amqp)(python, Hostile.queue, message, taskId)
  )

const check = ({ end, ...message }: messages.Malformed) =>
  Effect.gen(function* () {
    const taskId = crypto.randomUUID()
    yield* Hostile.unharmed(put({ ...message, end }, taskId))
    if (!("dead" in end)) {
      const meta = yield* Hostile.told(taskId)
      if ("result" in end) return assert.deepStrictEqual([meta.status, meta.result], ["SUCCESS", end.result])
      return assert.deepInclude(meta.result, { exc_type: end.failure })
    }
    const dead = yield* Hostile.died
    assert.strictEqual(dead.headers["x-apium-reason"], end.dead, String(dead.headers["x-apium-error"]))
    assert.strictEqual(dead.headers["x-apium-queue"], Hostile.queue)
    assert.match(String(dead.headers["x-apium-error"]), /^[^]{3,4096}$/)
    if (end.told !== undefined) assert.deepInclude((yield* Hostile.told(taskId)).result, { exc_type: end.told })
  })

const kinds = {
  contents: messages.contents,
  "a body of protocol 2": messages.bodies,
  headers: messages.headers,
  "a body of protocol 1": messages.firstProtocol
}

Hostile.onEach((it) => {
  it.effect.each(
    Object.entries(kinds).flatMap(([kind, all]) =>
      Object.entries(all).map(([title, message]) => ({ title: `${kind}: ${title}`, message }))
    )
  )("$title", ({ message }) => Hostile.counted(check(message)))

  it.effect("the same id twice: it is run twice, and has one result", () =>
    Hostile.counted(
      Effect.gen(function* () {
        const taskId = crypto.randomUUID()
        const good: messages.Malformed = { ...messages.firstProtocol["all it needs"]!, end: { result: 3 } }
        yield* Hostile.unharmed(Effect.andThen(put(good, taskId), put(good, taskId)))
        const { result, status } = yield* Hostile.told(taskId)
        assert.deepStrictEqual([status, result, yield* Hostile.dead], ["SUCCESS", 3, Option.none()])
      })
    )
  )

  it.effect("nothing of all that stays in anybody's hands", () => Hostile.settled)
})
