/** `add_consumer` and `cancel_consumer` (celery/worker/control.py): the queues of a worker change while it works. */
import type { Queue } from "@apium/hub/Queue"
import * as ControlMessage from "@apium/protocol/celery/ControlMessage"
import * as Effect from "effect/Effect"
import * as QueueSettings from "../configuration/QueueSettings.ts"
import type { Requests } from "../execution/Requests.ts"
import { ArgumentError, type Reader } from "./Arguments.ts"
import { type Command, command } from "./Command.ts"

const { ok, texts } = ControlMessage

/** A worker that consumes more queues than this is driven by mistake. */
const maxQueues = 10_000

/** By Kombu's names; what is `null` is not said. Exchange and routing key are called as the queue then. */
const described = (args: Reader): Queue => {
  const { queue: name, ...options } = args.all()
  const given = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== null))
  const read = QueueSettings.queueNamed(String(name), given)
  if (typeof read === "string") throw new ArgumentError("ValueError", `add_consumer() ${read}`)
  return read
}

const nameOf = (args: Reader): string => {
  const name = args.text("queue")
  if (name === "") throw new ArgumentError("ValueError", "a queue has no name: say which one")
  return name
}

/** `queues`: those that are known by their names. */
export const make = (requests: Requests["Service"], queues: ReadonlyArray<Queue>): ReadonlyArray<Command> => [
  command("add_consumer", (args) => {
    const name = nameOf(args)
    const queue = queues.find((queue) => queue.name === name) ?? described(args)
    if (requests.queues().length >= maxQueues) {
      throw new ArgumentError("ValueError", `the worker consumes ${maxQueues} queues already: cancel some`)
    }
    return Effect.map(requests.addConsumer(queue), (added) =>
      ok(added ? texts.consumerAdded(name) : texts.consumerAlreadyAdded(name))
    )
  }),
  command("cancel_consumer", (args) => {
    const name = nameOf(args)
    // Of one that is not consumed Celery says the same.
    return Effect.as(requests.cancelConsumer(name), ok(texts.consumerCancelled(name)))
  })
]
