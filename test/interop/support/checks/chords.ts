/** Chords: how a body gets the results of a header, however both are nested, and however a chord came to be one. */
import type { Check } from "../clients.ts"

const values: ReadonlyArray<Check> = [
  [
    "results in the order of the header",
    `answer = result(chord((identity.si(i) for i in range(10)), identity.s())())`,
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
  ],
  ["a header of one task that is no list", `answer = result(chord(identity.si(42), identity.s())())`, [42]],
  [
    "a header of one",
    `answer = [result(c()) for c in (chord([add.s(2, 5)], body=add_to_all.s(9)), group([add.s(2, 5)]) | add_to_all.s(9))]`,
    [[16], [16]]
  ],
  [
    "a header of none",
    `answer = [result(c()) for c in (chord([], body=add_to_all.s(9)), group([]) | add_to_all.s(9))]`,
    [[], []]
  ],
  ["a header of 500", `answer = result((group(identity.si(i) for i in range(500)) | tsum.s()).delay())`, 124_750],
  [
    "a task, and a header of 200 behind it",
    `answer = result((identity.si(1) | group(identity.s() for _ in range(200)) | tsum.s()).delay())`,
    200
  ],
  [
    "a header that is a generator",
    `
k = key()
answer = [result(chord((write_to_file_and_return_int.s(k, i) for i in range(5)), tsum.s())()), sorted(calls(k, 5))]`,
    [10, [0, 1, 2, 3, 4]]
  ],
  [
    "a body that is replaced by a group",
    `answer = result(chord([add.s(1, 1), add.s(2, 2)], add_to_all.s(10))())`,
    [12, 14]
  ],
  [
    "a task, a group, and a body that is replaced by a group",
    `answer = result((add.s(2, 2) | group(add.s(i) for i in range(4)) | add_to_all.s(8))())`,
    [12, 13, 14, 15]
  ],
  [
    "keyword arguments of the whole go to its first step",
    `answer = result((add.s(2, 2) | group(add.s(i) for i in range(4)) | add_to_all.s(8)).apply_async(kwargs={"z": 1}))`,
    [13, 14, 15, 16]
  ],
  [
    "arguments of the whole go to each part",
    `answer = result((group(add.s(i) for i in range(4)) | add_to_all.s(8)).apply_async(args=(4,)))`,
    [12, 13, 14, 15]
  ],
  [
    "a body that is a chain",
    `answer = result(chord([add.s(1, 1), add.s(2, 2)], tsum.s() | add.s(1) | add.s(10))())`,
    17
  ],
  [
    "a body that is a group",
    `answer = result(chord([add.s(1, 1), add.s(2, 2)], group(tsum.s(), identity.s()))())`,
    [6, [2, 4]]
  ],
  [
    "a body that is a chord",
    `answer = result(chord([add.s(1, 1), add.s(2, 2)], chord([tsum.s(), xsum.s()], tsum.s()))())`,
    12
  ],
  [
    "a body that is a chain which ends with a group",
    `answer = result(chord([add.s(1, 1), add.s(2, 2)], chain(tsum.s(), group(add.s(1), add.s(2))))())`,
    [7, 8]
  ],
  // 5.2.6 numbers the members of a group in a header from its end.
  [
    "a group in a header is a part of the list",
    `answer = result(chord((group(identity.s(42), identity.s(43)),), identity.s())())`,
    [43, 42]
  ],
  [
    "a chain in a header that ends with a group is a list",
    `answer = result(chord(group(chain(identity.s(42), group(identity.s(), identity.s()))), identity.s())())`,
    [[42, 42]]
  ],
  [
    "chains of all lengths in a header",
    `answer = result(chord([add.s(1, 1), add.s(1, 1) | add.s(1), add.s(1, 1) | add.s(1) | add.s(1)], identity.s())())`,
    [2, 3, 4]
  ],
  [
    "a chain in a header that ends with a chord",
    `answer = result(chord([chain(add.si(1, 2), chord([add.si(1, 2), add.si(1, 2)], tsum.s())), identity.si(1)], identity.s())())`,
    [6, 1]
  ],
  [
    "chords three deep",
    `answer = result(chord([chord([chord([add.s(1, 1), add.s(2, 2)], tsum.s()), identity.si(1)], tsum.s()), identity.si(10)], tsum.s())())`,
    17
  ],
  [
    "chords four deep, each with what it adds",
    `
c = group([group([group([group([add.s(1, 2)]) | add.s([3])]) | add.s([4])]) | add.s([5])]) | add.s([6])
answer = result(c())`,
    [[[[3, 3], 4], 5], 6]
  ],
  [
    "chords in a header, written both ways",
    `
written = chord([chord([add.s(1, 2), add.s(3, 4)], add.s([5])), chord([add.s(6, 7)], add.s([10]))], add_to_all.s(["A"]))
upgraded = group([group([add.s(1, 2), add.s(3, 4)]) | add.s([5]), group([add.s(6, 7)]) | add.s([10])]) | add_to_all.s(["A"])
answer = [result(c()) for c in (written, upgraded)]`,
    [
      [
        [3, 7, 5, "A"],
        [13, 10, "A"]
      ],
      [
        [3, 7, 5, "A"],
        [13, 10, "A"]
      ]
    ]
  ],
  [
    "chords in chains in a chord",
    `
part = lambda: chain(add.si(1, 2), chord(group([add.si(1, 2), add.si(1, 2)]), add.si(1, 2)))
answer = result(chord(group([part(), part()]), add.si(2, 2)).delay())`,
    4
  ],
  [
    "a chord in a chain in a chord in a chain",
    `
inner = chain(identity.si(3), chord([identity.si(4), identity.si(5)], identity.si(6)))
answer = result(chain(identity.si(1), chord([identity.si(2), inner], identity.si(7))).delay())`,
    7
  ],
  [
    "a chain of a group in a group",
    `
c = chain(add.si(1, 0), group(add.si(1, 100), chain(add.si(1, 200), group(add.si(1, 1000), add.si(1, 2000)))), add.si(1, 10))
answer = result(c())`,
    11
  ],
  [
    "two groups and a task behind a task",
    `answer = result((add.si(1, 0) | group(add.s(1), add.s(1)) | group(tsum.s(), tsum.s()) | tsum.s())())`,
    8
  ],
  [
    "groups and tasks in turn",
    `answer = result((add.si(1, 0) | group(add.s(1), add.s(1)) | tsum.s() | add.s(1) | group(add.s(1), add.s(1)) | tsum.s())())`,
    12
  ],
  [
    "the same, whose last is written as a chord",
    `answer = result((add.si(1, 0) | group(add.s(1), add.s(1)) | tsum.s() | add.s(1) | chord(group(add.s(1), add.s(1)), tsum.s()))())`,
    12
  ],
  [
    "two chains of three chords each",
    `
one = chain(chord(group(add.si(1, 0), add.si(1, 0)), tsum.s()), chord(group(add.s(1), add.s(1)), tsum.s()), chord(group(add.s(0), add.s(0)), tsum.s()))
two = chain(chord(group(add.s(10), add.s(10)), tsum.s()), chord(group(add.s(0), add.s(0)), tsum.s()), chord(group(add.s(1), add.s(1)), tsum.s()))
answer = result((one | two)())`,
    178
  ],
  // Each part of 5.2.6's carries all that follows five times as often as the one before it: of nine chords that is 45 MB and more.
  [
    "five chords",
    `
three = lambda *args: chord(group(*(add.s(*args) for _ in range(3))), tsum.s())
answer = result(chain(chord(group(*(add.si(1, 0) for _ in range(3))), tsum.s()), *(three(1) for _ in range(3)), three(0))())`,
    360
  ],
  [
    "a chord, tasks, and a group at the end",
    `
start = lambda: group(add.s(1, 1), add.s(1, 1)) | tsum.s()
end = lambda: group(add.s(1), add.s(1))
answer = [result((start() | add.s(1) | end())()), result((start() | add.s(1) | add.s(1) | end())()), result((start() | add.s(1) | add.s(1) | add.s(1) | end())())]`,
    [
      [6, 6],
      [7, 7],
      [8, 8]
    ]
  ],
  [
    "a task, a chord, a task and a group",
    `answer = result((add.si(1, 0) | group(add.s(1), add.s(1)) | tsum.s() | add.s(1) | group(add.s(1), add.s(1)))())`,
    [6, 6]
  ],
  [
    "a group between two tasks",
    `answer = result(chain(identity.s(42), group(identity.s(), identity.s()), identity.s()).delay())`,
    [42, 42]
  ],
  ["a group at the end", `answer = result(chain(identity.s(42), group(identity.s(), identity.s())).delay())`, [42, 42]],
  [
    "parts that are replaced, in chords of chords",
    `
c = chord([
    chord([add.s(1, 2), add_replaced.s(3, 4)], add_to_all.s(5)) | tsum.s(),
    chord([add_replaced.s(6, 7), add.s(0, 0)], add_to_all.s(8)) | tsum.s(),
], add_to_all.s(9))
answer = result(c())`,
    [29, 38]
  ],
  [
    "parts that are replaced by chains: all, the first, one between, the last",
    `
headers = (replace_with_chain.si(42), (replace_with_chain.si(42), identity.s(1337)), (identity.s(42), replace_with_chain.s(1337), identity.s(31337)), (identity.s(42), replace_with_chain.s(1337)))
answer = [result(chord(header, identity.s()).delay()) for header in headers]`,
    [[42], [42, 1337], [42, 1337, 31_337], [42, 1337]]
  ],
  [
    "parts that are replaced by chords and groups",
    `answer = result(chord([replace_with_chord.s([1, 2]), add_to_all.s([1, 2], 1), identity.si(9)], identity.s())())`,
    [3, [2, 3], 9]
  ],
  [
    "a body that is replaced by a chain, and its steps: the first, one between, the last",
    `
bodies = (replace_with_chain.s(), chain(replace_with_chain.s(), identity.s()), chain(identity.s(), replace_with_chain.s(), identity.s()), chain(identity.s(), replace_with_chain.s()))
answer = [result(chord(identity.s(42), body).delay()) for body in bodies]`,
    [[42], [42], [42], [42]]
  ],
  [
    "a part that is retried",
    `answer = result(chord([retry_once.si(), retry.si(5), identity.si(1)], identity.s())())`,
    [1, 5, 1]
  ],
  [
    "parts with countdowns",
    `answer = result(chord([add.s(1, 1).set(countdown=0.2), add.s(2, 2)], identity.s())())`,
    [2, 4]
  ],
  [
    "the whole with a countdown",
    `
began = time.time()
answer = [result((group(add.s(1, 2), add.s(3, 4)) | tsum.s()).apply_async(countdown=0.3)), time.time() - began > 0.3]`,
    [10, true]
  ],
  [
    "an eta, and an errback that nobody needs",
    `
from datetime import datetime, timedelta, timezone
k = key()
c = chain(group(add.s(1, 2), add.s(3, 4)), tsum.s()).on_error(echo.si("error", key=k))
answer = [result(c.apply_async(eta=datetime.now(timezone.utc) + timedelta(seconds=0.3))), calls(k, 0)]`,
    [10, []]
  ],
  [
    "parts that are added while it runs",
    `answer = sorted(result((group([add_to_all_to_chord.s([1, 2, 3], 4)]) | identity.s())()))`,
    [0, 5, 6, 7]
  ],
  [
    "a chord that is added while it runs",
    `answer = sorted(result((group([add_chord_to_chord.s([1, 2, 3], 4)]) | identity.s())()))`,
    [0, 18]
  ],
  [
    "parts that are added beside others",
    `answer = sorted(result(chord([add_to_all_to_chord.s([1], 4), identity.si(100)], identity.s())()))`,
    [0, 5, 100]
  ],
  ["a task that sends a chord", `answer = result(AsyncResult(result(chord_add.delay(4, 8)), app=app))`, [8, 8]],
  [
    "parts that store no result still count",
    `
r = chord([add.s(1, 1).set(ignore_result=True), add.s(2, 2)], identity.s())()
answer = [result(r), r.parent.children[0].state]`,
    [[2, 4], "PENDING"]
  ],
  [
    "100 chords at once, each once",
    `
k = key()
rs = [chord([add.s(i, 1), add.s(i, 2)], echo.s(key=k))() for i in range(100)]
answer = [all(result(r) == [i + 1, i + 2] for i, r in enumerate(rs)), len(calls(k, 100))]`,
    [true, 100]
  ]
]

export const chords = { stored: values }
