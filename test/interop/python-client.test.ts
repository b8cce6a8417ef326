/** Debian's Celery sends, and a worker of ours runs: what a Python program sees of it, on each broker. */
import { type Check, onEach } from "./support/clients.ts"

const checks: ReadonlyArray<Check> = [
  ["delay with positional arguments", `answer = result(s("add", 2, 3).delay())`, 5],
  ["delay with keyword arguments", `answer = result(s("add", x=2, y=3).delay())`, 5],
  [
    "arguments that do not bind are a TypeError",
    `answer = failure(s("add", 2).delay())`,
    ["builtins.TypeError", [`"add() missing 1 required positional argument: 'y'"`]]
  ],
  [
    "a countdown is waited for",
    `
began = time.time()
r = s("add", 1, 1).apply_async(countdown=1.2)
answer = [result(r), time.time() - began >= 1.2]`,
    [2, true]
  ],
  [
    "an eta is waited for",
    `
from datetime import datetime, timedelta, timezone
began = time.time()
r = s("add", 1, 1).apply_async(eta=datetime.now(timezone.utc) + timedelta(seconds=0.4))
answer = [result(r), time.time() - began >= 0.4]`,
    [2, true]
  ],
  [
    "what expired is revoked",
    `
r = s("add", 1, 1).apply_async(countdown=0.4, expires=0.1)
answer = [failure(r), r.state]`,
    [["celery.exceptions.TaskRevokedError", ["'expired'"]], "REVOKED"]
  ],
  ["retries are counted, and the last one gives the result", `answer = result(s("retry", 3).delay())`, 3],
  [
    "an error of a name that Python knows is that error",
    `
r = s("fail", "no good").delay()
answer = [failure(r), r.state, bool(r.traceback)]`,
    [["celery.exceptions.ValueError", [`'no good'`, `{'_tag': 'ValueError', 'text': 'no good'}`]], "FAILURE", true]
  ],
  [
    "an unknown task is NotRegistered",
    `answer = failure(app.send_task("proj.nothing"))`,
    ["celery.exceptions.NotRegistered", ["'proj.nothing'"]]
  ],
  [
    "a link is called with the result",
    `
r = s("add", 2, 2).apply_async(link=s("add", 10))
result(r)
answer = [child.get(timeout=60) for child in r.children]`,
    [14]
  ],
  [
    "an errback is called with the id",
    `
r = s("fail", "x").apply_async(link_error=s("tell", "errback"))
failure(r)
answer = len(until(lambda: [args for args, _ in result(s("heard").delay()) if args == [r.id, "errback"]]))`,
    1
  ],
  [
    "a chain",
    `
r = chain(s("add", 1, 2), s("add", 4), s("add", 8)).delay()
answer = [result(r), r.parent.get(timeout=60), r.parent.parent.get(timeout=60)]`,
    [15, 7, 3]
  ],
  [
    "a chain whose step fails",
    `
r = chain(s("fail", "x"), s("add", 1)).delay()
answer = [failure(r)[0], ready(r), r.state]`,
    ["celery.exceptions.ValueError", true, "FAILURE"]
  ],
  ["a group", `answer = result(group(s("add", i, i) for i in range(10)).delay())`, [0, 2, 4, 6, 8, 10, 12, 14, 16, 18]],
  [
    "a group that was saved and restored",
    `
r = group(s("add", i, 1) for i in range(3)).delay()
r.save()
# Its client tells each result to whoever asked first.
gid, r = r.id, None
answer = GroupResult.restore(gid, app=app).get(timeout=60)`,
    [1, 2, 3]
  ],
  ["a chord", `answer = result(chord([s("add", i, i) for i in range(10)])(s("sum")))`, 90],
  ["a chord of one", `answer = result(chord([s("add", 1, 1)])(s("sum")))`, 2],
  ["a chord with an empty header", `answer = result(chord([])(s("sum")))`, 0],
  [
    "a group with something behind it",
    `answer = result((group(s("add", 1, 1), s("add", 2, 2)) | s("sum") | s("add", 100)).delay())`,
    106
  ],
  [
    "a task, a group, and something behind it",
    `answer = result((s("add", 1, 1) | group(s("add", 1), s("add", 2)) | s("sum")).delay())`,
    7
  ],
  [
    "a chain that ends with a group",
    `answer = result((s("add", 1, 1) | group(s("add", 1), s("add", 2))).delay())`,
    [3, 4]
  ],
  ["a chord of chains", `answer = result(chord([chain(s("add", 1, 1), s("add", 1)), s("add", 5, 5)])(s("sum")))`, 13],
  [
    "a chord inside of a chord",
    `
inner = chord([s("add", 1, 1), s("add", 2, 2)], s("sum"))
answer = result(chord([inner, s("add", 3, 3)])(s("sum")))`,
    12
  ],
  [
    "a chord whose body is a chain",
    `answer = result(chord([s("add", 1, 1), s("add", 2, 2)])(s("sum") | s("add", 1)))`,
    7
  ],
  [
    "a chord whose part fails",
    `
r = chord([s("add", 1, 1), s("fail", "x")])(s("sum"))
answer = [ready(r), type(r.result).__name__, "raised ValueError" in r.result.args[0], r.state]`,
    [true, "ChordError", true, "FAILURE"]
  ],
  ["map", `answer = result(xmap(s("sum"), [[1, 2], [3]]).delay())`, [3, 3]],
  ["starmap", `answer = result(xstarmap(s("add"), [(1, 2), (3, 4)]).delay())`, [3, 7]],
  ["chunks", `answer = result(chunks(s("add"), zip(range(5), range(5)), 2).group().delay())`, [[0, 2], [4, 6], [8]]],
  ["an immutable signature", `answer = result(chain(s("add", 1, 1), s("add", 5, 5).set(immutable=True)).delay())`, 10],
  [
    "a task that replaces itself by a chain",
    `answer = [result(s("replaced", 1).delay()), result(chain(s("replaced", 1), s("add", 100)).delay())]`,
    [12, 112]
  ],
  [
    "a task that replaces itself inside of a chord",
    `answer = result(chord([s("replaced", 1), s("add", 1, 1)])(s("sum")))`,
    14
  ],
  [
    "a task that ignores its result stores none",
    `
r = s("ignored").delay()
result(s("add", 1, 1).delay())
answer = r.state`,
    "PENDING"
  ],
  [
    "a sender that ignores the result",
    `
r = s("add", 1, 1).apply_async(ignore_result=True)
result(s("add", 1, 1).delay())
answer = app.backend.get_state(r.id)`,
    "PENDING"
  ],
  [
    "a soft time limit",
    `answer = failure(s("sleep", 600).apply_async(soft_time_limit=0.3))[0]`,
    "billiard.exceptions.SoftTimeLimitExceeded"
  ],
  [
    "a hard time limit",
    `answer = failure(s("sleep", 600).apply_async(time_limit=0.5))[0]`,
    "billiard.exceptions.TimeLimitExceeded"
  ],
  [
    "revoked before it began",
    `
def send(seconds):
    r = s("add", 1, 1).apply_async(countdown=seconds)
    revoke(r)
    return r
answer = failure(in_time(send))`,
    ["celery.exceptions.TaskRevokedError", ["'revoked'"]]
  ],
  [
    "terminated while it runs",
    `
r = s("sleep", 600).delay()
until(lambda: active(r))
app.control.revoke(r.id, terminate=True)
answer = failure(r)`,
    ["celery.exceptions.TaskRevokedError", ["'terminated'"]]
  ],
  [
    "200 kB and unicode",
    `
text = "ü世🎉" * 25000
answer = result(s("echo", text, key=text).delay()) == [[text], {"key": text}]`,
    true
  ],
  [
    "JSON of every kind",
    `
value = {"none": None, "int": 2 ** 53 + 1, "float": 0.5, "list": [[], {}], "empty": "", "true": True}
answer = result(s("echo", value).delay()) == [[value], {}]`,
    true
  ],
  [
    "priorities and headers of its own",
    `
answer = {k: v for k, v in result(s("info").apply_async(priority=3, headers={"x-tenant": "acme"})).items() if k in ("priority", "headers")}`,
    {
      priority: 3,
      headers: { "x-tenant": "acme" }
    }
  ],
  [
    "states of the task's own",
    `
r = seen(lambda: s("progress").delay(), "PROGRESS")
answer = [r.state, r.info, result(let_go(r))]`,
    ["PROGRESS", { done: 1, of: 2 }, "done"]
  ],
  [
    "compressed with zlib",
    `answer = result(s("echo", "a" * 10000).apply_async(compression="zlib"))[0][0] == "a" * 10000`,
    true
  ],
  [
    "forgotten results are gone",
    `
r = s("add", 1, 1).delay()
result(r)
r.forget()
answer = AsyncResult(r.id, app=app).state`,
    "PENDING"
  ],
  [
    "children and parents",
    `
r = s("add", 1, 1).apply_async(link=s("add", 1))
result(r)
child = r.children[0]
child.get(timeout=60)
meta = app.backend.get_task_meta(child.id)
answer = [meta["parent_id"] == r.id, meta["status"]]`,
    [true, "SUCCESS"]
  ],
  [
    "protocol 1",
    `
app.conf.task_protocol = 1
app.amqp.__dict__.pop("create_task_message", None)
r = result(app.send_task("proj.add", (4, 4)))
app.conf.task_protocol = 2
app.amqp.__dict__.pop("create_task_message", None)
answer = r`,
    8
  ],
  [
    "inspect finds the worker, its tasks and its queues",
    `
answer = [inspected("ping"), "proj.add" in inspected("registered"), [q["name"] for q in inspected("active_queues")]]`,
    [{ ok: "pong" }, true, ["celery"]]
  ]
]

/** What needs a backend that counts, or keeps what it was told; and what Python's own cannot ask for without waiting: a state. */
const kept = /chord|saved|behind|forgotten|ignores|children and parents|states/

onEach("the basics", {
  everywhere: checks.filter(([title]) => !kept.test(title)),
  stored: checks.filter(([title]) => kept.test(title))
})
