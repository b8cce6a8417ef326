/**
 * Results as messages (celery/backends/rpc.py, `rpc://`): a worker sends each state to the queue that the task's `reply_to` names, which is
 * its sender's. Only who sent a task can ask for its result, and what has come is kept in the sender's memory.
 *
 * ```ts
 * const Live = Client.layer.pipe(Layer.provide(RpcBackend.layer), Layer.provide(Amqp.layer("amqp://localhost")))
 * ```
 *
 * Celery's queue goes with its connection, and so do the results that come in between. This one stays, and is consumed again when the
 * connection is back; it is deleted with its layer, or by the broker when nobody consumed it for ten minutes.
 *
 * A message does not count: there are no chords, and no groups to be restored.
 */
import { Connection } from "@apium/hub/Connection"
import * as Consumer from "@apium/hub/Consumer"
import { EncodeFailed, HubError } from "@apium/hub/HubError"
import type { Message } from "@apium/hub/Message"
import * as Queue from "@apium/hub/Queue"
import * as Serializer from "@apium/hub/Serializer"
import * as ResultMessage from "@apium/protocol/celery/ResultMessage"
import * as TaskState from "@apium/protocol/celery/TaskState"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import { ResultBackend } from "../ResultBackend.ts"
import * as MemoryBackend from "./MemoryBackend.ts"

/** What has come, and for how long it is kept. */
export type Options = Pick<MemoryBackend.Options, "expires" | "capacity">

/** Milliseconds. */
const unconsumed = 600_000

export const layer: Layer.Layer<ResultBackend, never, Connection> = Layer.suspend(() => layerWith({}))

export const layerWith = (options: Options): Layer.Layer<ResultBackend, never, Connection> =>
  Layer.effect(
    ResultBackend,
    Effect.gen(function* () {
      const connection = yield* Connection
      const scope = yield* Effect.scope
      // As Celery's `result_serializer`: JSON, whatever tasks are in.
      const registry = Serializer.withJson(yield* Serializer.Serializers)
      const come = yield* Effect.provide(ResultBackend, MemoryBackend.layerWith(options))
      const name = crypto.randomUUID()
      const queue = Queue.make(name, { arguments: { "x-expires": unconsumed } })

      const heard = Effect.fnUntraced(function* (message: Parameters<typeof Serializer.decode>[0]) {
        const payload = yield* Serializer.decodeWith(registry, message)
        const result = yield* Effect.fromResult(ResultMessage.decode(payload, message.properties.correlationId))
        yield* come.store(result)
      })

      /** Whoever waits for it is told: nothing else may come. */
      const unreadable = ({ properties: { correlationId: taskId } }: Message, reason: string) =>
        Effect.andThen(
          Effect.logWarning("A result could not be read", { id: taskId, reason }),
          taskId === undefined
            ? Effect.void
            : come.store({
                taskId,
                status: TaskState.FAILURE,
                result: ResultMessage.encodeFailure({
                  excType: "DecodeError",
                  excMessage: [reason],
                  excModule: "kombu.exceptions"
                }),
                traceback: null,
                children: [],
                dateDone: null
              })
        )

      let declared = false
      // Added first, it runs last: who still consumed the queue then would declare it again. Nobody waits long for a broker that is away.
      const deleted = Effect.interruptible(connection.use((channel) => channel.queueDelete(name))).pipe(
        Effect.timeout("5 seconds"),
        Effect.ignore
      )
      yield* Effect.addFinalizer(() => (declared ? deleted : Effect.void))
      /** From the first task on that is sent, and before it: what comes before the queue is consumed waits there. */
      const [listening, deaf]: readonly [Effect.Effect<string, HubError>, Effect.Effect<void>] =
        yield* Effect.cachedInvalidateWithTTL(
          Effect.gen(function* () {
            yield* connection.declare({ queues: [queue] })
            declared = true
            yield* Effect.forkIn(
              Effect.suspend(() => hearing),
              scope
            )
            return name
          }),
          // A broker that is away may be there for the next task.
          (exit) => (Exit.isSuccess(exit) ? Duration.infinity : Duration.zero)
        )

      const hearing: Effect.Effect<void> = Consumer.stream([queue], { prefetch: 100 }).pipe(
        Stream.mapEffect((delivery) =>
          Effect.andThen(
            Effect.catch(heard(delivery.message), (error) =>
              Effect.ignore(unreadable(delivery.message, error.message))
            ),
            Effect.ignore(delivery.ack)
          )
        ),
        Stream.runDrain,
        // Whoever sends next finds out whether they can be heard again.
        Effect.catch((error) =>
          Effect.andThen(Effect.logError("Results are not heard any more", { reason: error.message }), deaf)
        ),
        Effect.provideService(Connection, connection)
      )

      const uncounted = (what: string) =>
        new HubError({
          reason: new EncodeFailed({ what, text: "results as messages (rpc) cannot be counted: use Redis for results" })
        })

      return {
        ...come,
        replyTo: listening,
        store: (message, { correlationId = message.taskId, replyTo } = {}) => {
          return replyTo === undefined
            ? Effect.void
            : Effect.flatMap(
                Serializer.encodeWith(registry, ResultMessage.encode(message), {
                  properties: { correlationId, deliveryMode: "transient" }
                }),
                (encoded) => connection.publish(encoded, { exchange: "", routingKey: replyTo })
              )
        },
        groups: {
          save: () => Effect.fail(uncounted("a group")),
          restore: () => Effect.succeedNone,
          forget: () => Effect.void
        },
        chords: {
          size: () => Effect.fail(uncounted("a chord")),
          add: () => Effect.fail(uncounted("a chord")),
          count: () => Effect.fail(uncounted("a chord")),
          begin: () => Effect.succeed(true)
        }
      }
    })
  )
