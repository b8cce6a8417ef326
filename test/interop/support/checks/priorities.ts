/**
 * What waits for the one slot of a worker runs in the order of its priorities: the highest first on RabbitMQ, the lowest on Redis. The
 * slot is taken until all of them are in the queue.
 */
import type { Check } from "../clients.ts"

const waiting = `
high_first = app.conf.broker_url.startswith("amqp")
first = 9 if high_first else 0
def order(send, times):
    k = key()
    busy = sleeping.apply_async((600,), priority=first)
    until(lambda: active(busy))
    send(k)
    busy.revoke(terminate=True)
    return calls(k, times)
def in_order(priorities):
    return sorted(priorities, reverse=high_first)`

const everywhere: ReadonlyArray<Check> = [
  [
    "tasks sent in any order",
    `${waiting}
# Those that kombu has a list of its own for, on Redis: what is between waits with the one below it.
sent = [3, 9, 0, 6, 9, 0, 3, 6]
answer = order(lambda k: [echo.apply_async((p,), {"key": k}, priority=p) for p in sent], 8) == in_order(sent)`,
    true
  ],
  [
    "of one priority as they were sent",
    `${waiting}
answer = order(lambda k: [echo.apply_async((i,), {"key": k}, priority=6) for i in range(10)], 10)`,
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
  ],
  [
    "every priority, where each has a place of its own, or that of the list below it",
    `${waiting}
sent = [5, 1, 9, 0, 7, 3, 8, 2, 6, 4]
told_ = order(lambda k: [echo.apply_async((p,), {"key": k}, priority=p) for p in sent], 10)
answer = told_ == ([9, 8, 7, 6, 5, 4, 3, 2, 1, 0] if high_first else [1, 0, 2, 5, 3, 4, 7, 8, 6, 9])`,
    true
  ],
  [
    "members of a group, each its own",
    `${waiting}
answer = order(lambda k: group(echo.s(p, key=k).set(priority=p) for p in (0, 9, 3, 6)).apply_async(), 4) == in_order([0, 3, 6, 9])`,
    true
  ],
  [
    "what a worker sends: the next step of a chain before what waits behind it",
    `${waiting}
def send(k):
    (echo.si("step", key=k).set(priority=first) | echo.si("next", key=k).set(priority=first)).apply_async()
    echo.apply_async(("last",), {"key": k}, priority=9 - first)
answer = order(send, 3)`,
    ["step", "next", "last"]
  ]
]

export const priorities = { everywhere }
