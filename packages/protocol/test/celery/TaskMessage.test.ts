import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { assert, describe, it } from "@effect/vitest"
import * as Signature from "@apium/protocol/celery/Signature"
import * as TaskMessage from "@apium/protocol/celery/TaskMessage"
import * as Json from "@apium/protocol/kombu/Json"
import * as Captures from "../support/Captures.ts"
import * as Random from "../support/Random.ts"

const headers = TaskMessage.encodeHeaders(TaskMessage.makeHeaders({ task: "t.add", id: "id-1" }))
const embed = { callbacks: null, errbacks: null, chain: null, chord: null }
const body = [[2, 3], {}, embed]

const failure = (wire: unknown, payload: unknown): TaskMessage.InvalidTask | TaskMessage.UnknownMessage => {
  const result = TaskMessage.decode(wire as Record<string, unknown>, payload)
  return Result.isFailure(result) ? result.failure : assert.fail("should have failed")
}

describe("protocol 2", () => {
  it("writes every header of Python's, in Python's order", () => {
    const captured = Captures.load().amqp.find(
      ({ version, headers }) => version === "5.6.3" && headers.task === "wire.add"
    )!
    assert.deepStrictEqual(Object.keys(headers), Object.keys(captured.headers))
  })

  it("needs no more than a name and an id", () => {
    const task = Result.getOrThrow(TaskMessage.decode({ task: "t", id: "i" }, [[], {}, null]))
    assert.deepStrictEqual(task.headers, TaskMessage.makeHeaders({ task: "t", id: "i", lang: "py" }))
    assert.deepStrictEqual(task.embed, TaskMessage.emptyEmbed)
  })

  it("keeps headers of the application's own, which cannot replace Celery's", () => {
    const extra = { "x-tenant": "a", traceparent: "00-1", id: "evil", compression: "application/x-gzip" }
    const wire = TaskMessage.encodeHeaders(TaskMessage.makeHeaders({ task: "t", id: "i", extra }))
    assert.strictEqual(wire.id, "i")
    assert.isFalse("compression" in wire)
    assert.deepStrictEqual(Result.getOrThrow(TaskMessage.decodeHeaders(wire)).extra, {
      "x-tenant": "a",
      traceparent: "00-1"
    })
    assert.deepStrictEqual(TaskMessage.republishable({ "x-tenant": "a", "x-death": [{}], "x-last-death-queue": "q" }), {
      "x-tenant": "a"
    })
  })

  it("reads times that come as times", () => {
    const wire = {
      task: "t",
      id: "i",
      eta: new Date("2031-05-06T07:08:09Z"),
      expires: new Json.PyDateTime("2031-05-06T07:08:09")
    }
    const decoded = Result.getOrThrow(TaskMessage.decodeHeaders(wire))
    assert.deepStrictEqual([decoded.eta, decoded.expires], ["2031-05-06T07:08:09+00:00", "2031-05-06T07:08:09"])
  })

  // the nine that end a Python worker (WIRE 6, fact 38), and their kin
  it.each([
    ["a string for a body", headers, "text", "body", "a string"],
    ["null for a body", headers, null, "body", "null"],
    ["a number for a body", headers, 5, "body", "a number"],
    ["an object for a body", headers, { a: 1 }, "body", "an object"],
    ["a body of one", headers, [[]], "body", "an array of 1"],
    ["a body of four", headers, [[], {}, {}, 1], "body", "an array of 4"],
    ["an empty body", headers, [], "body", "an array of 0"],
    ["no id", { ...headers, id: undefined }, body, "headers.id", "missing"],
    ["a time limit that is no pair", { ...headers, timelimit: 5 }, body, "headers.timelimit", "a number"],
    ["three time limits", { ...headers, timelimit: [1, 2, 3] }, body, "headers.timelimit", "an array of 3"],
    ["a time limit of text", { ...headers, timelimit: ["1", null] }, body, "headers.timelimit[0]", "a string"],
    ["args that are no array", headers, [{}, {}, null], "body[0]", "an object"],
    ["kwargs that are no object", headers, [[], [], null], "body[1]", "an array of 0"],
    ["kwargs of null", headers, [[], null, null], "body[1]", "null"],
    ["an embed that is no object", headers, [[], {}, 1], "body[2]", "a number"],
    ["a callback without a task", headers, [[], {}, { callbacks: [{}] }], "body[2].callbacks[0].task", "missing"],
    ["a chord that is a text", headers, [[], {}, { chord: "x" }], "body[2].chord", "a string"],
    ["a task that is no text", { ...headers, task: 5 }, body, "headers.task", "a number"],
    ["an empty id", { ...headers, id: "" }, body, "headers.id", "a string"],
    ["retries that are text", { ...headers, retries: "1" }, body, "headers.retries", "a string"],
    ["an eta that is a number", { ...headers, eta: 5 }, body, "headers.eta", "a number"],
    ["stamps that are a list", { ...headers, stamps: [] }, body, "headers.stamps", "an array of 0"],
    [
      "stamped headers of numbers",
      { ...headers, stamped_headers: [1] },
      body,
      "headers.stamped_headers",
      "an array of 1"
    ]
  ])("refuses %s", (_, wire, payload, where, found) => {
    const error = failure(wire, payload)
    assert.strictEqual(error._tag, "InvalidTask")
    assert.strictEqual((error as TaskMessage.InvalidTask).where, where)
    assert.include(error.message, `${where} should be`)
    assert.include(error.message, `and is ${found}`)
    if (wire.task === "t.add") assert.strictEqual((error as TaskMessage.InvalidTask).task, "t.add")
  })

  it("shows what it can of arguments that are no UTF-8", () => {
    // What py-amqp writes of "a\udc80b", a file's name by `surrogateescape`.
    const argsrepr = new Uint8Array([0x61, 0xed, 0xb2, 0x80, 0x62])
    const message = TaskMessage.decodeUnsafe({ ...headers, argsrepr, kwargsrepr: argsrepr }, body)
    assert.match(message.headers.argsrepr ?? "", /^a\ufffd+b$/)
    assert.match(message.headers.kwargsrepr ?? "", /^a\ufffd+b$/)
  })

  it("refuses a negative number of retries", () => {
    assert.include(failure({ ...headers, retries: -1 }, body).message, "0 or more")
  })

  it("tells a message that is no task", () => {
    for (const [wire, payload] of [
      [{}, body],
      [{ id: "x" }, null],
      [{ task: null }, {}],
      [{}, { id: 1 }]
    ]) {
      assert.strictEqual(failure(wire, payload)._tag, "UnknownMessage")
    }
    assert.isUndefined(TaskMessage.version(JSON.parse('{"__proto__": {"task": "t"}}') as Record<string, unknown>))
  })

  it("never changes its input", () => {
    const freeze = (value: unknown): void => {
      if (typeof value !== "object" || value === null || value instanceof Uint8Array) return
      for (const item of Object.values(Object.freeze(value))) freeze(item)
    }
    for (const message of Captures.load().amqp) {
      if (message.contentType !== "application/json" || message.body === undefined || "compression" in message.headers)
        continue
      const payload = Json.parse(new TextDecoder().decode(message.body))
      freeze(payload)
      freeze(message.headers)
      assert.doesNotThrow(() => TaskMessage.decode(message.headers, payload))
    }
  })
})

describe("protocol 1 and the hybrid", () => {
  const payload = {
    task: "t.add",
    id: "id-1",
    args: [1],
    kwargs: { a: 2 },
    taskset: "g",
    eta: "2031-05-06T07:08:09",
    utc: true
  }

  it("reads all from the body", () => {
    const task = Result.getOrThrow(TaskMessage.decode({ "x-other": 1 }, payload))
    assert.deepStrictEqual(task, {
      protocol: 1,
      headers: TaskMessage.makeHeaders({
        task: "t.add",
        id: "id-1",
        lang: "py",
        group: "g",
        eta: "2031-05-06T07:08:09"
      }),
      args: [1],
      kwargs: { a: 2 },
      embed: TaskMessage.emptyEmbed
    })
    assert.deepStrictEqual(TaskMessage.encodeV1(task).taskset, "g")
  })

  it("takes a naive eta for local where utc is false", () => {
    const task = Result.getOrThrow(TaskMessage.decode({}, { ...payload, utc: false }))
    const local = new Date(2031, 4, 6, 7, 8, 9).getTime()
    assert.strictEqual(Result.getOrThrow(TaskMessage.parseEta(task.headers.eta!)), local)
  })

  it("lets the headers win in a hybrid", () => {
    const task = Result.getOrThrow(
      TaskMessage.decode(
        { task: "t.mul", id: "id-2" },
        { ...payload, callbacks: [Signature.encode(Signature.make("cb"))] }
      )
    )
    assert.deepStrictEqual(
      [task.protocol, task.headers.task, task.headers.id, task.headers.eta],
      [2, "t.mul", "id-2", payload.eta]
    )
    assert.deepStrictEqual(task.embed.callbacks, [Signature.make("cb")])
    assert.deepStrictEqual(task.args, [1])
  })

  it("says what is wrong in the body", () => {
    assert.strictEqual((failure({}, { task: "t" }) as TaskMessage.InvalidTask).where, "body.id")
    assert.strictEqual((failure({}, { ...payload, args: 5 }) as TaskMessage.InvalidTask).where, "body.args")
    assert.strictEqual((failure({}, { ...payload, timelimit: [1] }) as TaskMessage.InvalidTask).where, "body.timelimit")
  })
})

describe("times", () => {
  it("are written with an offset, never Z", () => {
    assert.strictEqual(TaskMessage.formatEta(Date.UTC(2031, 4, 6, 7, 8, 9, 123)), "2031-05-06T07:08:09.123000+00:00")
    assert.strictEqual(TaskMessage.formatEta(Date.UTC(2031, 4, 6)), "2031-05-06T00:00:00+00:00")
    assert.throws(() => TaskMessage.formatEta(Number.NaN), RangeError)
    assert.throws(() => TaskMessage.formatEta(1e16), RangeError)
  })

  it.each([
    ["2031-05-06T07:08:09.123456+00:00", Date.UTC(2031, 4, 6, 7, 8, 9, 124)],
    ["2031-05-06T07:08:09", Date.UTC(2031, 4, 6, 7, 8, 9)],
    ["2031-05-06T07:08:09Z", Date.UTC(2031, 4, 6, 7, 8, 9)],
    ["2026-11-21T02:56:46.116505+01:00", Date.UTC(2026, 10, 21, 1, 56, 46, 117)],
    ["2031-05-06 07:08", Date.UTC(2031, 4, 6, 7, 8)],
    ["2031-05-06", Date.UTC(2031, 4, 6)],
    ["2032-02-29T00:00:00-0530", Date.UTC(2032, 1, 29, 5, 30)],
    ["0001-01-01T00:00:00+00:00", -62_135_596_800_000]
  ])("reads %s", (text, millis) => {
    assert.strictEqual(Result.getOrThrow(TaskMessage.parseEta(text)), millis)
  })

  it.each([
    ["tomorrow"],
    [""],
    ["2031-02-29"],
    ["2031-13-01"],
    ["2031-05-06T24:00:00"],
    ["0000-01-01"],
    ["2031-05-06T07:08:09+99:00"],
    ["9".repeat(1e6)]
  ])("refuses %s", (text) => {
    const result = TaskMessage.parseEta(text)
    assert.isTrue(
      Result.isFailure(result) && result.failure._tag === "InvalidEta" && result.failure.message.length < 200
    )
  })

  it.prop("come back the same", [Schema.Int], ([seed]) => {
    const millis = Math.floor((Random.random(seed).next() - 0.2) * 2e14)
    assert.strictEqual(Result.getOrThrow(TaskMessage.parseEta(TaskMessage.formatEta(millis))), millis)
  })
})

describe("fuzz", () => {
  const messages = Captures.load().amqp.flatMap((message) =>
    message.contentType === "application/json" && message.body !== undefined && !("compression" in message.headers)
      ? [{ headers: message.headers, payload: Json.parse(new TextDecoder().decode(message.body)) }]
      : []
  )

  it.prop("mutated messages are tasks or typed errors", [Schema.Int], ([seed]) => {
    const r = Random.random(seed)
    for (let times = 0; times < 20; times++) {
      const message = r.pick(messages)
      const wire = Random.mutate(r, message.headers)
      const payload = Random.mutate(r, message.payload)
      const isObject = typeof wire === "object" && wire !== null && !Array.isArray(wire)
      const result = TaskMessage.decode(
        (isObject ? wire : {}) as Record<string, unknown>,
        r.next() < 0.5 ? payload : message.payload
      )
      if (Result.isFailure(result)) assert.include(["InvalidTask", "UnknownMessage"], result.failure._tag)
      else TaskMessage.encodeBody(result.success.args, result.success.kwargs, result.success.embed)
    }
    assert.isUndefined(({} as Record<string, unknown>).polluted)
  })
})
