/** What is in a Redis list and is no message of Kombu's: it is put aside with its octets, and what is behind it runs. */
import { assert } from "@effect/vitest"
import { Effect } from "effect"
import { Redis } from "../support/Redis.ts"
import { until } from "../support/Figures.ts"
import * as Hostile from "./support/Hostile.ts"
import { envelope } from "./support/Sender.ts"

const good = `{"body": "W1sxLDJdLHt9LHt9XQ==", "content-type": "application/json", "content-encoding": "utf-8",
    "headers": {"task": "proj.add", "id": "ID"}, "properties": {"body_encoding": "base64", "delivery_tag": str(uuid4()),
    "priority": 0, "delivery_info": {"exchange": "", "routing_key": "${Hostile.queue}"}}}`

/** A good one, but for this. */
const but = (python: string) => `(lambda m: (${python}, json.dumps(m))[1])(${good})`

/** Python expressions. */
const unreadable: Readonly<Record<string, string>> = {
  "an empty text": `""`,
  "no JSON": `"no envelope"`,
  "octets that are no UTF-8": `b"\\xff\\xfe\\x00"`,
  "JSON that is cut off": `json.dumps(${good})[:-3]`,
  null: `"null"`,
  "a number": `"17"`,
  "a list": `"[]"`,
  "JSON 100,000 deep": `"[" * 100_000`,
  "1 MB of nothing": `"x" * 1_000_000`,
  "an object with nothing in it": `"{}"`,
  "no properties": but(`m.pop("properties")`),
  "properties that are a list": but(`m.update(properties=[])`),
  "no delivery tag": but(`m["properties"].pop("delivery_tag")`),
  "a delivery tag that is a list": but(`m["properties"].update(delivery_tag=[1])`),
  "delivery info that is a text": but(`m["properties"].update(delivery_info="x")`),
  "an exchange that is an object": but(`m["properties"]["delivery_info"].update(exchange={})`),
  "headers that are a list": but(`m.update(headers=[1])`),
  "a body that is a number": but(`m.update(body=5)`),
  "a body that is no base64": but(`m.update(body="*")`),
  "a body encoding nobody knows": but(`m["properties"].update(body_encoding="rot13")`),
  "a priority that is a text": but(`m["properties"].update(priority="high")`),
  "a content type that is a list": but(`m.update({"content-type": [1]})`)
}

const put = (python: string) => Effect.flatMap(Hostile.World, (world) => envelope(world.python, Hostile.queue, python))

Hostile.onEach(
  (it) => {
    it.effect.each(Object.entries(unreadable).map(([title, python]) => ({ title, python })))("$title", ({ python }) =>
      Hostile.counted(
        Effect.gen(function* () {
          const { command } = yield* Redis
          const aside = command("LLEN", `${Hostile.queue}.unreadable`)
          const before = Number(yield* aside)
          yield* Hostile.unharmed(put(python))
          yield* until(Effect.map(aside, (length) => Number(length) === before + 1))
        })
      )
    )

    it.effect("what lacks only what we do not need runs", () =>
      Hostile.counted(
        Effect.gen(function* () {
          for (const python of [
            but(`m["properties"].pop("delivery_info")`),
            but(`m["properties"].pop("priority")`),
            but(`(m["properties"].pop("body_encoding"), m.update(body="[[1, 2], {}, {}]"))`),
            but(`m["properties"].update(delivery_tag=5)`)
          ]) {
            const taskId = crypto.randomUUID()
            yield* Hostile.unharmed(put(python.replace("ID", taskId)))
            assert.strictEqual((yield* Hostile.told(taskId)).result, 3)
          }
        })
      )
    )

    it.effect("two messages of one delivery tag both run", () =>
      Hostile.counted(
        Effect.gen(function* () {
          const ids = [crypto.randomUUID(), crypto.randomUUID()]
          const tag = crypto.randomUUID()
          const twin = (id: string) => but(`m["properties"].update(delivery_tag="${tag}")`).replace("ID", id)
          yield* Hostile.unharmed(Effect.forEach(ids, (id) => put(twin(id))))
          for (const id of ids) assert.strictEqual((yield* Hostile.told(id)).result, 3)
        })
      )
    )

    it.effect("nothing of all that stays in anybody's hands", () => Hostile.settled)
  },
  ["Redis"]
)
