/** What a canvas sends, against what real Celery 5.6.3 sent for the same one: ids by order of appearance, the rest to the letter. */
import * as Wire from "@apium/protocol/celery/Signature"
import * as TaskMessage from "@apium/protocol/celery/TaskMessage"
import * as ResultMessage from "@apium/protocol/celery/ResultMessage"
import * as Apply from "@apium/worker/client/Apply"
import * as Router from "@apium/worker/client/Router"
import * as Stamps from "@apium/worker/client/Stamps"
import { assert, describe, it } from "@effect/vitest"
import { capturedTasks } from "../support/Fixtures.ts"

const add = (args: ReadonlyArray<number>, options: Record<string, unknown> = {}) =>
  Wire.make("wire.add", { args, options })
const tsum = (options: Record<string, unknown> = {}) => Wire.make("wire.tsum", { options })
const errback = Wire.encode(Wire.make("wire.errback"))

const map = (task: string, it: ReadonlyArray<unknown>) =>
  Wire.make("celery.map", {
    kwargs: { task: Wire.encode(Wire.make(task)), it: it as never },
    subtaskType: "map",
    immutable: true
  })

const cases: Readonly<Record<string, Wire.Signature>> = {
  chain3: Wire.chain([add([2, 2]), add([4]), add([8])]),
  chain_group_task: Wire.chain([Wire.group([add([2, 2]), add([4, 4])]), tsum()]),
  chain_with_group: Wire.chain([add([2, 2]), Wire.group([add([4]), add([8])])]),
  chain3_pipe_link_error: Wire.chain([add([2, 2]), add([4]), add([8])], { link_error: [errback] }),
  chord: Wire.chord([add([0, 0]), add([1, 1]), add([2, 2])], tsum()),
  chord_chains: Wire.chord([Wire.chain([add([1, 1]), add([1])]), add([5, 5])], tsum()),
  chord_empty_header: Wire.chord([], tsum()),
  chord_link_error: Wire.chord([add([1, 1]), Wire.make("wire.fail")], tsum({ link_error: [errback] })),
  group: Wire.group([add([0, 0]), add([1, 1]), add([2, 2])]),
  map: map("wire.tsum", [[1, 2], [3]]),
  starmap_chunks: Wire.make("celery.chunks", {
    kwargs: {
      task: Wire.encode(Wire.make("wire.add")),
      it: [
        [0, 0],
        [1, 1],
        [2, 2],
        [3, 3]
      ],
      n: 2
    },
    subtaskType: "chunks"
  }),
  stamped_visitor: Stamps.stampUnsafe(add([2, 2]), { onSignature: () => ({ monitoring_id: "m-1" }) }),
  stamped_kwargs_chain: Stamps.stampUnsafe(Wire.chain([add([1, 1]), add([2])]), { customer: "acme", seq: [1, 2] })
}

const uuid = /[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g

/** Ids as numbers in order of appearance. Where an rpc backend listens is the sender's own; ids that are null nobody reads; stamped headers are a set. */
const numbered = (value: unknown): unknown => {
  const seen = new Map<string, string>()
  const text = JSON.stringify(value, (key, value: unknown) => {
    const empty = value === null && (key === "root_id" || key === "parent_id")
    if (key === "stamped_headers" && Array.isArray(value)) return (value as ReadonlyArray<string>).toSorted()
    return key === "reply_to" || empty ? undefined : value
  })
  return JSON.parse(
    text.replaceAll(uuid, (id) => {
      if (!seen.has(id)) seen.set(id, `id${seen.size}`)
      return seen.get(id)!
    })
  )
}

const shown = ({
  group,
  group_index,
  id,
  parent_id,
  root_id,
  stamped_headers,
  stamps,
  task
}: Record<string, unknown>) => ({
  task,
  id,
  group,
  group_index,
  root_id,
  parent_id,
  stamped_headers,
  stamps
})

const told = ({ task: { args, embed, headers, kwargs } }: Apply.Plan["messages"][number]) => {
  return {
    headers: shown(TaskMessage.encodeHeaders(headers)),
    body: TaskMessage.encodeBody(args, kwargs, embed)
  }
}

describe("a canvas is sent as Celery sends it", () => {
  it.each(Object.entries(cases))("%s", (name, signature) => {
    const captured = capturedTasks(name)
    const plan = Apply.planUnsafe([[signature, { args: [], chain: [] }]], {
      now: 0,
      optionsOf: () => undefined,
      router: Router.make(),
      origin: "gen1@test"
    })
    const [result] = plan.results
    assert.deepStrictEqual(
      numbered({ result: ResultMessage.encodeTuple(result!), sent: plan.messages.map(told) }),
      numbered({
        result: captured.resultIds,
        sent: captured.received.map(({ bodyText, headers }) => ({
          headers: shown(headers),
          body: JSON.parse(bodyText) as unknown
        }))
      })
    )
  })
})
