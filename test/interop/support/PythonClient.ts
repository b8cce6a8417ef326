/** A Celery client of Debian's, kept running: each check is a few lines of Python whose `answer` comes back. */
import { Effect, type Scope } from "effect"
import type * as Commands from "../../support/Commands.ts"
import type * as Process from "../../support/Process.ts"
import * as Python from "../../support/Python.ts"

export interface PythonClient {
  /** Runs the code, which may set `answer`; what it raised is a failure of the check. */
  readonly ask: (code: string) => Effect.Effect<unknown, Process.Silent>
}

const loop = `
import json, os, sys, time, traceback
from celery import Celery, chain, chord, group, signature
from celery.canvas import chunks, xmap, xstarmap
from celery.result import AsyncResult, GroupResult, allow_join_result
app = Celery("proj", broker=os.environ["BROKER"], backend=os.environ["BACKEND"])
app.conf.update(json.loads(os.environ.get("CONF", "{}")))
def s(name, *args, **kwargs):
    return app.signature("proj." + name, args=args, kwargs=kwargs)
def result(x, timeout=25):
    return x.get(timeout=timeout)
def ready(x, timeout=15):
    until = time.time() + timeout
    while not x.ready() and time.time() < until:
        time.sleep(0.02)
    return x.ready()
def failure(x, timeout=25):
    try:
        x.get(timeout=timeout)
    except Exception as exc:
        return [type(exc).__module__ + "." + type(exc).__name__, [repr(arg) for arg in exc.args]]
    return None
print("client ready", flush=True)
for line in sys.stdin:
    number, code = json.loads(line)
    scope = dict(globals())
    try:
        exec(code, scope)
        print("answer %d %s" % (number, json.dumps(scope.get("answer"))), flush=True)
    except Exception:
        print("answer %d %s" % (number, json.dumps({"raised": traceback.format_exc()})), flush=True)
`

export const start = (
  env: Readonly<Record<string, string>>
): Effect.Effect<PythonClient, Commands.MissingCommand | Process.Silent, Scope.Scope> =>
  Effect.gen(function* () {
    const process = yield* Python.start(loop, { env })
    yield* process.line("client ready")
    let asked = 0
    return {
      ask: (code) =>
        Effect.suspend(() => {
          const number = asked++
          return Effect.andThen(process.say(JSON.stringify([number, code])), process.line(`answer ${number} `, 30_000))
        }).pipe(
          Effect.map((line) => JSON.parse(line.slice(line.indexOf(" ", "answer ".length) + 1)) as unknown),
          Effect.tap((answer) => {
            const raised = typeof answer === "object" && answer !== null ? Reflect.get(answer, "raised") : undefined
            return typeof raised === "string" ? Effect.die(new Error(raised)) : Effect.void
          })
        )
    }
  })
