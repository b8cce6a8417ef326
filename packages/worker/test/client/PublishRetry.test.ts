import { Connection } from "@apium/hub/Connection"
import { ConnectionLost, fail, HubError, Nacked } from "@apium/hub/HubError"
import * as MemoryTransport from "@apium/hub/memory/MemoryTransport"
import type { Message, Route } from "@apium/hub/Message"
import { Transport } from "@apium/hub/Transport"
import * as MemoryBackend from "@apium/worker/client/backends/MemoryBackend"
import { Client, type Options, type SendOptions } from "@apium/worker/client/Client"
import * as Canvas from "@apium/worker/client/Canvas"
import * as PublishRetry from "@apium/worker/client/PublishRetry"
import type * as Signature from "@apium/worker/client/Signature"
import * as Task from "@apium/worker/task/Task"
import { assert, describe, it } from "@effect/vitest"
import { Clock, Context, Duration, Effect, Fiber, Layer, Schema } from "effect"
import { TestClock } from "effect/testing"
import { settle } from "../support/World.ts"

/** When it was published, and what each publish is to come to; then all succeed. */
class Script extends Context.Service<
  Script,
  {
    readonly moments: Array<number>
    answers: Array<Effect.Effect<void, HubError>>
    /** Of each batch the ids. */
    readonly batches: Array<ReadonlyArray<string | undefined>>
  }
>()("test/Script") {}

/** The embedded broker, whose publishes end as the script says. */
const Scripted = Layer.effectContext(
  Effect.gen(function* () {
    const transport = yield* Transport
    const script: Script["Service"] = { moments: [], answers: [], batches: [] }
    const connect = Effect.map(transport.connect, (link) => ({
      ...link,
      channel: Effect.map(link.channel, (channel) => ({
        ...channel,
        publish: () =>
          Effect.flatMap(Clock.currentTimeMillis, (now) => {
            script.moments.push(now)
            return script.answers.shift() ?? Effect.void
          }),
        publishAll: (batch: ReadonlyArray<readonly [message: Message, route: Route]>) =>
          Effect.suspend(() => {
            script.batches.push(batch.map(([{ properties }]) => properties.correlationId))
            return script.answers.shift() ?? Effect.void
          })
      }))
    }))
    return Context.make(Transport, { ...transport, connect }).pipe(Context.add(Script, script))
  })
).pipe(Layer.provide(MemoryTransport.layer))

const nacked = fail(new Nacked({ exchange: "", routingKey: "celery" }))

/** Milliseconds between the tries of one send, all of which the broker refuses for the moment. */
const tries = (options: Options, send?: SendOptions, refusals = 100) =>
  Effect.gen(function* () {
    const script = yield* Script
    const client = yield* Client
    script.answers = Array.from({ length: refusals }, () => nacked)
    const began = yield* Clock.currentTimeMillis
    const sending = yield* Effect.forkChild(Effect.exit(client.sendTask("proj.add", [], {}, send)))
    for (let second = 0; second < 300 && sending.pollUnsafe() === undefined; second++) {
      yield* settle
      yield* TestClock.adjust("1 second")
    }
    const exit = yield* Fiber.join(sending)
    return { moments: script.moments.map((moment) => moment - began), exit }
  }).pipe(
    Effect.provide(
      Client.layerWith(options).pipe(
        Layer.provideMerge(Connection.layer),
        Layer.provideMerge(Scripted),
        Layer.provide(MemoryBackend.layer)
      )
    )
  )

const seconds = Duration.seconds

describe("a publish that the broker does not take for the moment", () => {
  it.effect.each<readonly [what: string, options: Options, send: SendOptions, moments: ReadonlyArray<number>]>([
    ["by default at once, after 0.2 s and after 0.4 s", {}, {}, [0, 0, 200, 600]],
    ["never, where it is told so", { publishRetry: false }, {}, [0]],
    ["never, where the send says so", {}, { retry: false }, [0]],
    ["where the send says so alone", { publishRetry: false }, { retry: true }, [0, 0, 200, 600]],
    [
      "by the steps of a policy, up to its longest pause",
      {
        publishRetry: {
          maxRetries: 6,
          intervalStart: seconds(1),
          intervalStep: seconds(2),
          intervalMax: seconds(5)
        }
      },
      {},
      // fxrange(1, 5 + 1, 2, repeatlast=True): 1, 3, 5, 5, 5, 5
      [0, 1000, 4000, 9000, 14_000, 19_000, 24_000]
    ],
    [
      "by what the send says over what is so for all",
      { publishRetry: { maxRetries: 1, intervalStart: seconds(1) } },
      { retryPolicy: { maxRetries: 2, intervalStep: seconds(1) } },
      [0, 1000, 3000]
    ],
    [
      "after pauses without an end, where none is said, as fxrange has it",
      { publishRetry: { maxRetries: 4, intervalStart: seconds(0), intervalStep: seconds(3), intervalMax: seconds(0) } },
      {},
      [0, 0, 3000, 9000, 18_000]
    ]
  ])("is published again %s", ([_what, options, send, moments]) =>
    Effect.gen(function* () {
      const found = yield* tries(options, send)
      assert.deepStrictEqual(found.moments, moments)
      assert.isTrue(found.exit._tag === "Failure")
    })
  )

  it.effect("succeeds with the first that is taken", () =>
    Effect.gen(function* () {
      const found = yield* tries({}, {}, 2)
      assert.deepStrictEqual(found.moments, [0, 0, 200])
      assert.isTrue(found.exit._tag === "Success")
    })
  )

  it.effect("is published a hundred times where nothing bounds it", () =>
    Effect.gen(function* () {
      const found = yield* tries({ publishRetry: { maxRetries: Number.POSITIVE_INFINITY } }, {}, 100)
      assert.strictEqual(found.moments.length, 101)
      assert.isTrue(found.exit._tag === "Success")
    })
  )
})

describe("a batch of which the broker does not take a part for the moment", () => {
  const part = (...unsent: ReadonlyArray<number>) =>
    Effect.fail(new HubError({ reason: new Nacked({ exchange: "", routingKey: "celery" }), unsent }))

  it.effect("is published again without what was taken, which would run twice", () =>
    Effect.gen(function* () {
      const script = yield* Script
      const client = yield* Client
      script.answers = [part(1, 2, 4), part(0, 2)]
      const add = Task.make("proj.add", { params: { x: Schema.Number } })
      const sending = yield* Effect.forkChild(
        client.sendAll(
          add,
          [0, 1, 2, 3, 4].map((x) => ({ x }))
        )
      )
      yield* settle
      yield* TestClock.adjust("1 second")
      const [a, b, c, d, e] = (yield* Fiber.join(sending)).map(({ id }) => id)
      assert.deepStrictEqual(script.batches, [
        [a, b, c, d, e],
        [b, c, e],
        [b, e]
      ])
    }).pipe(
      Effect.provide(
        Client.layer.pipe(
          Layer.provideMerge(Connection.layer),
          Layer.provideMerge(Scripted),
          Layer.provide(MemoryBackend.layer)
        )
      )
    )
  )

  it.effect("is said, when it is given up, by its places among all that were sent", () =>
    Effect.gen(function* () {
      const script = yield* Script
      const client = yield* Client
      script.answers = [part(1, 2, 4), part(0, 2)]
      const add = Task.make("proj.add", { params: { x: Schema.Number } })
      const payloads = [0, 1, 2, 3, 4].map((x) => ({ x }))
      const error = yield* Effect.flip(client.sendAll(add, payloads, { retryPolicy: { maxRetries: 1 } }))
      assert.deepStrictEqual(error._tag === "HubError" ? error.unsent : error, [1, 4])
    }).pipe(
      Effect.provide(
        Client.layer.pipe(
          Layer.provideMerge(Connection.layer),
          Layer.provideMerge(Scripted),
          Layer.provide(MemoryBackend.layer)
        )
      )
    )
  )
})

describe("a batch whose tasks have policies of their own", () => {
  const Retrying = Client.layer.pipe(
    Layer.provideMerge(Connection.layer),
    Layer.provideMerge(Scripted),
    Layer.provide(MemoryBackend.layer)
  )
  const add = Task.make("proj.add", { params: { x: Schema.Number }, result: Schema.Number })
  const parts = (...options: ReadonlyArray<Signature.Options>) =>
    Canvas.group(options.map((some, x) => add.s({ x }, { ...some, taskId: String(x) })))

  it.effect("is sent by policy: what one gives up is published again for the other", () =>
    Effect.gen(function* () {
      const script = yield* Script
      const twice = { retryPolicy: { maxRetries: 1, intervalStart: seconds(1) } }
      script.answers = Array.from({ length: 8 }, () => nacked)
      const sending = yield* Effect.forkChild(
        Effect.exit(Canvas.delay(parts({ retry: false }, twice, {}, twice, { retry: true })))
      )
      yield* settle
      assert.deepStrictEqual(script.moments, [0])
      assert.deepStrictEqual(script.batches, [
        ["1", "3"],
        ["2", "4"],
        ["2", "4"]
      ])
      yield* TestClock.adjust("10 seconds")
      assert.isTrue((yield* Fiber.join(sending))._tag === "Failure")
      assert.deepStrictEqual(script.moments, [0])
      assert.deepStrictEqual(script.batches.slice(3), [
        ["2", "4"],
        ["2", "4"],
        ["1", "3"]
      ])
    }).pipe(Effect.provide(Retrying))
  )

  it.effect("leaves nothing where one of it cannot be written", () =>
    Effect.gen(function* () {
      const script = yield* Script
      const error = yield* Effect.flip(Canvas.delay(parts({ retry: false }, { serializer: "nonesuch" }, {})))
      assert.include(error.message, "nonesuch")
      assert.deepStrictEqual([script.moments, script.batches], [[], []])
    }).pipe(Effect.provide(Retrying))
  )
})

describe("a publish whose link is lost", () => {
  const lost = fail(new ConnectionLost({ cause: "closed", text: "gone" }))
  const once = (send: SendOptions) =>
    Effect.gen(function* () {
      const script = yield* Script
      const client = yield* Client
      yield* client.sendTask("proj.add", [], {})
      script.answers = [lost]
      const sending = yield* Effect.forkChild(Effect.exit(client.sendTask("proj.add", [], {}, send)))
      yield* settle
      return sending.pollUnsafe()
    }).pipe(
      Effect.provide(
        Client.layer.pipe(
          Layer.provideMerge(Connection.layer),
          Layer.provideMerge(Scripted),
          Layer.provide(MemoryBackend.layer)
        )
      )
    )

  it.effect("waits for the next one", () => Effect.map(once({}), (exit) => assert.isUndefined(exit)))

  it.effect("fails at once with retry: false", () =>
    Effect.map(once({ retry: false }), (exit) => {
      assert.isTrue(exit?._tag === "Success" && exit.value._tag === "Failure")
    })
  )
})

describe("the pauses of kombu", () => {
  it("are those of fxrange", () => {
    const pauses = Array.from({ length: 8 }, (_, retry) => PublishRetry.pause({}, retry))
    assert.deepStrictEqual(pauses, [0, 200, 400, 600, 800, 1000, 1000, 1000])
  })
})
