/** Chains: what follows what, what is told of it, and what takes the place of a step. */
import type { Check } from "../clients.ts"

/** Each of them ends with nothing but what its last step gives. */
const values: ReadonlyArray<Check> = [
  ["three steps", `answer = result((add.s(4, 4) | add.s(8) | add.s(16))())`, 32],
  ["one step", `answer = result(chain(add.s(3, 4))())`, 7],
  ["a chain of a chain of one step", `answer = result(chain([chain(identity.s(42))]).apply_async())`, 42],
  [
    "a chain in a chain",
    `answer = result(chain(add.s(1, 1), chain(add.s(2), chain(add.s(3), add.s(4))), add.s(5))())`,
    16
  ],
  ["50 steps", `answer = result(chain([add.s(0, 0)] + [add.s(1)] * 49)())`, 49],
  [
    "arguments of the whole go to its first step",
    `answer = result(chain(identity.s(), add.s(2)).apply_async(args=(1,)))`,
    3
  ],
  ["steps with keyword arguments", `answer = result(chain(add.s(x=1, y=2), add.s(3, z=10))())`, 16],
  ["a step that takes no result", `answer = result(chain(add.s(1, 1), add.si(5, 6), add.s(1))())`, 12],
  [
    "a step that waits for a countdown",
    `answer = result(chain(add.s(1, 1), add.s(2).set(countdown=0.2), add.s(3))())`,
    7
  ],
  ["a step that is retried", `answer = result(chain(identity.s(1), retry_once.s(), add.s(10))())`, 11],
  [
    "a step whose result nobody stores still passes it on",
    `
r = chain(add.s(1, 1), add.s(1).set(ignore_result=True), add.s(10))()
answer = [result(r), r.parent.state]`,
    [13, "PENDING"]
  ],
  [
    "texts and lists pass unchanged",
    `answer = result(chain(identity.s("Hello "), add.s("wörld"), identity.s())())`,
    "Hello wörld"
  ],
  [
    "null passes as well",
    `answer = result(chain(identity.s(None), identity.s(), return_exception.s())())`,
    [null, true]
  ],
  [
    "priorities of each step its own",
    `answer = [result(r()) for r in (chain(return_priority.signature(priority=3)), return_priority.signature(priority=3) | return_priority.si().set(priority=5))]`,
    ["Priority: 3", "Priority: 5"]
  ],
  [
    "a chain that ends with a group, which its steps pass arguments to",
    `answer = result((add.s(5, 6) | group((add.s(1) | add.s(2), add.s(3))))())`,
    [14, 14]
  ],
  [
    "a step that replaces itself, in a chain in a chain, and a group behind",
    `answer = result((add.s(2, 2) | (add.s(4) | add_replaced.s(8) | add.s(16) | add.s(32)) | group(add.s(i) for i in range(4)))())`,
    [64, 65, 66, 67]
  ],
  ["a task that is replaced by a chain", `answer = result(replace_with_chain.si(42).delay())`, 42],
  [
    "the first step is replaced by a chain",
    `answer = result(chain(replace_with_chain.si(42), identity.s()).delay())`,
    42
  ],
  [
    "a step between is replaced by a chain",
    `answer = result(chain(identity.s(42), replace_with_chain.s(), identity.s()).delay())`,
    42
  ],
  [
    "the last step is replaced by a chain",
    `answer = result(chain(identity.s(42), replace_with_chain.s()).delay())`,
    42
  ],
  [
    "every step is replaced",
    `answer = result(chain(add_replaced.s(1, 1), add_replaced.s(1), replace_with_chain.s(), add_replaced.s(1))())`,
    4
  ],
  ["a step that takes no result is replaced", `answer = result(chain(add.s(1, 1), replace_with_me.si())())`, true],
  [
    // `ImproperlyConfigured` in Celery, of the same words.
    "a task is not replaced by a chain of none",
    `answer = failure(chain(identity.s(1), replace_with_empty_chain.s()).delay())[1][0].split(": ")[-1]`,
    "a task cannot be replaced by an empty chain'"
  ]
]

const told: ReadonlyArray<Check> = [
  ["a task that sends a chain", `answer = result(AsyncResult(result(chain_add.delay(4, 8)), app=app))`, 16],
  [
    "tasks that replace themselves by chains of tasks that do",
    `
k = key()
result(second_order_replace1.delay(k))
answer = calls(k, 5)`,
    ["In A", "In B", "In/Out C", "Out B", "Out A"]
  ],
  [
    "the same, and a step behind",
    `
k = key()
answer = [result((second_order_replace1.si(k) | add.si(4, 2))()), calls(k, 5)]`,
    [6, ["In A", "In B", "In/Out C", "Out B", "Out A"]]
  ],
  [
    "links of what a step is replaced by",
    `
k = key()
r = chain(identity.s("Hello "), replace_with_chain.s(key=k, text="inner"), add.s("world")).delay()
answer = [result(r), calls(k, 1)]`,
    ["Hello world", ["inner"]]
  ],
  [
    "errbacks of what a step is replaced by",
    `
k = key()
r = chain(identity.s("Hello "), replace_with_chain_which_raises.s(key=k, text="inner"), add.s("never")).delay()
answer = [raised(r), calls(k, 1)]`,
    ["ExpectedException", ["inner"]]
  ],
  [
    "a link of the whole, and one of what a step is replaced by",
    `
k = key()
c = chain(identity.s("Hello "), replace_with_chain.s(key=k, text="inner"), add.s("world"))
c.link(echo.s(key=k))
answer = [result(c.delay()), sorted(calls(k, 2))]`,
    ["Hello world", ["Hello world", "inner"]]
  ],
  [
    "an errback of the whole, and one of what a step is replaced by",
    `
k = key()
c = chain(identity.s("Hello "), replace_with_chain_which_raises.s(key=k, text="inner"), add.s("never"))
c.link_error(echo.si("outer", key=k))
answer = [raised(c.delay()), sorted(calls(k, 2))]`,
    ["ExpectedException", ["inner", "outer"]]
  ],
  [
    "a link of each of 42 steps",
    `
k = key()
step = identity.si(1337)
step.link(echo.s(key=k))
answer = [result(chain(step for _ in range(42))()), calls(k, 42) == [1337] * 42]`,
    [1337, true]
  ],
  [
    "an errback of each of 42 steps, of which the first fails",
    `
k = key()
step = fail.si()
step.link_error(echo.si("failed", key=k))
answer = [raised(chain(step for _ in range(42))()), calls(k, 1)]`,
    ["ExpectedException", ["failed"]]
  ],
  [
    "a link of the whole, and a step that is replaced",
    `
k = key()
c = chain(add_replaced.si(42, 1337), identity.s())
c.link(echo.s(key=k))
answer = [result(c()), calls(k, 1)]`,
    [1379, [1379]]
  ],
  [
    "an errback of the whole, and a step that is replaced before one fails",
    `
k = key()
c = chain(add_replaced.si(42, 1337), fail.s())
c.link_error(errback.s(key=k))
r = c()
answer = [raised(r), calls(k, 1) == [[r.id]]]`,
    ["ExpectedException", true]
  ],
  [
    "a link of a step that is replaced",
    `
k = key()
step = add_replaced.si(42, 1337)
step.link(echo.s(key=k))
answer = [result(chain(step, identity.s())()), calls(k, 1)]`,
    [1379, [1379]]
  ],
  [
    "an errback of a step that is replaced by one that fails, with the id of both",
    `
k = key()
step = fail_replaced.si()
step.link_error(errback.s(key=k))
r = chain(step, identity.si(42))()
answer = [raised(r), calls(k, 1) == [[r.parent.id]]]`,
    ["ExpectedException", true]
  ],
  [
    "an errback that is retried",
    `
r = fail.apply_async(args=("x",), link_error=retry_once.si(what="retries"))
answer = [raised(r), r.state]`,
    ["ExpectedException", "FAILURE"]
  ],
  [
    "an errback of the old way is told the id",
    `
r = fail.apply_async(link_error=errback_by_id.s())
answer = [raised(r), calls(r.id, 1)]`,
    ["ExpectedException", [1]]
  ],
  [
    "a chain as a link",
    `
k = key()
r = add.apply_async((1, 1), link=add.s(10) | echo.s(key=k))
answer = [result(r), calls(k, 1)]`,
    [2, [12]]
  ],
  [
    "a group as a link",
    `
k = key()
r = add.apply_async((1, 1), link=group(echo.s(key=k), add.s(1) | echo.s(key=k)))
answer = [result(r), sorted(calls(k, 2))]`,
    [2, [2, 3]]
  ],
  [
    "several links, and links of links",
    `
k = key()
inner = add.s(1)
inner.link(echo.s(key=k))
r = add.apply_async((1, 1), link=[echo.s(key=k), inner, echo.si("fixed", key=k)])
answer = [result(r), sorted(calls(k, 3), key=str)]`,
    [2, [2, 3, "fixed"]]
  ],
  [
    "an errback of the whole is called once, by whichever step fails",
    `
seen = []
for steps in ([fail.s(), identity.s(), identity.s()], [identity.s(1), fail.s(), identity.s()], [identity.s(1), identity.s(), fail.s()]):
    k = key()
    c = chain(*steps)
    c.link_error(errback.s(key=k))
    r = c()
    failed = r if steps[-1].task == fail.name else r.parent if steps[1].task == fail.name else r.parent.parent
    seen.append([raised(r), calls(k, 1) == [[failed.id]]])
answer = seen`,
    [
      ["ExpectedException", true],
      ["ExpectedException", true],
      ["ExpectedException", true]
    ]
  ],
  [
    "the steps behind one that failed have failed, and those before have not",
    `
r = chain(add.s(1, 2), fail.s(), add.s(3, 4))()
answer = [raised(r), raised(r.parent), r.parent.parent.get(), ready(r) and r.state]`,
    ["ExpectedException", "ExpectedException", 3, "FAILURE"]
  ],
  [
    "root and parent of ten steps",
    `
r = chain(ids.si(i) for i in range(10))()
result(r)
nodes = [r]
while nodes[-1].parent:
    nodes.append(nodes[-1].parent)
nodes.reverse()
found = [node.get() for node in nodes]
answer = found == [[nodes[0].id, nodes[i - 1].id if i else None, i] for i in range(10)]`,
    true
  ],
  [
    "root and parent where a step is replaced",
    `
r = chain(add_replaced.s(1, 1), ids.si(1), ids.si(2))()
second, third = (result(r.parent), result(r))
answer = [second == [r.parent.parent.id, r.parent.parent.id, 1], third == [r.parent.parent.id, r.parent.id, 2]]`,
    [true, true]
  ]
]

export const chains = {
  everywhere: values.filter(([, , expected]) => !Array.isArray(expected)),
  stored: [...values.filter(([, , expected]) => Array.isArray(expected)), ...told]
}
