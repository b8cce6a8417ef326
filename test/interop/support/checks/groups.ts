/** Groups: their results in order, however they are nested, and what is told of them. */
import type { Check } from "../clients.ts"

const everywhere: ReadonlyArray<Check> = [
  ["two tasks", `answer = result(group(identity.s(42), identity.s(43)).delay())`, [42, 43]],
  ["a group of one", `answer = result(group(identity.s(42))())`, [42]],
  ["arguments of the whole go to each", `answer = result(group(add.s(1), add.s(2)).apply_async(args=(10,)))`, [11, 12]],
  [
    "keyword arguments of the whole go to each",
    `answer = result(group(add.s(1, 1), add.s(2, 2)).apply_async(kwargs={"z": 10}))`,
    [12, 14]
  ],
  // Python's client makes one list of them before it sends them.
  [
    "groups in groups are one list",
    `answer = result(group(add.si(1, 10), group(add.si(1, 100), group(add.si(1, 1000), add.si(1, 2000))))())`,
    [11, 101, 1001, 2001]
  ],
  ["a group of groups alone", `answer = result(group(group(identity.s(42), identity.s(42))).delay())`, [42, 42]],
  ["500 tasks in order", `answer = result(group(identity.s(i) for i in range(500)).delay()) == list(range(500))`, true],
  ["chains in a group", `answer = result(group(add.s(1, 1) | add.s(1), add.s(5, 5) | add.s(1) | add.s(1))())`, [3, 12]],
  [
    "priorities of each its own",
    `answer = result(group(return_priority.signature(priority=i) for i in range(10))())`,
    Array.from({ length: 10 }, (_, i) => `Priority: ${i}`)
  ],
  [
    "a group with options for all",
    `answer = [r["priority"] for r in result(group(request.s(), request.s()).set(priority=7)())]`,
    [7, 7]
  ],
  // Its place Python tells the parts of a chord alone.
  [
    "ids of a member",
    `
r = group(request.s() for _ in range(3))()
answer = [[m["group"] == r.id, m["group_index"], m["id"] == c.id, m["root_id"] == c.id, m["parent_id"]] for m, c in zip(result(r), r.children)]`,
    [
      [true, null, true, true, null],
      [true, null, true, true, null],
      [true, null, true, true, null]
    ]
  ],
  [
    "members that fail are seen among those that do not",
    `
r = group(add.s(1, 2), fail.s(), add.s(3, 4))()
answer = [r.join(propagate=False, timeout=20, interval=0.01)[::2], raised(r.children[1]), r.failed(), r.successful(), r.completed_count()]`,
    [[3, 7], "ExpectedException", true, false, 2]
  ],
  [
    "the first failure is the group's",
    `
r = group(identity.s(1), fail.s("second"), identity.s(3))()
answer = [raised(r), r.failed()]`,
    ["ExpectedException", true]
  ]
]

const stored: ReadonlyArray<Check> = [
  [
    "a group of none",
    `
r = group([]).apply_async()
GroupResult.save(r, backend=app.backend)
answer = GroupResult.restore(r.id, app=app).results`,
    []
  ],
  // Celery's client takes that group for the whole, and would wait in vain for it.
  [
    "a chain that ends with a group, alone in one",
    `answer = [result(c) for c in group(add.s(1, 2) | group(add.s(1), add.s(2)))().children]`,
    [4, 5]
  ],
  [
    "beside tasks, a chain that ends with a group",
    `answer = result(group(identity.si(1), identity.si(2), chain(identity.si(5), group([identity.si(3), identity.si(4)])))())`,
    [1, 2, [3, 4]]
  ],
  [
    "ready, when all have ended, well or not",
    `
r = group([add.s(1, 2), raise_error.s()])()
answer = [ready(r), r.children[0].state, r.children[1].state]`,
    [true, "SUCCESS", "FAILURE"]
  ],
  ["a chord in a group", `answer = result(group((chord((identity.si(42),), identity.s()),)).delay())`, [[42]]],
  [
    "a chord of a chain in a group",
    `answer = result(group((chord((chain((identity.si(1337),) * 42),), identity.s()),)).delay())`,
    [[1337]]
  ],
  [
    "a chord of a group in a group",
    `answer = result(group((chord((group((identity.si(1337),) * 42),), identity.s()),)).delay()) == [[1337] * 42]`,
    true
  ],
  [
    "a chord of a chord in a group",
    `answer = result(group((chord((chord((identity.si(1337),) * 42, identity.si(31337)),), identity.s()),)).delay())`,
    [[31337]]
  ],
  [
    "a chord of all kinds in a group",
    `
header = (identity.si(42), chain((identity.si(42),) * 42), group((identity.si(42),) * 42), chord((identity.si(42),) * 42, identity.si(1337)))
answer = result(group((chord(header, identity.s()),)).delay()) == [[42, 42] + [42] * 42 + [1337]]`,
    true
  ],
  // 5.2.6 waits in vain for the group there, and not for its member (its issue 6734).
  [
    "a chord whose body is a chain in a group",
    `answer = result(group((chord(identity.si(42), chain((identity.s(),))),)).delay().children[0])`,
    [42]
  ],
  [
    "two chords side by side",
    `answer = result(group(*(chord(group(add.s(1, 2), add.s(3, 4)), tsum.s()) for _ in range(2))).delay())`,
    [10, 10]
  ],
  [
    "a link is called once for the whole, by its first",
    `
k = key()
g = group(identity.si(42), identity.si(1337))
g.link(echo.si("done", key=k))
answer = [result(g.delay()), calls(k, 1)]`,
    [[42, 1337], ["done"]]
  ],
  [
    "an errback of the whole is called, whichever fails",
    `
seen = []
for members in ((fail.s(), identity.si(42)), (identity.si(42), fail.s())):
    k = key()
    g = group(*members)
    g.link_error(errback.s(key=k))
    r = g.delay()
    failed = r.children[0 if members[0].task == fail.name else 1]
    seen.append([raised(r), calls(k, 1) == [[failed.id]]])
answer = seen`,
    [
      ["ExpectedException", true],
      ["ExpectedException", true]
    ]
  ],
  [
    "an errback is called once for each that fails",
    `
k = key()
g = group(*(identity.si(42) for _ in range(24)), *(fail.s() for _ in range(42)))
g.link_error(errback.s(key=k))
r = g.delay()
answer = [raised(r), differ(calls(k, 42), [[c.id] for c in r.children[24:]])]`,
    ["ExpectedException", {}]
  ],
  [
    "links of each of 42",
    `
k = key()
one = identity.si(1337)
one.link(echo.s(key=k))
r = group(one.clone() for _ in range(42))()
answer = [result(r) == [1337] * 42, calls(k, 42) == [1337] * 42]`,
    [true, true]
  ],
  [
    "errbacks of each of 42",
    `
k = key()
one = fail.si()
one.link_error(echo.si("failed", key=k))
r = group(one.clone() for _ in range(42))()
answer = [raised(r), len(calls(k, 42))]`,
    ["ExpectedException", 42]
  ],
  [
    "a link of the whole, and a member that is replaced",
    `
k = key()
g = group(add_replaced.si(42, 1337), identity.si(31337))
g.link(echo.si("done", key=k))
answer = [result(g()), calls(k, 1)]`,
    [[1379, 31337], ["done"]]
  ],
  [
    "an errback of the whole, and a member that is replaced",
    `
k = key()
g = group(add_replaced.si(42, 1337), fail.s())
g.link_error(errback.s(key=k))
r = g()
answer = [raised(r), calls(k, 1) == [[r.children[1].id]]]`,
    ["ExpectedException", true]
  ],
  [
    "a link of a member that is replaced",
    `
k = key()
one = add_replaced.si(42, 1337)
one.link(echo.s(key=k))
answer = [result(group(one, identity.si(31337))()), calls(k, 1)]`,
    [[1379, 31337], [1379]]
  ],
  [
    "an errback of a member that is replaced by one that fails",
    `
k = key()
one = fail_replaced.si()
one.link_error(errback.s(key=k))
r = group(one, identity.si(42))()
answer = [raised(r), calls(k, 1) == [[r.children[0].id]]]`,
    ["ExpectedException", true]
  ],
  [
    "members that are replaced by chains: the first, one between, the last",
    `
chained = [group(replace_with_chain.si(42), identity.s(1337)), group(identity.s(42), replace_with_chain.s(1337), identity.s(31337)), group(identity.s(42), replace_with_chain.s(1337))]
answer = [result(g.delay()) for g in chained]`,
    [
      [42, 1337],
      [42, 1337, 31337],
      [42, 1337]
    ]
  ],
  [
    "members that are replaced by groups are lists, in order",
    `answer = result(group([add_to_all.s([2, 1], 1), add_to_all.s([4, 3], 1)] * 10).delay()) == [[3, 2], [5, 4]] * 10`,
    true
  ],
  ["a task that is replaced by a chord", `answer = result(replace_with_chord.delay([1, 2, 3]))`, 6],
  [
    "members that are replaced by chords",
    `answer = result(group(replace_with_chord.s([1, 2]), identity.s(9), replace_with_chord.s([3, 4, 5]))())`,
    [3, 9, 12]
  ],
  [
    "root and parent of members behind two steps",
    `
r = (ids.si(1) | ids.si(2) | group(ids.si(i) for i in range(2, 50)))()
answer = result(r) == [[r.parent.parent.id, r.parent.id, i] for i in range(2, 50)]`,
    true
  ],
  [
    "the group of a member is that of its chain's last step alone",
    `
r = group(request.s() | return_exception.s(), request.s())()
first, second = result(r)
answer = [first[0]["group"], second["group"] == r.id]`,
    [null, true]
  ],
  ["map, with keyword arguments of its task", `answer = result(xmap(add.s(y=1), [1, 2, 3]).delay())`, [2, 3, 4]],
  [
    "starmap, with keyword arguments of its task",
    `answer = result(xstarmap(add.s(z=10), [(1, 2), (3, 4)]).delay())`,
    [13, 17]
  ],
  [
    "chunks, with keyword arguments of its task",
    `answer = result(chunks(add.s(z=10), zip(range(5), range(5)), 2).group()())`,
    [[10, 12], [14, 16], [18]]
  ],
  [
    "chunks as one task that sends the group",
    `answer = result(chunks(add.s(), [(i, i) for i in range(5)], 2).apply_async())`,
    [[0, 2], [4, 6], [8]]
  ],
  [
    "map ends with the first that fails",
    `
r = xmap(fail.s(), [1, 2]).delay()
answer = [raised(r), r.state]`,
    ["ExpectedException", "FAILURE"]
  ],
  ["a map in a chain", `answer = result(chain(xmap(identity.s(), [1, 2, 3]), tsum.s())())`, 6],
  [
    "chunks, and what follows all of them",
    `answer = result(chord(chunks(add.s(), [(i, i) for i in range(10)], 3).group(), xsum.s())())`,
    90
  ]
]

export const groups = { everywhere, stored }
