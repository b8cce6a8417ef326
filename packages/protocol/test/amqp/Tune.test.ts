import * as Tune from "@apium/protocol/amqp/Tune"
import { assert, describe, it } from "@effect/vitest"
import { Result } from "effect"

const frameMaxes = [0, 4096, 8192, 131_072]
const channelMaxes = [0, 1, 2047, 65_535]
const heartbeats = [0, 1, 60]

/** What is agreed on, written out: rows are the server's, columns the client's. */
const agreed = {
  frameMax: [
    [0, 4096, 8192, 131_072],
    [4096, 4096, 4096, 4096],
    [8192, 4096, 8192, 8192],
    [131_072, 4096, 8192, 131_072]
  ],
  channelMax: [
    [0, 1, 2047, 65_535],
    [1, 1, 1, 1],
    [2047, 1, 2047, 2047],
    [65_535, 1, 2047, 65_535]
  ],
  heartbeat: [
    [0, 1, 60],
    [0, 1, 1],
    [0, 1, 60]
  ]
}

const combinations: ReadonlyArray<readonly [row: readonly [number, number, number], limits: Tune.Limits]> =
  frameMaxes.flatMap((frameMax, f) =>
    channelMaxes.flatMap((channelMax, c) =>
      heartbeats.map((heartbeat, h) => [[f, c, h] as const, { frameMax, channelMax, heartbeat }] as const)
    )
  )

describe("tuning", () => {
  it("agrees on the smaller limit, in each of the 48 by 48 combinations, and the server takes the answer", () => {
    assert.strictEqual(combinations.length, 48)
    for (const [[f, c, h], offered] of combinations) {
      for (const [[f2, c2, h2], wanted] of combinations) {
        const answer = Result.getOrThrow(Tune.negotiate(offered, wanted))
        assert.deepStrictEqual(answer, {
          channelMax: agreed.channelMax[c]![c2]!,
          frameMax: agreed.frameMax[f]![f2]!,
          heartbeat: agreed.heartbeat[h]![h2]!
        })
        assert.deepStrictEqual(Result.getOrThrow(Tune.accept(offered, answer)), answer)
      }
    }
  })

  it("gives what py-amqp and RabbitMQ agreed on in the captures", () => {
    assert.deepStrictEqual(Result.getOrThrow(Tune.negotiate(Tune.rabbitmq, Tune.defaults)), {
      channelMax: 2047,
      frameMax: 131_072,
      heartbeat: 60
    })
    assert.strictEqual(
      Result.getOrThrow(Tune.negotiate(Tune.rabbitmq, { ...Tune.defaults, heartbeat: 0 })).heartbeat,
      0
    )
  })

  it("is refused with 530 in RabbitMQ's words where the answer goes beyond the offer", () => {
    const refused = (answered: Partial<Tune.Limits>, frameMin?: number): string => {
      const accepted = Tune.accept(Tune.rabbitmq, { ...Tune.rabbitmq, ...answered }, frameMin)
      if (Result.isSuccess(accepted)) throw new Error("This should have been refused")
      assert.strictEqual(accepted.failure.replyCode, 530)
      return accepted.failure.message
    }
    assert.strictEqual(
      refused({ frameMax: 4096 }, 8192),
      "negotiated frame_max = 4096 is lower than the minimum allowed value (8192)"
    )
    assert.strictEqual(
      refused({ channelMax: 0 }),
      "negotiated channel_max = 0 is higher than the maximum allowed value (2047)"
    )
    refused({ frameMax: 0 })
    refused({ frameMax: 131_073 })
    refused({ channelMax: 2048 })
    refused({ frameMax: 4095 })
  })

  it("fails where no frame of the smallest size is left", () => {
    const answer = Tune.negotiate({ ...Tune.rabbitmq, frameMax: 1024 }, Tune.defaults)
    assert.isTrue(Result.isFailure(answer) && answer.failure.message.includes("1024"))
  })
})
