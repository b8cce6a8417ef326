/** Results that Python would not write, under the id that a client of ours waits for: an error that says so, and no wait without end. */
import { HubError } from "@apium/hub/HubError"
import { Client } from "@apium/worker/client/Client"
import { ResultBackend } from "@apium/worker/client/ResultBackend"
import { TaskFailed } from "@apium/worker/task/TaskError"
import { assert } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { type Check, Deployed, onEach } from "./support/suites.ts"

/** Nobody can say how the task ended. */
const unreadable = {
  "an empty text": "",
  "no JSON": "no result",
  null: "null",
  "a number": "17",
  "a list": "[]",
  "an object with nothing in it": "{}",
  "a status that is a number": `{"status": 5, "result": 1, "task_id": "ID"}`,
  "no status": `{"result": 1, "task_id": "ID"}`,
  "JSON 100,000 deep": "[".repeat(100_000),
  "children that are a text": `{"status": "SUCCESS", "result": 1, "children": "x", "task_id": "ID"}`,
  "children that are rubbish": `{"status": "SUCCESS", "result": 1, "children": [1, "x", {}], "task_id": "ID"}`,
  "a traceback that is a number": `{"status": "FAILURE", "result": null, "traceback": 5, "task_id": "ID"}`
}

/** That it failed is all one can say. */
const vague = {
  "a failure that is a text": `{"status": "FAILURE", "result": "it broke", "task_id": "ID"}`,
  "a failure that is null": `{"status": "FAILURE", "result": null, "task_id": "ID"}`,
  "an exception whose type is a number": `{"status": "FAILURE", "result": {"exc_type": 5, "exc_message": []}, "task_id": "ID"}`,
  "one that was revoked, and no word why": `{"status": "REVOKED", "result": null, "children": null, "task_id": "ID"}`
}

const put = (taskId: string, text: string) =>
  Effect.gen(function* () {
    const { backend, python } = yield* Deployed
    const { ask } = yield* python
    const { replyTo } = yield* ResultBackend
    const whole = JSON.stringify(text.replace("ID", taskId))
    yield* ask(
      backend === "rpc://"
        ? `
import amqp
message = amqp.Message(${whole}, content_type="application/json", content_encoding="utf-8", correlation_id="${taskId}")
with app.connection_for_write() as connection:
    connection.default_channel.basic_publish(message, exchange="", routing_key="${yield* replyTo!}")`
        : `
app.backend.client.set("celery-task-meta-${taskId}", ${whole})
app.backend.client.publish("celery-task-meta-${taskId}", ${whole})`
    )
  })

/** What `get` fails with; the next result is read all the same. */
const failure = (text: string) =>
  Effect.gen(function* () {
    const client = yield* Client
    const sent = yield* client.sendTask("nobody.runs", [], {}, { queue: "nobody" })
    yield* put(sent.id, text)
    const error = yield* Effect.flip(sent.get)
    const next = yield* client.sendTask("nobody.runs", [], {}, { queue: "nobody" })
    yield* put(next.id, `{"status": "SUCCESS", "result": 5, "traceback": null, "children": [], "task_id": "ID"}`)
    assert.strictEqual(yield* next.get, 5)
    return error
  })

const checks = (
  texts: Readonly<Record<string, string>>,
  check: (error: unknown) => void
): ReadonlyArray<readonly [string, Check]> =>
  Object.entries(texts).map(([title, text]) => [title, Effect.map(failure(text), check)])

onEach(
  "results that are none",
  {
    everywhere: Object.fromEntries([
      ...checks(unreadable, (error) => {
        // What came as a message is gone, and is kept as a failure.
        if (error instanceof TaskFailed) return assert.deepInclude(error, { excType: "DecodeError", state: "FAILURE" })
        assert.instanceOf(error, HubError)
        assert.match(error.message, /^Cannot decode the result of the task [-0-9a-f]{36}: /)
      }),
      ...checks(vague, (error) => {
        assert.instanceOf(error, TaskFailed)
        assert.deepInclude(error, { excType: "Exception", excMessage: [] })
      })
    ])
  },
  { peers: () => Layer.empty }
)
