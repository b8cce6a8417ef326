/** Calls of one task: how they are sent, when they run, and how they end. */
import type { Check } from "../clients.ts"

const later = `
from datetime import datetime, timedelta, timezone
def at(hours, seconds):
    return datetime.now(timezone(timedelta(hours=hours))) + timedelta(seconds=seconds)`

const arguments_: ReadonlyArray<Check> = [
  [
    "ten calls by position",
    `answer = [result(r) for r in [add.delay(i, i) for i in range(10)]]`,
    [0, 2, 4, 6, 8, 10, 12, 14, 16, 18]
  ],
  [
    "ten calls by name",
    `answer = [result(r) for r in [add.delay(x=i, y=i) for i in range(10)]]`,
    [0, 2, 4, 6, 8, 10, 12, 14, 16, 18]
  ],
  [
    "by position and by name",
    `answer = [result(add.delay(1, y=2)), result(add.delay(1, 2, z=3)), result(add.apply_async((1,), {"y": 2, "z": 4}))]`,
    [3, 6, 7]
  ],
  [
    "arguments that do not bind, in Python's words",
    `answer = [failure(c.delay())[1][0] for c in (s("add", 1, 2, 3), s("add", 1, z=3), s("add", 1, x=3), s("add"), s("add", y=1))]`,
    [
      `'add() takes 2 positional arguments but 3 were given'`,
      `"add() got an unexpected keyword argument 'z'"`,
      `"add() got multiple values for argument 'x'"`,
      `"add() missing 2 required positional arguments: 'x' and 'y'"`,
      `"add() missing 1 required positional argument: 'x'"`
    ]
  ],
  ["an integer beyond 64 bits", `answer = result(identity.delay(2 ** 70 + 1)) == 2 ** 70 + 1`, true],
  [
    "a float keeps its digits",
    `answer = [result(identity.delay(x)) for x in (0.1, 1e300, -2.5e-10)]`,
    [0.1, 1e300, -2.5e-10]
  ],
  [
    "names that JavaScript has for itself",
    `
kwargs = {"__proto__": 1, "constructor": {"__proto__": 2}, "toString": 3, "self": 4}
answer = result(s("echo", **kwargs).delay()) == [[], kwargs]`,
    true
  ],
  [
    "unicode in names, keys and values",
    `
value = {"ключ": "☃", "\\u0000": "😀"}
answer = result(s("echo", value, täg="ü").delay()) == [[value], {"täg": "ü"}]`,
    true
  ],
  [
    // As os.listdir() gives a name that is no UTF-8: over AMQP the header that shows it is no text.
    "half a character, in a value and in what shows it",
    `answer = result(identity.delay("a\\udc80b")) == "a\\udc80b"`,
    true
  ],
  [
    "a group of tasks that log and return unicode",
    `answer = result(group(print_unicode.s() for _ in range(5))())`,
    Array.from({ length: 5 }, () => "hiöäüß")
  ],
  [
    "2 MB there and back",
    `
text = "ü世🎉x" * 250_000
answer = result(identity.delay(text)) == text`,
    true
  ],
  [
    "an id of the sender's own",
    `
mine = "order-" + key()
r = add.apply_async((1, 1), task_id=mine)
answer = [result(r), r.id == mine]`,
    [2, true]
  ],
  [
    "a task alone is its own root, without a parent",
    `
r = request.delay()
found = result(r)
answer = [found["id"] == r.id, found["root_id"] == r.id, found["parent_id"], found["group"], found["name"], found["retries"]]`,
    [true, true, null, null, "canvas.request", 0]
  ],
  [
    "root and parent of the sender's word",
    `
found = result(request.apply_async(root_id="r1", parent_id="p1"))
answer = [found["root_id"], found["parent_id"]]`,
    ["r1", "p1"]
  ],
  [
    "headers of the sender's own",
    `answer = result(request.apply_async(headers={"x-tenant": "acme", "n": 7}))["headers"]`,
    { "x-tenant": "acme", n: 7 }
  ],
  [
    "priorities 0 to 9",
    `answer = [result(r)["priority"] for r in [request.apply_async(priority=p) for p in range(10)]]`,
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
  ],
  [
    "a queue, and a routing key",
    `answer = [result(request.apply_async(queue="celery"))["routing_key"], result(request.apply_async(exchange="", routing_key="celery"))["routing_key"]]`,
    ["celery", "celery"]
  ],
  [
    "time limits of the sender's word, and of nobody's",
    `answer = [result(request.apply_async(time_limit=30, soft_time_limit=20))["timelimit"], result(request.delay())["timelimit"]]`,
    [
      [30, 20],
      [null, null]
    ]
  ],
  [
    "four threads send at once",
    `
from concurrent.futures import ThreadPoolExecutor
k = key()
with ThreadPoolExecutor(max_workers=8) as threads:
    list(threads.map(lambda i: echo.delay(i, key=k), range(120)))
answer = differ(calls(k, 120), range(120))`,
    {}
  ],
  // Confirmed: a process that leaves while the broker is busy takes what the broker has not looked at with it (RabbitMQ 3.10 with six more
  // processes on two cores: 259 of 252,000 messages of 8,400 processes).
  [
    "four processes send at once",
    `
from billiard import get_context
k = key()
def produce(start):
    app.conf.broker_transport_options = {"confirm_publish": True}
    for i in range(start, start + 30):
        echo.apply_async((i,), {"key": k}, ignore_result=True)
processes = [get_context("fork").Process(target=produce, args=(start,)) for start in range(0, 120, 30)]
for process in processes:
    process.start()
for process in processes:
    process.join()
answer = [[p.exitcode for p in processes], differ(calls(k, 120), range(120))]`,
    [[0, 0, 0, 0], {}]
  ]
]

const times: ReadonlyArray<Check> = [
  [
    "an eta of other time zones",
    `${later}
began = time.time()
rs = [add.apply_async((i, 1), eta=at(hours, 0.4)) for i, hours in enumerate((5.5, -8, 0))]
answer = [[result(r) for r in rs], 0.4 <= time.time() - began < 600]`,
    [[1, 2, 3], true]
  ],
  [
    "an eta that has passed",
    `${later}
answer = result(add.apply_async((1, 1), eta=at(2, -3600)))`,
    2
  ],
  ["a countdown of none", `answer = result(add.apply_async((1, 1), countdown=0))`, 2],
  [
    "nothing is to be seen of it before its time",
    `
def look(seconds):
    r = add.apply_async((1, 1), countdown=seconds)
    return r, r.state, r.ready()
r, *before = in_time(look)
answer = [*before, result(r), r.ready()]`,
    ["PENDING", false, 2, true]
  ],
  [
    "expired by the clock of another time zone",
    `${later}
r = add.apply_async((1, 1), countdown=0.3, expires=at(-5, 0.1))
answer = [failure(r), r.state, r.ready(), r.failed(), r.successful()]`,
    [["celery.exceptions.TaskRevokedError", ["'expired'"]], "REVOKED", true, false, false]
  ],
  [
    "not expired yet",
    `${later}
answer = [result(add.apply_async((1, 1), expires=at(5, 60))), result(add.apply_async((1, 1), expires=60))]`,
    [2, 2]
  ],
  [
    "who waits too short a time is told so",
    `
def wait(seconds):
    r = sleeping.delay(seconds)
    try:
        return r, r.get(timeout=0.1)
    except Exception as exc:
        return r, type(exc).__name__
r, why = in_time(wait)
answer = [why, result(r) > 0]`,
    ["TimeoutError", true]
  ],
  [
    "a soft limit ends it, the hard one does not",
    `
r = sleeping.apply_async((600,), soft_time_limit=0.1, time_limit=300)
answer = [raised(r), r.state, "SoftTimeLimitExceeded" in r.traceback]`,
    ["SoftTimeLimitExceeded", "FAILURE", true]
  ],
  [
    "the hard limit ends it, and says how long that was",
    `answer = failure(sleeping.apply_async((600,), soft_time_limit=300, time_limit=0.3))`,
    ["billiard.exceptions.TimeLimitExceeded", ["0.3"]]
  ],
  [
    "what ends in time knows of no limit",
    `answer = result(sleeping.apply_async((0.05,), soft_time_limit=100, time_limit=200))`,
    0.05
  ]
]

export const calls = { everywhere: [...arguments_, ...times] }
