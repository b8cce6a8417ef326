/** Debian's own Python, with Celery: the peer that every wire format is compared with. Another `python3` of the PATH may be without it. */
import { Effect, type Scope } from "effect"
import { writeFileSync } from "node:fs"
import * as path from "node:path"
import * as Commands from "./Commands.ts"
import * as Process from "./Process.ts"
import * as Server from "./Server.ts"

const python = "/usr/bin/python3"

/** Installs what is missing: Celery, Kombu and py-amqp, and Redis' client. */
export const installed: Effect.Effect<void, Commands.MissingCommand> = Commands.require({
  [python]: "python3",
  "/usr/lib/python3/dist-packages/celery": "python3-celery",
  "/usr/lib/python3/dist-packages/redis": "python3-redis"
})

/** The standard output of a program that reads `input` to its end. */
export const run = (
  code: string,
  options: Commands.Options & { readonly args?: ReadonlyArray<string> } = {}
): Effect.Effect<string, Commands.CommandFailed | Commands.MissingCommand> =>
  Effect.andThen(
    installed,
    Commands.run([python, "-c", code, ...(options.args ?? [])], { ...options, env: env(options.env) })
  )

/** A program that goes on: its lines are read, lines are said to it, signals are sent; killed when the scope closes. */
export const start = (
  code: string,
  options: Process.Options & { readonly args?: ReadonlyArray<string> } = {}
): Effect.Effect<Process.Process, Commands.MissingCommand, Scope.Scope> =>
  Effect.andThen(installed, Process.start([python, "-c", code, ...(options.args ?? [])], { env: env(options.env) }))

export interface WorkerOptions {
  /** The module: it makes a Celery `app`. */
  readonly code: string
  /** Arguments of `celery worker`: `["--pool", "prefork"]`. */
  readonly args?: ReadonlyArray<string>
  readonly env?: Readonly<Record<string, string>>
  readonly kept?: Process.Options["kept"]
}

/**
 * Over Redis a worker says that it is ready before it is subscribed to anything: a command that comes then is lost. `_handle_message` is told of
 * each subscription when it is there.
 */
const reachable = `
import sys as _sys
from celery.signals import worker_ready as _worker_ready
from kombu.utils.encoding import bytes_to_str as _text
def _say():
    _sys.__stdout__.write("hears remote control\\n")
    _sys.__stdout__.flush()
@_worker_ready.connect(weak=False)
def _ready(sender, **_):
    if sender.connection.transport.driver_type != "redis":
        _say()
from kombu.transport.redis import Channel as _Channel
_handle = _Channel._handle_message
def _handling(self, client, message):
    if _text(message[0]) == "psubscribe" and ".pidbox" in _text(message[1]):
        _say()
    return _handle(self, client, message)
_Channel._handle_message = _handling
`

/** A Celery worker of this app, ready for tasks and for remote control. */
export const worker = ({
  code,
  args = [],
  env: more,
  kept
}: WorkerOptions): Effect.Effect<Process.Process, Commands.MissingCommand | Process.Silent, Scope.Scope> =>
  Effect.gen(function* () {
    yield* installed
    const folder = yield* Server.folder
    writeFileSync(path.join(folder, "apium_app.py"), reachable + code)
    const process = yield* Process.start(
      [python, "-m", "celery", "--workdir", folder, "-A", "apium_app", "worker", "--loglevel", "INFO", ...args],
      { env: env(more), kept }
    )
    yield* process.line(" ready.")
    yield* process.line("hears remote control")
    return process
  })

// Lines as they are said, no `.pyc` beside the sources, and the site's own packages alone.
const env = (more: Readonly<Record<string, string>> = {}) => ({
  PYTHONUNBUFFERED: "1",
  PYTHONDONTWRITEBYTECODE: "1",
  PYTHONNOUSERSITE: "1",
  ...more
})
