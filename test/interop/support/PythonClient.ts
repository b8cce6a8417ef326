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
import json, os, sys, time, traceback, uuid
from collections import Counter
from celery import Celery, chain, chord, group, signature
from celery.backends.asynchronous import Drainer
from celery.canvas import chunks, xmap, xstarmap
from celery.result import AsyncResult, GroupResult, ResultSet, allow_join_result
app = Celery("proj", broker=os.environ["BROKER"], backend=os.environ["BACKEND"])
app.conf.update(json.loads(os.environ.get("CONF", "{}")))
# How often a waiting client looks up from its socket: half a second is for people.
Drainer.drain_events_until.__defaults__ = (None, 0.02, None, None)
# As a project declares what another one runs: these are its own tasks, those of s() are names that it never heard of.
def elsewhere(*args, **kwargs):
    raise NotImplementedError("a worker runs it")
for name in json.loads(os.environ.get("TASKS", "[]")):
    globals()[name] = app.task(name="canvas." + name, typing=False)(elsewhere)
def s(name, *args, **kwargs):
    return app.signature("proj." + name, args=args, kwargs=kwargs)
# These limits are against what hangs, and no measure: below that of a whole check.
def result(x, timeout=60):
    return x.get(timeout=timeout, interval=0.01)
def ready(x, timeout=60):
    return until(x.ready, timeout)
def until(look, timeout=60):
    end = time.time() + timeout
    found = look()
    while not found and time.time() < end:
        time.sleep(0.01)
        found = look()
    return found
# What was told under a key, when it was told so often; the last check finds whoever was told more often than that.
expected = {}
def key():
    return str(uuid.uuid4())
def heard(key):
    return told.delay(key).get(timeout=60)
def calls(key, times):
    expected[key] = times
    until(lambda: len(heard(key)) >= times)
    return heard(key)
# What is missing (less than 0), or came too often, and how often.
def differ(found, wanted):
    found = Counter(map(repr, found))
    found.subtract(map(repr, wanted))
    return {what: times for what, times in found.items() if times}
def raised(x):
    found = failure(x)
    return found and found[0].split(".")[-1]
# A step's result is stored after what follows it was sent: all of a chain, when each of it has ended.
def ended(x):
    values = [result(x)]
    while x.parent:
        x = x.parent
        values.append(result(x))
    return values
# What get() raises may be the failure of a step before it; this is of its own.
def own(x):
    ready(x)
    return type(x.result).__name__
def failure(x, timeout=60):
    try:
        x.get(timeout=timeout, interval=0.01)
    except Exception as exc:
        return [type(exc).__module__ + "." + type(exc).__name__, [repr(arg) for arg in exc.args]]
    return None
# A worker is asked again until it has answered.
def inspected(question, *args):
    replies = until(lambda: getattr(app.control.inspect(timeout=20, limit=1), question)(*args))
    return replies.popitem()[1]
def active(x):
    return [t for t in inspected("active") if t["id"] == x.id]
# Returns when the worker knows.
def revoke(*results):
    return until(lambda: app.control.revoke([x.id for x in results], reply=True, timeout=20, limit=1))
# What has to be done within some seconds of its beginning, with more of them when the machine was held up for as long.
def in_time(do):
    for seconds in (0.5, 3, 15, 40):
        end = time.time() + seconds
        done = do(seconds)
        if time.time() < end:
            return done
    raise AssertionError("not in 40 seconds")
# A task that is seen in a state that does not last: all that its handle says is of that moment, until it is let go.
def seen(send, state):
    end = time.time() + 60
    while time.time() < end:
        x = send()
        while time.time() < end:
            meta = app.backend.get_task_meta(x.id)
            if meta["status"] == state:
                x._cache = meta
                return x
            if meta["status"] in app.backend.READY_STATES:
                break
            time.sleep(0.01)
    raise AssertionError("never seen as " + state)
def let_go(x):
    x._cache = None
    return x
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
          return Effect.andThen(process.say(JSON.stringify([number, code])), process.line(`answer ${number} `, 110_000))
        }).pipe(
          Effect.map((line) => JSON.parse(line.slice(line.indexOf(" ", "answer ".length) + 1)) as unknown),
          Effect.tap((answer) => {
            const raised = typeof answer === "object" && answer !== null ? Reflect.get(answer, "raised") : undefined
            return typeof raised === "string" ? Effect.die(new Error(raised)) : Effect.void
          })
        )
    }
  })
