/**
 * `APIUM_BROKER_URL` says where tasks wait: in the memory of this process, or at a RabbitMQ or Redis that several share.
 * `APIUM_RESULT_BACKEND` says where results are kept: left out, in the broker if that is Redis, else in the memory of the process that
 * runs the task.
 */
import * as Broker from "@apium/cli/Broker"
import { Failed, isExpected, type Unavailable, UsageError } from "@apium/cli/Errors"
import { HubError } from "@apium/hub/HubError"
import type { Connection } from "@apium/hub/Connection"
import type { ResultBackend } from "@apium/worker/client/ResultBackend"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"

const resolve = Broker.resolve(Broker.environment)

/** The URL, as it may be printed. */
export const shown = Effect.map(resolve, ({ transport }) => transport)

/** Whether results of tasks that others run are to be had. */
export const sharesResults = Effect.map(resolve, ({ localResults }) => !localResults)

/** The broker that the demo runs on. */
export const layer: Layer.Layer<Connection | ResultBackend, UsageError | Unavailable> = Layer.unwrap(
  Effect.map(resolve, Broker.connected)
)

/** A broker for several processes: the memory of one of them is none. `command` is who asks. */
export const shared = (
  command: "worker" | "producer" | "monitor"
): Layer.Layer<Connection | ResultBackend, UsageError | Unavailable> =>
  Layer.unwrap(
    Effect.flatMap(resolve, (broker) =>
      broker.local ? Effect.fail(alone(command)) : Effect.succeed(Broker.connected(broker))
    )
  )

const alone = (command: string): UsageError =>
  new UsageError({
    text: [
      `demo ${command} needs a broker that two processes can share; memory:// lives inside one. Those to share are`,
      "  APIUM_BROKER_URL=amqp://guest:guest@localhost:5672//  RabbitMQ, by @apium/transport-amqp",
      "  APIUM_BROKER_URL=redis://localhost:6379/0             Redis, by @apium/transport-redis",
      "`pnpm demo` without a command runs worker, producer and monitor together in one process."
    ].join("\n")
  })

/** What a broker refuses later on, in words. */
export const explained = <A, E, R>(command: Effect.Effect<A, E, R>) =>
  Effect.mapError(command, (error) =>
    error instanceof HubError && !isExpected(error) ? new Failed({ text: error.message }) : error
  )
