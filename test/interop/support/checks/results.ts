/** What Python's handles on results say: of one, of many, and of how they hang together. */
import type { Check } from "../clients.ts"

const everywhere: ReadonlyArray<Check> = [
  ["a set of results", `answer = result(ResultSet([add.delay(1, 1), add.delay(2, 2)], app=app))`, [2, 4]],
  [
    "a set that grew",
    `
rs = ResultSet([], app=app)
rs.add(add.delay(1, 1))
rs.add(add.delay(2, 2))
answer = [rs.join(timeout=60, interval=0.01), rs.ready(), rs.completed_count()]`,
    [[2, 4], true, 2]
  ],
  [
    "a set of which one failed",
    `
rs = ResultSet([fail.delay(), add.delay(1, 1)], app=app)
rs.get(timeout=60, interval=0.01, propagate=False)
answer = [rs.results[0].failed(), rs.results[1].successful(), rs.failed(), rs.successful()]`,
    [true, true, true, false]
  ],
  [
    "a callback of the client's own is called with each",
    `
heard = []
r = group(identity.s(i) for i in range(5))()
r.join(timeout=60, interval=0.01, callback=lambda id, value: heard.append([id, value]))
answer = heard == [[c.id, i] for i, c in enumerate(r.children)]`,
    true
  ],
  [
    "a promise of the client's own is fulfilled",
    `
heard = []
r = add.delay(1, 1)
r.then(lambda r: heard.append([r.id, r.result]))
result(r)
answer = heard == [[r.id, 2]]`,
    true
  ],
  [
    "a handle that was written down and read again",
    `
from celery.result import result_from_tuple
r = chain(add.s(1, 1), add.s(2))()
again = result_from_tuple(json.loads(json.dumps(r.as_tuple())), app=app)
answer = [result(r), again.id == r.id, again.parent.id == r.parent.id]`,
    [4, true, true]
  ]
]

const stored: ReadonlyArray<Check> = [
  [
    "iterated, as they end",
    `
# The last to end may not be the one that sleeps, on a machine that was held up for as long.
for seconds in (0.2, 3, 15):
    r = group(sleeping.s(seconds), identity.s(1), identity.s(2))()
    last = [id for id, meta in r.iter_native(timeout=60, interval=0.01)][-1]
    if last == r.children[0].id:
        break
answer = [last == r.children[0].id, r.completed_count()]`,
    [true, 3]
  ],
  [
    "joined without the backend's help",
    `answer = group(add.s(i, i) for i in range(5))().join(timeout=60, interval=0.01)`,
    [0, 2, 4, 6, 8]
  ],
  [
    "counted while some run",
    `
def look(seconds):
    r = group(identity.s(1), sleeping.s(seconds), identity.s(2))()
    until(lambda: r.completed_count() >= 2)
    return r, r.completed_count(), r.waiting(), r.ready(), r.successful()
r, *meanwhile = in_time(look)
answer = [*meanwhile, result(r)[::2], r.waiting(), r.ready(), r.successful(), r.completed_count()]`,
    [2, true, false, false, [1, 2], false, true, true, 3]
  ],
  [
    "revoked as a whole",
    `
def send(seconds):
    r = group(identity.s(i).set(countdown=seconds) for i in range(3))()
    revoke(*r.children)
    return r
r = in_time(send)
answer = [[ready(c) and c.state for c in r.children], r.failed(), r.completed_count()]`,
    [["REVOKED", "REVOKED", "REVOKED"], false, 0]
  ],
  [
    "forgotten as a whole",
    `
r = group(identity.s(i) for i in range(3))()
result(r)
ids_ = [c.id for c in r.children]
r.forget()
answer = [AsyncResult(id, app=app).state for id in ids_]`,
    ["PENDING", "PENDING", "PENDING"]
  ],
  [
    "saved, restored and deleted",
    `
r = group(identity.s(i) for i in range(3))()
r.save()
restored = GroupResult.restore(r.id, app=app)
same = [c.id for c in restored.children] == [c.id for c in r.children]
values = result(r)
r.delete()
answer = [same, values, GroupResult.restore(r.id, app=app)]`,
    [true, [0, 1, 2], null]
  ],
  [
    "asked for by id, from another handle",
    `
r = add.delay(2, 3)
answer = [result(r), AsyncResult(r.id, app=app).get(timeout=60, interval=0.01), AsyncResult(r.id, app=app).state]`,
    [5, 5, "SUCCESS"]
  ],
  [
    "many at once",
    `
rs = [add.delay(i, i) for i in range(20)]
found = dict(app.backend.get_many([r.id for r in rs], timeout=60, interval=0.01))
answer = [found[r.id]["result"] for r in rs] == [2 * i for i in range(20)]`,
    true
  ],
  [
    "children are what was sent, and collect() walks them",
    `
second = add.s(10)
second.link(add.s(100))
r = add.apply_async((1, 1), link=[second, add.s(20)])
result(r)
for child in r.children:
    result(child)
until(lambda: [c for c in r.children if c.children])
inner = [g for c in r.children for g in c.children or []]
result(inner[0])
answer = [[c.get() for c in r.children], inner[0].get(), sorted(value for _, value in r.collect())]`,
    [[12, 22], 112, [2, 12, 22, 112]]
  ],
  [
    "a step of a chain is the child of the one before it",
    `
r = chain(add.s(1, 1), add.s(2), add.s(4))()
ended(r)
first = r.parent.parent
answer = [[c.id for c in first.children] == [r.parent.id], [c.id for c in r.parent.children] == [r.id], first.get_leaf(), r.children]`,
    [true, true, 8, []]
  ],
  [
    "a group that a step sent is its child",
    `
r = chain(add.s(1, 1), group(add.s(1), add.s(2)))()
ended(r)
sent = r.parent.children
answer = [[type(c).__name__ for c in sent], sent[0].id == r.id, [c.id for c in sent[0].children] == [c.id for c in r.children]]`,
    [["GroupResult"], true, true]
  ],
  [
    "the graph of a chain has each step once",
    `
r = chain(add.s(1, 1), add.s(2), add.s(4))()
ended(r)
graph = r.parent.parent.build_graph()
answer = [len(graph), [[d.id for d in graph[node]] for node in graph if node.id == r.parent.id] == [[r.id]]]`,
    [3, true]
  ],
  [
    "iterdeps and as_list",
    `
r = chain(add.s(1, 1), add.s(2), add.s(4))()
ended(r)
first = r.parent.parent
answer = [[(p and p.id, n.id) for p, n in first.iterdeps()] == [(None, first.id), (first.id, r.parent.id), (r.parent.id, r.id)], r.as_list() == [r.id, r.parent.id, first.id]]`,
    [true, true]
  ],
  [
    "what a retry says while it waits",
    `
r = seen(lambda: retry.apply_async((5,), {"countdown": 0.3}), "RETRY")
answer = [r.state, type(r.result).__name__, "not yet" in r.traceback, r.ready(), result(let_go(r))]`,
    ["RETRY", "ExpectedException", true, false, 5]
  ],
  [
    "who sent it, and in which group",
    `
r = chain(identity.s(1), group(identity.s(), identity.s()))()
result(r)
metas = [app.backend.get_task_meta(c.id) for c in r.children]
answer = [[m["group_id"] == r.id, m["parent_id"] == r.parent.id] for m in metas]`,
    [
      [true, true],
      [true, true]
    ]
  ],
  [
    "the time it was done, in UTC, as Python reads it",
    `
from datetime import datetime, timedelta
r = add.delay(1, 1)
result(r)
answer = [type(r.date_done).__name__, abs(datetime.utcnow() - r.date_done.replace(tzinfo=None)) < timedelta(seconds=600)]`,
    ["datetime", true]
  ],
  [
    "kept for a day",
    `
r = add.delay(1, 1)
result(r)
answer = 86_000 < app.backend.client.ttl(app.backend.get_key_for_task(r.id)) <= 86_400`,
    true
  ],
  [
    // What is left is ours: who has been counted, so that a message that comes again fires nothing.
    "Celery's keys of a chord are gone when its body was sent, and what is left goes by itself",
    `
r = chord([add.s(1, 1), add.s(2, 2)], tsum.s())()
keys = lambda: [k.decode() for k in app.backend.client.keys(app.backend.get_key_for_group(r.parent.id, "*"))]
answer = [result(r), until(lambda: all(".apium" in k for k in keys())), all(0 < app.backend.client.ttl(k) <= 86_400 for k in keys())]`,
    [6, true, true]
  ],
  [
    "a meta has Celery's keys and no others",
    `
r = chain(add.s(1, 1), add.s(1))()
result(r)
meta = json.loads(app.backend.client.get(app.backend.get_key_for_task(r.id)))
answer = [sorted(meta), meta["status"], meta["result"], meta["traceback"], meta["children"], meta["parent_id"] == r.parent.id]`,
    [["children", "date_done", "parent_id", "result", "status", "task_id", "traceback"], "SUCCESS", 3, null, [], true]
  ],
  [
    "the meta of a failure",
    `
r = fail.delay("x")
raised(r)
meta = json.loads(app.backend.client.get(app.backend.get_key_for_task(r.id)))
answer = [sorted(meta), meta["status"], meta["result"]]`,
    [
      ["children", "date_done", "result", "status", "task_id", "traceback"],
      "FAILURE",
      { exc_type: "ExpectedException", exc_message: ["expected to fail x"], exc_module: "apium" }
    ]
  ]
]

export const results = { everywhere, stored }

/** With `result_extended`, on both sides. */
export const extended: { readonly stored: ReadonlyArray<Check> } = {
  stored: [
    [
      "a result says what was called, where and how",
      `
r = add.apply_async((1,), {"y": 2})
answer = [result(r), r.name, list(r.args), r.kwargs, r.worker.startswith("celery@"), r.retries, r.queue]`,
      [3, "canvas.add", [1], { y: 2 }, true, 0, "celery"]
    ],
    [
      "a failure says the same",
      `
r = fail.delay("x")
answer = [raised(r), r.name, list(r.args), r.kwargs, r.retries, r.queue]`,
      ["ExpectedException", "canvas.fail", ["x"], {}, 0, "celery"]
    ],
    [
      "the retries of one that was retried",
      `
r = retry.apply_async((5,), {"countdown": 0.01})
answer = [result(r), r.retries]`,
      [5, 3]
    ],
    [
      "a meta has Celery's keys and no others",
      `
r = add.delay(1, 1)
result(r)
answer = sorted(json.loads(app.backend.client.get(app.backend.get_key_for_task(r.id))))`,
      [
        "args",
        "children",
        "date_done",
        "kwargs",
        "name",
        "queue",
        "result",
        "retries",
        "status",
        "task_id",
        "traceback",
        "worker"
      ]
    ]
  ]
}
