/** Senders that were set up in another way. */
import type { Check } from "../clients.ts"

/** `task_protocol = 1`: a chain is links in links, and there are no headers. */
export const protocol1: { readonly everywhere: ReadonlyArray<Check>; readonly stored: ReadonlyArray<Check> } = {
  everywhere: [
    [
      "a call",
      `answer = [result(add.delay(1, 2)), result(add.delay(x=1, y=2)), result(add.apply_async((1, 2), countdown=0.2))]`,
      [3, 3, 3]
    ],
    [
      "its ids, limits and retries",
      `
r = request.apply_async(time_limit=30, soft_time_limit=20)
found = result(r)
answer = [found["id"] == r.id, found["timelimit"], found["retries"], result(retry_once.delay())]`,
      [true, [30, 20], 0, 1]
    ],
    ["what expired", `answer = raised(add.apply_async((1, 1), countdown=0.3, expires=0.1))`, "TaskRevokedError"],
    ["a group", `answer = result(group(add.s(i, i) for i in range(5))())`, [0, 2, 4, 6, 8]],
    [
      "a failure",
      `answer = failure(fail.delay("x"))`,
      ["celery.exceptions.ExpectedException", ["'expected to fail x'"]]
    ]
  ],
  stored: [
    ["a chain", `answer = result(chain(add.s(1, 1), add.s(2), add.s(3), add.s(4))())`, 11],
    ["a chain in a group", `answer = result(group(add.s(1, 1) | add.s(2), add.s(5, 5))())`, [4, 10]],
    ["a chord", `answer = result(chord([add.s(1, 1), add.s(2, 2)], tsum.s())())`, 6],
    ["a chord whose parts are chains", `answer = result(chord([add.s(1, 1) | add.s(1), add.s(2, 2)], tsum.s())())`, 7],
    [
      "a chain with a chord in it",
      `answer = result(chain(add.s(1, 1), group(add.s(1), add.s(2)), tsum.s(), add.s(10))())`,
      17
    ],
    [
      "a step that is replaced",
      `answer = result(chain(add.s(1, 1), add_replaced.s(2), replace_with_chain.s(), add.s(10))())`,
      14
    ],
    [
      "links and errbacks",
      `
k = key()
good = add.apply_async((1, 1), link=[add.s(1) | echo.s(key=k), echo.s(key=k)])
bad = fail.apply_async(link_error=errback.s(key=k))
answer = [result(good), raised(bad), sorted(calls(k, 3), key=str) == sorted([3, 2, [bad.id]], key=str)]`,
      [2, "ExpectedException", true]
    ],
    [
      "a chord whose part fails",
      `
k = key()
c = chord([add.s(1, 1), fail.s()], tsum.s())
c.link_error(errback.s(key=k))
r = c()
answer = [own(r), calls(k, 1) == [[r.id]]]`,
      ["ChordError", true]
    ]
  ]
}

/** `enable_utc = False`, in a zone of its own: times travel with an offset, or none. */
export const elsewhere: { readonly everywhere: ReadonlyArray<Check>; readonly stored: ReadonlyArray<Check> } = {
  everywhere: [
    [
      "a countdown is waited for, and no longer",
      `
began = time.time()
answer = [result(add.apply_async((1, 1), countdown=0.4)), 0.4 <= time.time() - began < 600]`,
      [2, true]
    ],
    [
      "an eta of the sender's own time",
      `
from datetime import timedelta
began = time.time()
answer = [result(add.apply_async((1, 1), eta=app.now() + timedelta(seconds=0.4))), 0.3 <= time.time() - began < 600]`,
      [2, true]
    ],
    [
      "what expires in a minute runs, and what has expired does not",
      `answer = [result(add.apply_async((1, 1), expires=60)), raised(add.apply_async((1, 1), countdown=0.3, expires=0.1))]`,
      [2, "TaskRevokedError"]
    ],
    ["a retry", `answer = result(retry_once.delay())`, 1]
  ],
  stored: [
    [
      "a chain with a countdown in it",
      `answer = result(chain(add.s(1, 1), add.s(2).set(countdown=0.2), add.s(3))())`,
      7
    ],
    [
      "a chord that waits",
      `answer = result((group(add.s(1, 2), add.s(3, 4)) | tsum.s()).apply_async(countdown=0.2))`,
      10
    ]
  ]
}
