import { assert, describe, it } from "@effect/vitest"
import * as RedisKeys from "@apium/protocol/kombu/RedisKeys"
import { fixture } from "../support/Captures.ts"

const keys = RedisKeys.make({ db: 7 })

describe("RedisKeys", () => {
  it("names the lists of the capture for every priority", () => {
    const captured = fixture("5.6.3/redis-monitor/priorities.json") as {
      keys: Record<string, { lrange?: ReadonlyArray<string> }>
    }
    const lists = Object.keys(captured.keys).filter((key) => captured.keys[key]!.lrange !== undefined)
    assert.deepStrictEqual(new Set(keys.queueLists("celery")), new Set(lists))
    for (const list of lists) {
      for (const text of captured.keys[list]!.lrange!) {
        const { properties } = JSON.parse(text) as { properties: { priority: number } }
        assert.strictEqual(keys.queue("celery", properties.priority), list)
      }
    }
    assert.strictEqual(keys.queue("celery"), "celery")
  })

  it("takes by priority first", () => {
    assert.deepStrictEqual(keys.takeOrder(["celery", "qq"]).slice(0, 4), [
      "celery",
      "qq",
      "celery\x06\x163",
      "qq\x06\x163"
    ])
  })

  it("writes and reads binding members of the capture", () => {
    const captured = fixture("5.6.3/tasks-redis/route_topic.json") as {
      keys: Record<string, { smembers?: ReadonlyArray<string> }>
    }
    const [member] = captured.keys[keys.binding("wire.topic.ex")]!.smembers!
    const binding = { routingKey: "a.#", pattern: RedisKeys.topicPattern("a.#"), queue: "wire.topic" }
    assert.strictEqual(keys.encodeBinding(binding), member)
    assert.deepStrictEqual(keys.decodeBinding(member!), binding)
    assert.isUndefined(keys.decodeBinding("a\x06\x16b"))
  })

  it("names channels", () => {
    assert.strictEqual(keys.fanoutChannel("celery.pidbox"), "/7.celery.pidbox")
    assert.strictEqual(keys.fanoutChannel("celeryev", "task.multi"), "/7.celeryev/task.multi")
    assert.strictEqual(keys.fanoutPattern("celeryev", "worker.#"), "/7.celeryev/worker.*")
    assert.strictEqual(RedisKeys.make({ fanoutPatterns: false }).fanoutChannel("e", "k"), "/0.e")
    assert.strictEqual(RedisKeys.make({ fanoutPrefix: false }).fanoutChannel("e"), "e")
  })

  it("puts the global prefix before everything", () => {
    const prefixed = RedisKeys.make({ globalKeyprefix: "app:" })
    assert.deepStrictEqual(
      [
        prefixed.queue("q", 9),
        prefixed.binding("e"),
        prefixed.unacked,
        prefixed.unackedIndex,
        prefixed.unackedMutex,
        prefixed.fanoutChannel("e"),
        prefixed.key("x")
      ],
      [
        "app:q\x06\x169",
        "app:_kombu.binding.e",
        "app:unacked",
        "app:unacked_index",
        "app:unacked_mutex",
        "app:/0.e",
        "app:x"
      ]
    )
  })

  it("takes other names for what is held, behind the prefix", () => {
    const renamed = RedisKeys.make({ globalKeyprefix: "app:", unackedKey: "held", unackedIndexKey: "held_at" })
    assert.deepStrictEqual([renamed.unacked, renamed.unackedIndex], ["app:held", "app:held_at"])
  })

  it.each(["a.#", "a.*", "#", "*", "#.b", "a.*.c", "a.#.c", "worker.#", "", "a", "*.*", "a.b"])(
    "matches %s as kombu's pattern does",
    (binding) => {
      const pattern = new RegExp(RedisKeys.topicPattern(binding))
      for (const key of ["", "a", "a.", "a.b", "a.b.c", "b", "c.b", ".b", "worker.online", "a..c", "a.x.y.c", "ab"]) {
        assert.strictEqual(RedisKeys.matchesTopic(binding, key), pattern.test(key), `${binding} on ${key}`)
      }
    }
  )

  it("matches hostile keys fast", () => {
    assert.isFalse(RedisKeys.matchesTopic("#.".repeat(100) + "x", "a.".repeat(500)))
  })
})
