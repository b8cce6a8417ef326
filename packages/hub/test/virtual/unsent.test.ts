/** A batch for several queues that a store has no room for, in the middle of it. */
import { fail, type HubError, OutOfMemory } from "@apium/hub/HubError"
import * as MemoryStore from "@apium/hub/memory/MemoryStore"
import * as Queue from "@apium/hub/Queue"
import type { VirtualStore } from "@apium/hub/virtual/VirtualStore"
import * as VirtualTransport from "@apium/hub/virtual/VirtualTransport"
import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { message } from "../support/messages.ts"

it.effect("a batch says what is in no queue when the store is full in the middle of it", () =>
  Effect.gen(function* () {
    const memory = yield* MemoryStore.make
    const put: VirtualStore["put"] = (queue, messages) =>
      queue === "full" ? fail(new OutOfMemory({ text: "OOM" })) : memory.put(queue, messages)
    const { transport } = VirtualTransport.make("small", { ...memory, put })
    const channel = yield* (yield* transport.connect).channel
    for (const queue of ["a", "b", "full"]) yield* channel.queueDeclare(Queue.make(queue))
    const to = (...queues: ReadonlyArray<string>) =>
      Effect.flip(
        channel.publishAll(
          queues.map((routingKey) => [message(routingKey), { exchange: "", routingKey, mandatory: true }] as const)
        )
      )
    const told = ({ reason, unsent }: HubError) => [reason._tag, unsent]
    assert.deepStrictEqual(told(yield* to("a", "nowhere", "full", "b")), ["OutOfMemory", [1, 2, 3]])
    assert.deepStrictEqual(told(yield* to("a", "nowhere", "b")), ["Returned", undefined])
    assert.deepStrictEqual(told(yield* to("full", "full")), ["OutOfMemory", undefined])
  }).pipe(Effect.scoped)
)
