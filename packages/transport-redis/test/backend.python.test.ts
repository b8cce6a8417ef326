/** Results and groups between us and Debian's Celery, on one Redis. */
import { ResultBackend } from "@apium/worker"
import { assert, layer } from "@effect/vitest"
import { Effect, Fiber, Option, Stream } from "effect"
import { message } from "../../../test/support/BackendSuite.ts"
import { Redis as Server } from "../../../test/support/Redis.ts"
import { failure, python, World } from "./support/celery.ts"
import * as stores from "./support/stores.ts"

layer(World, { excludeTestServices: true })("with Python's Celery", (it) => {
  it.effect("every kind of result that its worker stores is read here", () =>
    Effect.gen(function* () {
      const backend = yield* ResultBackend
      const server = yield* Server
      const states = (id: string) =>
        Effect.forkChild(
          Stream.runCollect(
            Stream.map(backend.changes(id), ({ result, status }) => (status === "PROGRESS" ? result : status))
          ),
          { startImmediately: true }
        )
      const watching = [yield* states("p-progress"), yield* states("p-again")]
      // A state on the way is published, and overwritten by the next: who is not there yet never hears of it.
      const listeners = server.command(
        "PUBSUB",
        "NUMSUB",
        ...["p-progress", "p-again"].map((id) => `celery-task-meta-${id}`)
      )
      yield* stores.until(
        Effect.map(listeners, (all) => [1, 3].every((at) => (all as ReadonlyArray<unknown>)[at] === 1))
      )
      yield* python(`
app.control.broadcast("revoke", arguments={"task_id": "p-revoked"}, destination=["py@here"], reply=True, timeout=60)
for task, args in ((progress, ()), (again, ()), (add, (2, 3)), (bad, ()), (text, (7000,)), (parent, ())):
    task.apply_async(args, task_id="p-" + task.name.split(".")[-1])
add.apply_async((1, 1), task_id="p-revoked")
app.send_task("no.such.task", task_id="p-unknown")
print("null")`)
      const [progress, again] = yield* Effect.forEach(watching, (fiber) => Fiber.join(fiber))
      assert.deepStrictEqual(progress, [{ done: 0 }, { done: 1 }, { done: 2 }, "SUCCESS"])
      assert.deepStrictEqual(again, ["RETRY", "SUCCESS"])
      assert.strictEqual((yield* backend.wait("p-add")).result, 5)
      const bad = yield* backend.wait("p-bad")
      assert.deepStrictEqual([bad.status, bad.result], ["FAILURE", failure("ValueError", ["bad", 1], "builtins")])
      assert.include(bad.traceback ?? "", "ValueError")
      assert.strictEqual((yield* backend.wait("p-text")).result, "ü世🎉".repeat(7000))
      const parent = yield* backend.wait("p-parent")
      assert.strictEqual(parent.children?.[1]?.id, parent.result)
      assert.lengthOf(parent.children?.[1]?.children ?? [], 2)
      assert.strictEqual((yield* backend.wait(parent.children![0]!.id)).result, 3)
      assert.strictEqual((yield* backend.wait(parent.children![1]!.children![1]!.id)).parentId, "p-parent")
      const revoked = yield* backend.wait("p-revoked")
      assert.deepStrictEqual(
        [revoked.status, revoked.result],
        ["REVOKED", failure("TaskRevokedError", ["revoked"], "celery.exceptions")]
      )
      assert.deepStrictEqual(
        (yield* backend.wait("p-unknown")).result,
        failure("NotRegistered", ["no.such.task"], "celery.exceptions")
      )
    })
  )

  it.effect("every kind of result that is stored here is read there, also by who began to wait before", () =>
    Effect.gen(function* () {
      const backend = yield* ResultBackend
      const children = [{ id: "o-child", parent: { id: "o-tree", parent: null, children: null }, children: null }]
      yield* backend.store(message("o-text", "SUCCESS", "ü世🎉".repeat(20_000)))
      yield* backend.store(
        message("o-bad", "FAILURE", failure("ValueError", ["bad", 1], "builtins"), { traceback: "Traceback: ü" })
      )
      yield* backend.store(message("o-own", "FAILURE", failure("OutOfStock", ["no more"], "apium")))
      yield* backend.store(message("o-retry", "RETRY", failure("KeyError", ["k"], "builtins")))
      yield* backend.store(
        message("o-gone", "REVOKED", failure("TaskRevokedError", ["terminated"], "celery.exceptions"))
      )
      yield* backend.store(message("o-progress", "PROGRESS", { done: 50 }))
      yield* backend.store(message("o-child", "SUCCESS", 3))
      yield* backend.store(
        message("o-tree", "SUCCESS", [1, { a: null }], {
          children,
          groupId: "g",
          parentId: "p",
          name: "proj.x",
          worker: "w",
          retries: 2,
          args: [1],
          kwargs: {},
          queue: "q"
        })
      )
      const waiting = yield* Effect.forkChild(
        python<unknown>(`print(json.dumps(AsyncResult("o-late", app=app).get(timeout=120)))`),
        { startImmediately: true }
      )
      const read = yield* python<Record<string, unknown>>(`
def end(id):
    try:
        return AsyncResult(id, app=app).get(timeout=60)
    except Exception as error:
        return [type(error).__name__, list(error.args)]
tree = AsyncResult("o-tree", app=app)
print(json.dumps({
    "text": end("o-text") == "ü世🎉" * 20000,
    "bad": end("o-bad"), "own": end("o-own"), "gone": end("o-gone"), "tree": end("o-tree"),
    "traceback": AsyncResult("o-bad", app=app).traceback,
    "retry": [AsyncResult("o-retry", app=app).state, repr(AsyncResult("o-retry", app=app).result)],
    "progress": [AsyncResult("o-progress", app=app).state, AsyncResult("o-progress", app=app).info],
    "children": [(child.id, child.parent.id, child.get(timeout=60)) for child in tree.children],
    "extended": [tree.name, tree.args, tree.kwargs, tree.worker, tree.retries, tree.queue],
    "unknown": AsyncResult("o-unknown", app=app).state}))`)
      assert.deepStrictEqual(read, {
        text: true,
        bad: ["ValueError", ["bad", 1]],
        own: ["OutOfStock", ["no more"]],
        gone: ["TaskRevokedError", ["terminated"]],
        tree: [1, { a: null }],
        traceback: "Traceback: ü",
        retry: ["RETRY", "KeyError('k')"],
        progress: ["PROGRESS", { done: 50 }],
        children: [["o-child", "o-tree", 3]],
        extended: ["proj.x", [1], {}, "w", 2, "q"],
        unknown: "PENDING"
      })
      yield* backend.store(message("o-late", "SUCCESS", "late"))
      assert.strictEqual(yield* Fiber.join(waiting), "late")
    })
  )

  it.effect("a client there waits for tasks that run here, whose results say whose they are", () =>
    Effect.gen(function* () {
      const read = yield* python<unknown>(`
import celery.exceptions
good = app.send_task("ts.multiply", (6, 7), queue="ts")
bad = app.send_task("ts.refuse", queue="ts")
try:
    bad.get(timeout=60)
except Exception as error:
    refused = [type(error).__name__, bad.state]
print(json.dumps([good.get(timeout=60), refused, good.name, good.args, good.kwargs, good.worker, good.retries, good.queue]))`)
      assert.deepStrictEqual(read, [42, ["OutOfStock", "FAILURE"], "ts.multiply", [6, 7], {}, "ts@here", 0, "ts"])
    })
  )

  it.effect("a group that was saved here is restored there, and the other way round", () =>
    Effect.gen(function* () {
      const backend = yield* ResultBackend
      const single = (id: string) => ({ id, parent: null, children: null })
      yield* backend.groups.save({ id: "og", parent: single("op"), children: [single("og-1"), single("og-2")] })
      yield* Effect.forEach(["og-1", "og-2"], (id) => backend.store(message(id, "SUCCESS", id)))
      const [ids, parent, values, group] = yield* python<[Array<string>, string, Array<string>, string]>(`
restored = GroupResult.restore("og", app=app)
sent = group(add.s(1, 1), group(add.s(2, 2), add.s(3, 3))).delay()
sent.save()
print(json.dumps([[r.id for r in restored.results], restored.parent.id, restored.get(timeout=60), sent.id]))`)
      assert.deepStrictEqual([ids, parent, values], [["og-1", "og-2"], "op", ["og-1", "og-2"]])
      const restored = Option.getOrThrow(yield* backend.groups.restore(group))
      const leaves = (restored.children ?? []).flatMap((child) => child.children ?? [child])
      assert.deepStrictEqual(
        (yield* Effect.forEach(leaves, ({ id }) => backend.wait(id))).map(({ result }) => result),
        [2, 4, 6]
      )
      yield* backend.groups.forget(group)
      assert.isNull(yield* python<unknown>(`print(json.dumps(GroupResult.restore(args[0], app=app)))`, group))
    })
  )
})
