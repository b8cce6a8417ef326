/**
 * `demo monitor`: prints what workers say about their tasks, in any language, one line each.
 */
import * as EventReceiver from "@apium/worker/events/EventReceiver"
import type { Event } from "@apium/protocol/celery/EventMessage"
import type { KombuJson } from "@apium/protocol/kombu/Json"
import * as Command from "effect/cli/Command"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as Broker from "./broker.ts"
import { run } from "./run.ts"
import { printable } from "./text.ts"

const text = (value: KombuJson | undefined): string => (typeof value === "string" ? printable(value) : "")

/** `12:00:01.250  task-received     0f8c...  demo.index  celery@host`; the name comes with the first event, later ones say how it went. */
export const format = ({ type, hostname, timestamp, fields }: Event): string => {
  const time = new Date(timestamp * 1000).toISOString().slice(11, 23)
  const said = text(fields.name ?? fields.result ?? fields.exception)
  return [time, type.padEnd(16), text(fields.uuid), said, hostname].filter((part) => part !== "").join("  ")
}

export const command = Command.make("monitor", {}, () =>
  EventReceiver.stream().pipe(
    Stream.runForEach((event) => Console.log(format(event))),
    Effect.provide(Broker.shared("monitor"))
  )
).pipe(Command.withDescription("Print the events of all workers until Ctrl-C"))

if (import.meta.main) run(command)
