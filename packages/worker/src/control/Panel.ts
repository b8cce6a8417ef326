/**
 * The commands a worker answers to (celery/worker/control.py `Panel`): a registry that the control step fills with Celery's and
 * that you add to. A handler gets the arguments as they came; what it returns is the answer (`{ ok: ... }` by custom),
 * `Mailbox.noReply` is none, and what it fails with or throws is answered as Python shows an exception.
 *
 * ```ts
 * const Greet = Panel.command("greet", ({ who }) => Effect.succeed({ ok: `hello ${String(who)}` }))
 * ```
 *
 * Commands are executed one after the other: one that takes long keeps the others waiting.
 */
import type { Arguments } from "@apium/hub/Exchange"
import * as Mailbox from "@apium/hub/Mailbox"
import * as ControlMessage from "@apium/protocol/celery/ControlMessage"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"

export type Handler<R = never> = (args: Arguments) => Effect.Effect<unknown, unknown, R>

export class Panel extends Context.Service<
  Panel,
  {
    /** Sorted. */
    readonly names: () => ReadonlyArray<string>
    /** By name or by alias (`dump_active`); fails with `UnknownMethod`, and with what the handler fails with. */
    readonly handle: (method: string, args: Arguments) => Effect.Effect<unknown, unknown>
    /** Of two handlers of one name the later one is asked. */
    readonly register: (name: string, handler: Handler) => Effect.Effect<void>
    readonly unregister: (name: string, handler: Handler) => Effect.Effect<void>
  }
>()("@apium/worker/Panel") {
  /** Without any commands. */
  static readonly layer: Layer.Layer<Panel> = Layer.sync(Panel, () => make())

  /** Adds a command to the panel in scope, or stands in for the one of that name, for as long as the layer is there. */
  static readonly command = <R>(name: string, handler: Handler<R>): Layer.Layer<never, never, Panel | R> =>
    Layer.effectDiscard(
      Effect.gen(function* () {
        const panel = yield* Panel
        const context = yield* Effect.context<R>()
        const provided: Handler = (args) =>
          Effect.provideContext(
            Effect.suspend(() => handler(args)),
            context
          )
        yield* Effect.acquireRelease(panel.register(name, provided), () => panel.unregister(name, provided))
      })
    )
}

export const make = (): Panel["Service"] => {
  /** Under each name the oldest first. */
  const registry = new Map<string, ReadonlyArray<Handler>>()
  const find = (name: string): Handler | undefined => registry.get(name)?.at(-1)
  return {
    names: () => [...registry.keys()].toSorted(),
    handle: (method, args) => {
      const handler = find(method) ?? find(ControlMessage.canonical(method))
      return handler === undefined ? Effect.fail(new Mailbox.UnknownMethod({ method })) : handler(args)
    },
    register: (name, handler) => Effect.sync(() => void registry.set(name, [...(registry.get(name) ?? []), handler])),
    unregister: (name, handler) =>
      Effect.sync(() => {
        const left = (registry.get(name) ?? []).filter((other) => other !== handler)
        if (left.length === 0) registry.delete(name)
        else registry.set(name, left)
      })
  }
}
