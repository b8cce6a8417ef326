/** `apium events --dump`: what happens, a line each, as Celery's dumper prints it (celery/events/dumper.py). */
import type * as EventMessage from "@apium/protocol/celery/EventMessage"
import * as PythonRepr from "@apium/protocol/celery/PythonRepr"
import * as EventReceiver from "@apium/worker/events/EventReceiver"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { Failed, UsageError } from "../Errors.ts"
import { untilSignal } from "../Interrupt.ts"
import * as Local from "../Local.ts"
import { root } from "../Root.ts"
import { messageOf, printable } from "../Text.ts"

const words: Readonly<Record<string, string>> = {
  "worker-offline": "shutdown",
  "worker-online": "started",
  "worker-heartbeat": "heartbeat"
}

/** So many tasks are remembered by what they are called, Celery's number. */
const maxTasks = 0xfff

const textOf = (value: unknown): string => (typeof value === "string" ? value : PythonRepr.repr(value))

/** `2026-11-21 07:51:34.415000`, in UTC. */
const timeOf = (seconds: number): string =>
  Number.isFinite(seconds) && Math.abs(seconds) < 8e12
    ? new Date(seconds * 1000).toISOString().replace("T", " ").replace("Z", "000")
    : String(seconds)

/** Events to lines; it remembers what a task is called, which only its first events say. */
export const dumper = (): ((event: EventMessage.Event) => string) => {
  const tasks = new Map<string, string>()
  return ({ clock, fields, hostname, pid, timestamp, type, utcoffset }) => {
    const { uuid, ...more } = { ...fields, clock, pid, utcoffset } as Readonly<Record<string, unknown>>
    const isTask = type.startsWith("task-")
    let rest: Readonly<Record<string, unknown>> = isTask ? more : { ...more, ...(uuid === undefined ? {} : { uuid }) }
    let task = ""
    if (isTask && (type === "task-received" || type === "task-sent")) {
      const { args, kwargs, name, ...others } = rest
      rest = others
      task = `${textOf(name)}(${textOf(uuid)}) args=${textOf(args)} kwargs=${textOf(kwargs)} `
      tasks.set(textOf(uuid), task)
      if (tasks.size > maxTasks) tasks.delete(tasks.keys().next().value!)
    } else if (isTask) {
      task = tasks.get(textOf(uuid)) ?? " "
    }
    const shown = Object.keys(rest)
      .toSorted()
      .map((key) => `${key}=${textOf(rest[key])}`)
    return printable(
      `${hostname} [${timeOf(timestamp)}] ${words[type] ?? type.replaceAll("-", " ")}: ${task}${shown.join(", ")}`
    )
  }
}

const flags = {
  dump: Flag.Boolean("dump").pipe(
    Flag.withAlias("d"),
    Flag.withDescription("Print each event on a line, until Ctrl-C"),
    Flag.withDefault(false)
  )
}

export const command = Command.make(
  "events",
  flags,
  Effect.fnUntraced(function* ({ dump }) {
    const shared = yield* root
    if (!dump) {
      return yield* new UsageError({ text: "Events are printed, on no screen of their own: apium events --dump" })
    }
    const line = dumper()
    const dumped = Local.provide(shared, { command: "events --dump" }, () =>
      EventReceiver.stream({ onReady: Console.log("-> evdump: starting capture...") }).pipe(
        Stream.runForEach((event) => Console.log(line(event))),
        Effect.mapError((error) => new Failed({ text: `There are no events any more: ${messageOf(error)}` }))
      )
    )
    yield* untilSignal(dumped)
  })
).pipe(
  Command.withDescription("What workers say of themselves and, where they were started with -E, of their tasks"),
  Command.withShortDescription("Watch events"),
  Command.withExamples([
    { command: "apium events --dump -b amqp://localhost", description: "All there is, until Ctrl-C" },
    { command: "apium control enable_events", description: "Have workers send events of their tasks, too" }
  ])
)
