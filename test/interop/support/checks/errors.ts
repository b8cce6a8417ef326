/** Failures in a canvas: who fails with it, and which errbacks are called, each once, with which id. */
import type { Check } from "../clients.ts"

/** What fails in each shape, and what the sender of the whole sees: in the header a ChordError, in the body the body's own. */
const shapes: ReadonlyArray<readonly [what: string, child: string]> = [
  ["a task", `fail.s()`],
  ["a chain that fails before its end", `chain(identity.si(42), fail.s(), identity.si(42))`],
  ["a chain that fails at its end", `chain(identity.si(42), fail.s())`],
  ["a chain that fails at its beginning", `chain(fail.s(), identity.si(42), identity.si(42))`],
  ["a group of which one fails", `group(identity.si(42), fail.s())`],
  ["a group of which many fail", `group(*(identity.si(42) for _ in range(4)), *(fail.s() for _ in range(6)))`],
  ["a chord whose header fails", `chord([identity.si(1), fail.s()], identity.si(2))`],
  ["a chord whose body fails", `chord([identity.si(1), identity.si(2)], fail.s())`],
  ["a chain that ends with a group of which one fails", `chain(identity.si(1), group(identity.si(2), fail.s()))`],
  ["a task that is replaced by one that fails", `fail_replaced.si()`],
  ["a task that is replaced by a chain that fails", `replace_with_chain_which_raises.si(1)`]
]

const inHeader = shapes.map(([what, child]): Check => [
  `${what}, in a header: the body fails, and its errback is called once with its id`,
  `
k, ran = key(), key()
c = chord((${child}, identity.si(7)), echo.si("body", key=ran))
c.link_error(errback.s(key=k))
r = c.delay()
answer = [own(r), r.state, calls(k, 1) == [[r.id]], calls(ran, 0)]`,
  ["ChordError", "FAILURE", true, []]
])

const inChain = shapes.map(([what, child]): Check => [
  `${what}, in a chain: what follows fails, and is not run`,
  `
ran = key()
r = chain(identity.si(1), ${child}, echo.si("next", key=ran), identity.s()).delay()
answer = [own(r), r.state, calls(ran, 0)]`,
  [
    what.startsWith("a group") ||
    what.startsWith("a chain that ends with a group") ||
    what.startsWith("a chord whose header")
      ? "ChordError"
      : "ExpectedException",
    "FAILURE",
    []
  ]
])

const inBody = shapes.slice(0, 4).map(([what, child]): Check => [
  `${what}, as a body`,
  `
k = key()
c = chord((identity.si(42),), ${child})
c.link_error(errback.s(key=k))
r = c.delay()
answer = [own(r), len(calls(k, 1))]`,
  ["ExpectedException", 1]
])

const others: ReadonlyArray<Check> = [
  [
    "a body that is a group: each member that fails calls the errback with its own id",
    `
k = key()
c = chord((identity.si(42),), group(*(identity.si(42) for _ in range(4)), *(fail.s() for _ in range(6))))
c.link_error(errback.s(key=k))
r = c.delay()
answer = [raised(r), sorted(calls(k, 6)) == sorted([m.id] for m in r.children[4:])]`,
    ["ExpectedException", true]
  ],
  [
    "a header fails before a body of each kind, and the body with it",
    `
bodies = (add.si(9, 7), chain(add.si(9, 7), add.si(5, 7)), chord(group(add.si(1, 1), add.si(2, 2)), add.si(10, 10)))
answer = [own(chain(group(add.si(15, 7), fail.si()), body).apply_async()) for body in bodies]`,
    ["ChordError", "ChordError", "ChordError"]
  ],
  [
    "a header fails before a body that is a group: each of its members fails",
    `
r = chain(group(add.si(15, 7), fail.si()), group(add.si(9, 7), add.si(5, 7))).apply_async()
answer = [own(c) for c in r.children]`,
    ["ChordError", "ChordError"]
  ],
  [
    "a header that fails in a chain in a chain",
    `
r = chain(chain(group(add.si(1, 1), fail.si()), identity.s()), identity.s()).apply_async()
answer = own(r)`,
    "ChordError"
  ],
  [
    "a task before a header fails: the whole chord fails with its failure",
    `
ran = key()
r = (fail.si() | group(echo.si("part", key=ran), echo.si("part", key=ran)) | echo.si("body", key=ran)).delay()
answer = [own(r), own(r.parent.children[0]), calls(ran, 0)]`,
    ["ExpectedException", "ExpectedException", []]
  ],
  [
    "a task before a group fails: so does every member",
    `
r = (add.s(1, 1) | fail.s() | group(add.s(1), add.s(1))).delay()
answer = [own(c) for c in r.children]`,
    ["ExpectedException", "ExpectedException"]
  ],
  [
    "a member of the last group fails",
    `answer = raised((add.s(1, 1) | add.s(1) | group(add.s(1), fail.s())).delay())`,
    "ExpectedException"
  ],
  [
    "a ChordError says which part failed, and how",
    `
r = chord([identity.si(1), fail.si("so")], identity.s())()
answer = [own(r), r.result.args == ("Dependency %s raised ExpectedException('expected to fail so')" % r.parent.children[1].id,)]`,
    ["ChordError", true]
  ],
  [
    "the other parts of a header that failed keep their results, in Celery's key of the group",
    `
r = chord([add.s(1, 2), add.s(3, 4), sleeping.si(0.1), fail.s()], identity.s())()
own(r)
group_id = app.backend.get_task_meta(r.parent.children[3].id)["group_id"]
answer = [group_id == r.parent.id, [c.state for c in r.parent.children], [result(c) for c in r.parent.children[:2]]]`,
    [true, ["SUCCESS", "SUCCESS", "SUCCESS", "FAILURE"], [3, 7]]
  ],
  [
    // The outer chord of Celery is never told: its body waits for ever.
    "a chord in a header fails: the outer chord fails, its body is not run, its errback is called once",
    `
k, ran = key(), key()
inner = chord([identity.si("t1"), fail.si()], identity.si("t2"))
outer = chord(group([identity.si("t3"), inner]), echo.si("body", key=ran))
outer.link_error(errback.s(key=k))
r = outer.delay()
answer = [own(r), calls(k, 1) == [[r.id]], calls(ran, 0)]`,
    ["ChordError", true, []]
  ],
  [
    "chords three deep: the failure of the innermost reaches the outermost",
    `
k = key()
c = chord([chord([chord([fail.si(), identity.si(1)], tsum.s()), identity.si(1)], tsum.s()), identity.si(1)], tsum.s())
c.link_error(errback.s(key=k))
r = c.delay()
answer = [own(r), calls(k, 1) == [[r.id]]]`,
    ["ChordError", true]
  ],
  [
    "errbacks of parts are called with the ids of those that failed, that of the body once",
    `
answer = []
for header in ((fail,), (fail, fail, fail), (fail, identity), (fail, identity, fail, identity, fail)):
    k, body_key, ran = key(), key(), key()
    parts = [task.si(1) for task in header]
    for part in parts:
        part.link_error(errback.s(key=k))
    c = chord(parts, echo.si("body", key=ran))
    c.body.link_error(errback.s(key=body_key))
    r = c.delay()
    failed = [[p.id] for task, p in zip(header, r.parent.children) if task is fail]
    answer.append([own(r), sorted(calls(k, len(failed))) == sorted(failed), calls(body_key, 1) == [[r.id]], calls(ran, 0)])`,
    Array.from({ length: 4 }, () => ["ChordError", true, true, []])
  ],
  [
    "an errback of the whole is the body's, however many parts fail",
    `
answer = []
for header in ((fail,), (fail, fail, fail), (fail, identity, identity), (fail, identity, fail, identity)):
    k = key()
    c = chord([task.si(1) for task in header], identity.s())
    c.link_error(errback.s(key=k))
    r = c.delay()
    answer.append([own(r), calls(k, 1) == [[r.id]]])`,
    Array.from({ length: 4 }, () => ["ChordError", true])
  ],
  [
    "an errback of a group that became a chord",
    `
k = key()
c = chain(identity.si(42), group(fail.si(), fail.si()), identity.s()).on_error(errback.s(key=k))
r = c.apply_async()
answer = [own(r), [r.id] in calls(k, 1)]`,
    ["ChordError", true]
  ],
  [
    "an errback is a chain",
    `
k = key()
r = fail.apply_async(link_error=(errback.s(key=k) | echo.s(key=k)))
answer = [own(r), calls(k, 2) == [[r.id], r.id]]`,
    ["ExpectedException", true]
  ],
  [
    "several errbacks, of which one takes no id, and one fails",
    `
k = key()
r = fail.apply_async(link_error=[errback.s(key=k), errback.si("mine", key=k), fail.s(), errback.s(1, key=k)])
answer = [own(r), sorted(calls(k, 3), key=str) == sorted([[r.id], ["mine"], [r.id, 1]], key=str)]`,
    ["ExpectedException", true]
  ],
  [
    "an errback is called by the last try alone",
    `
k = key()
r = retry.apply_async(kwargs={"countdown": 0.01}, link_error=errback.s(key=k))
answer = [own(r), calls(k, 1) == [[r.id]]]`,
    ["ExpectedException", true]
  ],
  [
    "a callback is called by the last try alone",
    `
k = key()
r = retry.apply_async((5,), {"countdown": 0.01}, link=echo.s(key=k))
answer = [result(r), calls(k, 1)]`,
    [5, [5]]
  ],
  [
    "callbacks of what failed are not called, nor errbacks of what did not",
    `
k = key()
good = add.apply_async((1, 1), link=echo.si("good", key=k), link_error=echo.si("never", key=k))
bad = fail.apply_async(link=echo.si("never", key=k), link_error=echo.si("bad", key=k))
answer = [result(good), own(bad), sorted(calls(k, 2))]`,
    [2, "ExpectedException", ["bad", "good"]]
  ],
  [
    "an errback of arguments that do not bind",
    `
k = key()
r = s("add", 1).apply_async(link_error=errback.s(key=k))
answer = [own(r), calls(k, 1) == [[r.id]]]`,
    ["TypeError", true]
  ],
  [
    "an errback of a task that nobody knows",
    `
k = key()
r = app.send_task("canvas.nothing", link_error=errback.s(key=k))
answer = [own(r), calls(k, 1) == [[r.id]]]`,
    ["NotRegistered", true]
  ],
  [
    "an unknown task as a part of a chord",
    `
r = chord([app.signature("canvas.nothing"), identity.si(1)], identity.s())()
answer = [own(r), own(r.parent.children[0])]`,
    ["ChordError", "NotRegistered"]
  ],
  [
    "a part that ran out of time",
    `
r = chord([sleeping.si(20).set(soft_time_limit=0.1), sleeping.si(20).set(time_limit=0.1), identity.si(1)], identity.s())()
answer = [own(r), sorted(own(c) for c in r.parent.children)]`,
    ["ChordError", ["SoftTimeLimitExceeded", "TimeLimitExceeded", "int"]]
  ],
  [
    "a part that expired",
    `
r = chord([identity.si(2), identity.si(3).set(countdown=0.3, expires=0.1)], identity.s())()
answer = [own(r), own(r.parent.children[1])]`,
    ["ChordError", "TaskRevokedError"]
  ],
  [
    "a body that nobody knows",
    `
r = chord([identity.si(1), identity.si(2)], app.signature("canvas.nothing"))()
answer = own(r)`,
    "NotRegistered"
  ]
]

export const errors = { stored: [...inHeader, ...inChain, ...inBody, ...others] }
