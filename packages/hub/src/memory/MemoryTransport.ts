/**
 * The embedded broker: a whole broker in the memory of this process, for tests, for one-process programs and for trying
 * things out. It routes, counts, prioritises and dead-letters as RabbitMQ does. What it does not do: keep anything when the
 * process ends, limit a queue's length, expire a message before somebody would take it, and delete a queue that nobody
 * uses (`x-expires`). The exchanges RabbitMQ comes with (`amq.topic` and so on) are not there.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Transport } from "../Transport.ts"
import * as VirtualTransport from "../virtual/VirtualTransport.ts"
import * as MemoryStore from "./MemoryStore.ts"

/** What an operator can do to the embedded broker. */
export class MemoryBroker extends Context.Service<
  MemoryBroker,
  {
    /** Cuts every link to it; clients find out as if the network had gone. */
    readonly disconnect: Effect.Effect<void>
  }
>()("@apium/hub/memory/MemoryTransport/MemoryBroker") {}

/** A broker of its own for each time the layer is built. */
export const layer: Layer.Layer<Transport | MemoryBroker> = Layer.effectContext(
  Effect.map(MemoryStore.make, (store) => {
    const { transport, disconnect } = VirtualTransport.make("memory", store)
    return Context.make(Transport, transport).pipe(
      Context.add(MemoryBroker, { disconnect: disconnect("the embedded broker closed the connection") })
    )
  })
)
