/** Some publish, one consumes, and books are kept, until it is ended. */
import { Connection } from "@apium/hub/Connection"
import * as Consumer from "@apium/hub/Consumer"
import * as Message from "@apium/hub/Message"
import * as Queue from "@apium/hub/Queue"
import { type Duration, Effect, Fiber, Stream } from "effect"
import * as Figures from "../../../../test/support/Figures.ts"
import * as Ledger from "../../../../test/support/Ledger.ts"

/** `patience`: how long what was accepted may be on its way behind the last that was; where some may be lost, that is waited for in vain. */
export const begin = (name: string, publishers = 2, patience: Duration.Input = "1 minute") =>
  Effect.gen(function* () {
    const connection = yield* Connection
    const queue = Queue.make(name)
    const ledger = Ledger.make()
    const refused: Array<string> = []
    let [n, stop] = [0, false]
    const publishing = yield* Effect.forkScoped(
      Effect.all(
        Array.from({ length: publishers }, () =>
          Effect.whileLoop({
            while: () => !stop,
            body: () => {
              const task = String(n++)
              const message = Message.make(new TextEncoder().encode(task))
              return connection.publish(message, { exchange: "", routingKey: name }, { queues: [queue] }).pipe(
                Effect.tap(() => Effect.sync(() => ledger.accepted(task))),
                Effect.catchTag("HubError", (error) => Effect.sync(() => void refused.push(error.message))),
                Effect.andThen(Effect.sleep("2 millis"))
              )
            },
            step: () => {}
          })
        ),
        { concurrency: "unbounded" }
      )
    )
    const consuming = yield* Effect.forkScoped(
      Stream.runForEach(Consumer.stream([queue], { prefetch: 20 }), (delivery) =>
        Effect.andThen(
          Effect.sync(() => ledger.finished(new TextDecoder().decode(delivery.message.body))),
          delivery.ack
        )
      )
    )
    return {
      refused,
      /** Waits until more has come through than now. */
      more: Effect.suspend(() => {
        const before = ledger.report().finished
        return Figures.until(Effect.sync(() => ledger.report().finished > before))
      }),
      /** What has not come by then is lost. */
      end: Effect.gen(function* () {
        stop = true
        yield* Fiber.join(publishing)
        yield* Figures.until(Effect.sync(() => ledger.report().lost.length === 0)).pipe(Effect.timeoutOption(patience))
        yield* Fiber.interrupt(consuming)
        return ledger.report()
      })
    }
  })
