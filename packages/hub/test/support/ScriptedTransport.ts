/**
 * A transport that does what the test says: each attempt to connect takes the next line of the script, and the last line
 * stands for all that follow. Underneath is the embedded broker, so that a link that works is a real one.
 */
import { ConnectionLost, HubError, type Reason } from "@apium/hub/HubError"
import * as MemoryTransport from "@apium/hub/memory/MemoryTransport"
import { Transport, type TransportConnection } from "@apium/hub/Transport"
import { Clock, Context, Deferred, Effect, Layer, Queue, Stream } from "effect"

/** `up` connects, `hang` never answers, and a reason fails with it. */
export type Line = "up" | "hang" | Reason

export const unreachable = new ConnectionLost({ cause: "unreachable", text: "nobody listens" })

export class Script extends Context.Service<
  Script,
  {
    readonly transport: Transport["Service"]
    /** When it was tried to connect. */
    readonly attempts: ReadonlyArray<number>
    /** What happens from now on. */
    readonly next: (...lines: ReadonlyArray<Line>) => Effect.Effect<void>
    /** Fails the present link with this reason. */
    readonly drop: (reason?: Reason) => Effect.Effect<void>
    readonly block: (blocked: boolean) => Effect.Effect<void>
    /** How many links, and how many of their channels, are open now. */
    readonly open: { links: number; channels: number }
  }
>()("test/Script") {
  static readonly layer = (
    ...script: ReadonlyArray<Line>
  ): Layer.Layer<Script | Transport | MemoryTransport.MemoryBroker> =>
    Layer.effectContext(
      Effect.gen(function* () {
        const memory = yield* Transport
        const broker = yield* MemoryTransport.MemoryBroker
        let lines = script
        const attempts: Array<number> = []
        const open = { links: 0, channels: 0 }
        let dropped = Deferred.makeUnsafe<never, HubError>()
        let blocked = yield* Queue.unbounded<boolean>()

        const count = (what: "links" | "channels") =>
          Effect.acquireRelease(
            Effect.sync(() => void open[what]++),
            () => Effect.sync(() => void open[what]--)
          )

        const connect = Effect.gen(function* () {
          attempts.push(yield* Clock.currentTimeMillis)
          const line = lines.length > 1 ? lines[0]! : (lines[0] ?? "up")
          lines = lines.slice(lines.length > 1 ? 1 : 0)
          if (line === "hang") return yield* Effect.never
          yield* count("links")
          if (line !== "up") return yield* new HubError({ reason: line })
          const link = yield* memory.connect
          dropped = Deferred.makeUnsafe()
          blocked = yield* Queue.unbounded<boolean>()
          const connection: TransportConnection = {
            channel: Effect.andThen(count("channels"), link.channel),
            closed: Effect.raceFirst(link.closed, Deferred.await(dropped)),
            blocked: Stream.fromQueue(blocked)
          }
          return connection
        })
        const transport = { ...memory, name: "scripted", connect }
        return Context.make(Transport, transport).pipe(
          Context.add(MemoryTransport.MemoryBroker, broker),
          Context.add(Script, {
            transport,
            attempts,
            open,
            next: (...next) => Effect.sync(() => void (lines = next)),
            drop: (reason = new ConnectionLost({ cause: "closed", text: "dropped" })) =>
              Effect.asVoid(Deferred.fail(dropped, new HubError({ reason }))),
            block: (value) => Effect.asVoid(Queue.offer(blocked, value))
          })
        )
      })
    ).pipe(Layer.provide(MemoryTransport.layer))
}
