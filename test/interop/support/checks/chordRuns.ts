/** Chords: what of them runs, how often, and how their messages hang together. */
import type { Check } from "../clients.ts"

const told: ReadonlyArray<Check> = [
  [
    "a group, a task, a group: in that order",
    `
k = key()
say = lambda text: echo.si(text, key=k)
result((group(say("before") for i in range(3)) | say("connect") | group(say("after") for i in range(2))).delay())
answer = calls(k, 6)`,
    ["before", "before", "before", "connect", "after", "after"]
  ],
  // Of a group behind a group, or behind a chord, 5.2.6 sends the steps twice and more (its issue 5958): left out.
  [
    "a chord of groups, tasks and groups in turn run each task once",
    `
k = key()
say = lambda *texts: group(echo.si(text, key=k) for text in texts)
result(chain(chord(say("1", "2", "3"), say("4", "5", "6")), echo.si("7", key=k), say("8"), echo.si("9", key=k)).delay())
answer = "".join(sorted(calls(k, 9)))`,
    "123456789"
  ],
  [
    "a message that came twice gives both headers one id",
    `
k = key()
c = chain(identity.s(42), chord([group_id.s(key=k), identity.s()], identity.s()))
sent = []
from celery.signals import before_task_publish
def again(body=None, exchange=None, routing_key=None, headers=None, properties=None, **_):
    with app.producer_pool.acquire(block=True) as producer:
        producer.publish(body, exchange=exchange, routing_key=routing_key, serializer="json", headers=headers, **properties)
before_task_publish.connect(again)
try:
    r = c.delay()
finally:
    before_task_publish.disconnect(again)
result(r)
answer = len(set(calls(k, 2)))`,
    1
  ]
]

/** Of each kind in each kind but a group in a group, through the backend and back: what t/integration calls rebuilding. */
const rebuilt: Check = [
  "signatures that were results are run as they were meant",
  `
two = lambda: [add.s(1, 1), add.s(2, 2)]
kinds = [
    chain([chain([add.s(1, 1), add.s(2)]), add.s(3)]),
    chain(identity.s(1), group(add.s(1), add.s(2))),
    chain(identity.s(1), chord([add.s(1), add.s(2)], tsum.s())),
    group(chain(add.s(1, 1), add.s(1)), add.s(2, 2)),
    group(chord(two(), tsum.s()), add.s(1, 0)),
    chord([chain(add.s(1, 1), add.s(1)), add.s(2, 2)], chain(tsum.s(), add.s(1))),
    chord(two(), group(tsum.s(), identity.s())),
    chord([chord(two(), tsum.s()), add.s(1, 0)], chord([tsum.s(), xsum.s()], tsum.s())),
]
answer = [result(chain(identity.s(kind), become.s()).delay()) for kind in kinds]`,
  [7, [2, 3], 5, [3, 4], [6, 1], 8, [6, [2, 4]], 14]
]

const graph: ReadonlyArray<Check> = [
  [
    "places of the parts",
    `
r = chord([request.s() for _ in range(4)], identity.s())()
answer = [[p["group"] == r.parent.id, p["group_index"], p["id"] == c.id] for p, c in zip(result(r), r.parent.children)]`,
    [
      [true, 0, true],
      [true, 1, true],
      [true, 2, true],
      [true, 3, true]
    ]
  ],
  [
    "root and parent, from the first step to what follows the body",
    `
first = ids.si(i=1)
root = first.freeze().id
written = chain(first, ids.si(i=2), chord(group(ids.si(i=i) for i in range(3, 20)), chain(collect_ids.s(i=50) | ids.si(i=51))))
first_ = ids.si(i=1)
root_ = first_.freeze().id
upgraded = first_ | ids.si(i=2) | group(ids.si(i=i) for i in range(3, 20)) | collect_ids.s(i=50) | ids.si(i=51)
answer = []
for c, root in ((written, root), (upgraded, root_)):
    r = c()
    last = result(r)
    parts, (body_root, body_parent, i) = result(r.parent)
    header = r.parent.parent
    second, first = result(header.parent), result(header.parent.parent)
    answer.append([
        [type(x).__name__ for x in (r, r.parent, header, header.parent, header.parent.parent)],
        last == [root, r.parent.id, 51],
        [body_root == root, body_parent in [c.id for c in header.children], i],
        parts == [[root, header.parent.id, i] for i in range(3, 20)],
        second == [root, header.parent.parent.id, 2],
        first == [root, None, 1],
    ])`,
    Array.from({ length: 2 }, () => [
      ["AsyncResult", "AsyncResult", "GroupResult", "AsyncResult", "AsyncResult"],
      true,
      [true, true, 50],
      true,
      true,
      true
    ])
  ]
]

/** Tasks, chains and chords in one another, at random but always the same: each adds up to what can be worked out beside it. */
const random: Check = [
  "15 canvases that nobody thought of",
  `
import random
dice = random.Random(7)
def some(depth):
    kind = dice.random()
    if depth == 0 or kind < 0.35:
        n, other = dice.randint(1, 9), dice.random()
        if other < 0.1:
            return lambda: replace_with_chain.s(), lambda x: x
        return lambda: (add_replaced if other < 0.3 else add).s(n), lambda x: x + n
    parts = [some(depth - 1) for _ in range(dice.randint(2, 3))]
    if kind < 0.65:
        def total(x):
            for _, value in parts:
                x = value(x)
            return x
        return lambda: chain(*(make() for make, _ in parts)), total
    then = [some(depth - 1)] if dice.random() < 0.4 else []
    def total(x):
        x = sum(value(x) for _, value in parts)
        return then[0][1](x) if then else x
    return lambda: chord([make() for make, _ in parts], chain(tsum.s(), *(make() for make, _ in then)) if then else tsum.s()), total
made = [some(3) for _ in range(15)]
sent = [chain(identity.si(1), make()).delay() for make, _ in made]
answer = [[str(make()), result(r), value(1)] for r, (make, value) in zip(sent, made) if result(r) != value(1)]`,
  []
]

/** Until a worker runs it, they are with the chain, and not with its steps. */
const chained: Check = [
  "the errback of a chain that is a body",
  `
k = key()
r = chord([fail.si()], chain(identity.s(), identity.s()).on_error(errback.s(key=k)))()
answer = [own(r), calls(k, 1) == [[r.id]]]`,
  ["ChordError", true]
]

export const chordRuns = { stored: [...told, ...graph, chained, rebuilt, random] }
