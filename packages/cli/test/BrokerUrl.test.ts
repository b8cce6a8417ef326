import * as BrokerUrl from "@apium/cli/BrokerUrl"
import { mask } from "@apium/cli/BrokerUrl"
import { nearest } from "@apium/protocol/Suggest"
import { assert, describe, it } from "@effect/vitest"

const refusal = (url: string): string => BrokerUrl.refusal(url, "--broker", ["memory", "amqp"])

describe("a broker URL as it is shown", () => {
  it.each([
    ["memory://", "memory://"],
    ["amqp://guest:guest@localhost:5672//", "amqp://guest:**@localhost:5672//"],
    ["amqp://user@localhost:5672//", "amqp://user@localhost:5672//"],
    ["redis://:secret@localhost/1", "redis://:**@localhost/1"],
    ["redis://localhost:6379/0", "redis://localhost:6379/0"],
    ["amqp://user:p@ss/w:rd@host//", "amqp://user:**@host//"],
    ["amqp://us@er:secret@host//", "amqp://us@er:**@host//"],
    ["amqp://a:one@x;amqp://b:two@y", "amqp://a:**@x;amqp://b:**@y"],
    ["rediss://host/0?ssl_keyfile_password=secret&db=1", "rediss://host/0?ssl_keyfile_password=**&db=1"],
    ["user:secret@host", "user:**@host"],
    ["amqp://user:secret/host", "amqp://user:**"],
    ["redis://host:6379?db=1", "redis://host:6379?db=1"],
    ["amqp://[::1]:5672//", "amqp://[::1]:5672//"],
    ["amqp:/user:secret@host", "amqp:**@host"],
    ["nonsense\u001B[2J\n", "nonsense?[2J?"]
  ])("%j is %j", (url, shown) => {
    assert.strictEqual(mask(url), shown)
  })
})

describe("a text that a URL has got into", () => {
  it("is shown without its passwords", () => {
    assert.strictEqual(
      BrokerUrl.maskWithin('"amqp://u:one@h//" and redis://:two@h, at 10:30 by a@b'),
      '"amqp://u:**@h//" and redis://:**@h, at 10:30 by a@b'
    )
  })
})

describe("a broker URL that cannot be used", () => {
  it("of no transport at all suggests what was meant", () => {
    assert.include(refusal("memroy://"), "Did you mean memory://?")
    assert.include(refusal("mem://"), "Did you mean memory://?")
    assert.include(refusal("amqq://host"), "Did you mean amqp://?")
    assert.include(refusal("amqp"), "Did you mean amqp://?")
    assert.notInclude(refusal("kafka://host"), "Did you mean")
  })

  it("says what is supported", () => {
    for (const url of ["kafka://host", "nonsense"]) {
      assert.include(refusal(url), "Supported today: memory://, amqp://")
    }
    assert.include(
      BrokerUrl.refusal("amqp://host", "--result-backend", ["memory"], "result backend"),
      "there is no result backend named amqp"
    )
  })
})

describe("a suggestion", () => {
  it("is the nearest name, two letters off at most", () => {
    assert.strictEqual(nearest("wroker", ["worker", "monitor"]), "worker")
    assert.isUndefined(nearest("docs", ["worker", "monitor"]))
    assert.isUndefined(nearest("", ["worker"]))
    assert.isUndefined(nearest("x", ["ab"]))
  })
})
