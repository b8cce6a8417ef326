/** Calls of one task: how they end, by themselves or by remote control. */
import type { Check } from "../clients.ts"

const everywhere: ReadonlyArray<Check> = [
  [
    "a failure is what all that can be asked says",
    `
r = fail.delay("x")
answer = [failure(r), r.status, r.ready(), r.failed(), r.successful(), type(r.result).__name__]`,
    [
      ["celery.exceptions.ExpectedException", ["'expected to fail x'"]],
      "FAILURE",
      true,
      true,
      false,
      "ExpectedException"
    ]
  ],
  [
    "a success as well",
    `
r = add.delay(1, 1)
answer = [result(r), r.status, r.ready(), r.failed(), r.successful(), r.result, r.info, r.traceback]`,
    [2, "SUCCESS", true, false, true, 2, 2, null]
  ],
  [
    "an error whose constructor nobody can call again",
    `
r = fail_unpickleable.delay("foo", "bar")
answer = [failure(r), r.status]`,
    [["celery.exceptions.Awkward", ["'foo bar'"]], "FAILURE"]
  ],
  [
    "what was thrown is no error",
    `answer = [failure(fail_with.delay(x)) for x in ("text", 5, None)]`,
    [
      ["builtins.Exception", ["'text'"]],
      ["builtins.Exception", ["'5'"]],
      ["builtins.Exception", ["'null'"]]
    ]
  ],
  [
    "a failure with other propagation is a value",
    `
r = fail.delay()
answer = type(r.get(timeout=60, interval=0.01, propagate=False)).__name__`,
    "ExpectedException"
  ],
  [
    "the traceback has the name and the text",
    `
r = fail.delay("because of ☃")
raised(r)
answer = ["ExpectedException" in r.traceback, "because of ☃" in r.traceback]`,
    [true, true]
  ],
  [
    "rejected and put back, it runs once more",
    `
k = key()
r = reject_first.delay(k)
answer = [result(r), r.status, calls(k, 1)]`,
    ["second pass", "SUCCESS", ["rejected"]]
  ],
  ["retried once", `answer = [result(retry_once.delay()), result(retry_once.apply_async(expires=60))]`, [1, 1]],
  ["a retry keeps its priority", `answer = result(retry_once.apply_async(kwargs={"what": "priority"}, priority=7))`, 7],
  [
    "a retry keeps its headers",
    `answer = result(retry_once.apply_async(kwargs={"what": "headers"}, headers={"x-test": "value"}))`,
    { "x-test": "value" }
  ],
  ["retried by its definition", `answer = result(retry_by_class.delay())`, 1],
  [
    "retried until it gives up, with its last error",
    `
r = retry.apply_async(kwargs={"countdown": 0.01})
answer = [raised(r), r.state]`,
    ["ExpectedException", "FAILURE"]
  ]
]

const stored: ReadonlyArray<Check> = [
  [
    "a task that ignores its result runs all the same",
    `
k = key()
r = ignoring.delay(k)
answer = [calls(k, 1), r.state]`,
    [["ran"], "PENDING"]
  ],
  [
    "who ignores the result gets none, at once",
    `
r = add.apply_async((1, 2), ignore_result=True)
answer = [r.get(), r.result]`,
    [null, null]
  ],
  [
    "a revoked one is not run",
    `
def send(seconds):
    k = key()
    r = echo.apply_async(("ran",), {"key": k}, countdown=seconds)
    revoke(r)
    return k, r
k, r = in_time(send)
answer = [failure(r), r.status, r.ready(), r.failed(), r.successful(), calls(k, 0)]`,
    [["celery.exceptions.TaskRevokedError", ["'revoked'"]], "REVOKED", true, false, false, []]
  ],
  [
    "several are revoked at once, and one is not",
    `
def send(seconds):
    rs = [add.apply_async((i, 0), countdown=seconds) for i in range(4)]
    revoke(*rs[:3])
    return rs
rs = in_time(send)
answer = [failure(r) and r.state for r in rs[:3]] + [result(rs[3])]`,
    ["REVOKED", "REVOKED", "REVOKED", 3]
  ],
  [
    "one that runs, and is known to, is terminated",
    `
r = sleeping.delay(600)
found = until(lambda: active(r))
r.revoke(terminate=True)
answer = [[t["name"] for t in found], failure(r), r.state]`,
    [["canvas.sleeping"], ["celery.exceptions.TaskRevokedError", ["'terminated'"]], "REVOKED"]
  ],
  [
    "one that runs and is revoked without a signal ends well",
    `
def send(seconds):
    r = sleeping.delay(seconds)
    until(lambda: active(r) or r.ready())
    revoke(r)
    return r
r = in_time(send)
answer = [result(r) > 0, r.state]`,
    [true, "SUCCESS"]
  ],
  [
    "a shadow is its name to whoever looks",
    `
r = sleeping.apply_async((600,), shadow="another", argsrepr="(hidden)")
until(lambda: active(r))
[state, shown] = inspected("query_task", r.id)[r.id]
r.revoke(terminate=True)
answer = [state, shown["name"], shown["type"], raised(r)]`,
    ["active", "another", "canvas.sleeping", "TaskRevokedError"]
  ]
]

export const endings = { everywhere, stored }
