/** One of the messages that Python's worker does not survive (WIRE 6, fact 38): it falls, the message is back for the next to fall over, and ours puts it aside. */
import * as DeadLetter from "@apium/hub/DeadLetter"
import { Connection } from "@apium/hub/Connection"
import * as Queue from "@apium/hub/Queue"
import { Client } from "@apium/worker/client/Client"
import { Tasks } from "@apium/worker/task/Tasks"
import * as Worker from "@apium/worker/Worker"
import { assert, layer } from "@effect/vitest"
import { Effect, Layer, Option } from "effect"
import { until } from "../support/Figures.ts"
import { RabbitMq } from "../support/RabbitMq.ts"
import { Redis } from "../support/Redis.ts"
import * as deployments from "./support/deployments.ts"
import * as messages from "./support/malformed.ts"
import * as PythonClient from "./support/PythonClient.ts"
import * as PythonWorker from "./support/PythonWorker.ts"
import * as Sender from "./support/Sender.ts"
import { handlers } from "./support/tasks.ts"

const queue = "falls"

layer(Layer.merge(RabbitMq.shared, Redis.shared), { excludeTestServices: true })("a body that is a text", (it) => {
  it.effect("takes Python's worker down, and not ours", () =>
    Effect.gen(function* () {
      const { backend, broker, connection, results } = yield* deployments.rabbitMq
      const { queues } = yield* RabbitMq
      const env = { BROKER: broker, BACKEND: backend }
      const client = yield* PythonClient.start(env)
      const python = yield* PythonWorker.start(env, { args: ["-Q", queue] })
      // What comes while it starts is not looked at, and stays in its hands (celery/worker/loops.py `_quick_drain`): not before it has run one.
      yield* Sender.amqp(client, queue, messages.firstProtocol["all it needs"]!, crypto.randomUUID())
      yield* python.line(" succeeded ")
      yield* Sender.amqp(client, queue, messages.bodies["a text"]!, crypto.randomUUID())
      yield* python.line("Unrecoverable error")
      yield* python.ended
      // The one that ran as well, where its acknowledgement went down with the link.
      yield* until(Effect.map(queues, (all) => all.some(({ name, ready }) => name === queue && ready > 0)))
      yield* Layer.build(
        Worker.layer({ queues: [Queue.make(queue)], concurrency: 2 }).pipe(
          Layer.provide(handlers),
          Layer.provide(Tasks.layer),
          Layer.provide(Client.layer),
          Layer.provide(results),
          Layer.provide(connection())
        )
      )
      const dead = Queue.make(DeadLetter.queueOf(queue))
      yield* Effect.gen(function* () {
        const one = yield* Connection
        yield* one.declare({ queues: [dead] })
        const aside = one.use((channel) =>
          Effect.flatMap(channel.get(dead.name), (found) =>
            Option.isSome(found) ? Effect.as(found.value.ack, true) : Effect.succeed(false)
          )
        )
        yield* until(aside)
      }).pipe(Effect.provide(connection()))
      yield* until(Effect.map(queues, (all) => all.every((one) => one.name !== queue || one.ready + one.unacked === 0)))
      assert.isFalse(python.running())
    })
  )
})
