/** Losing the link to the embedded broker, and being sure of it. */
import { Connection } from "@apium/hub/Connection"
import { MemoryBroker } from "@apium/hub/memory/MemoryTransport"
import { Effect, Fiber, Stream } from "effect"

/** Lets every fiber run that can. */
export const settle = Effect.repeat(Effect.yieldNow, { times: 30 })

/** Cuts every link, and waits until the connection knows. */
export const cut = Effect.gen(function* () {
  const connection = yield* Connection
  const lost = yield* Effect.forkChild(
    Stream.runDrain(Stream.takeUntil(connection.status, (status) => status === "connecting"))
  )
  yield* settle
  yield* (yield* MemoryBroker).disconnect
  yield* Fiber.join(lost)
})
