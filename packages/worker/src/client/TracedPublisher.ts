/** A span `send <queue>` for each task, where whoever sends it has a tracer; the message carries its context. */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type { Tracer } from "effect/Tracer"
import * as Tracing from "../Tracing.ts"
import { type Outgoing, withHeaders } from "./Outgoing.ts"
import type { Publisher } from "./Publisher.ts"

/** OpenTelemetry's name of it: what there is of an exchange and a routing key, or a queue. */
const destinationOf = ({ to }: Outgoing): string =>
  to.queue ?? [to.exchange, to.routingKey].filter((part) => part !== "").join(":")

export const make = (publisher: Publisher, transport: string): Publisher => {
  const spanned = <E>(
    tracer: Tracer,
    clock: Clock.Clock,
    batch: ReadonlyArray<Outgoing>,
    publish: (batch: ReadonlyArray<Outgoing>) => Effect.Effect<void, E>
  ): Effect.Effect<void, E> => {
    const started = batch.map((outgoing) => {
      const { extra, id, rootId, task } = outgoing.task.headers
      return Tracing.sending(tracer, clock, {
        task,
        id,
        rootId,
        destination: destinationOf(outgoing),
        transport,
        headers: extra
      })
    })
    return Effect.onExit(
      publish(batch.map((outgoing, index) => withHeaders(outgoing, started[index]!.headers))),
      (exit) =>
        Effect.sync(() => {
          for (const { span } of started) span.end(clock.currentTimeNanosUnsafe(), exit)
        })
    )
  }

  return {
    publish: (outgoing) =>
      Effect.withFiber((fiber) => {
        const tracer = Tracing.tracerOf(fiber)
        return tracer === undefined
          ? publisher.publish(outgoing)
          : spanned(tracer, Context.get(fiber.context, Clock.Clock), [outgoing], ([only]) => publisher.publish(only!))
      }),
    publishAll: (batch) =>
      Effect.withFiber((fiber) => {
        const tracer = Tracing.tracerOf(fiber)
        return tracer === undefined
          ? publisher.publishAll(batch)
          : spanned(tracer, Context.get(fiber.context, Clock.Clock), batch, publisher.publishAll)
      })
  }
}
