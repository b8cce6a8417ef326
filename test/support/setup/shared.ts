import { Effect, Exit, Scope } from "effect"

interface Held {
  readonly scope: Scope.Closeable
  readonly value: Promise<unknown>
  users: number
}

/** Each project loads its setup anew, so what they share is kept where they all find it. */
const all: Record<string, Held> = ((globalThis as { apiumServers?: Record<string, Held> }).apiumServers ??= {})

/** Made for the first project that asks, ended by the last. */
export const shared = <A, E>(name: string, make: Effect.Effect<A, E, Scope.Scope>) => ({
  acquire: async (): Promise<A> => {
    let held = all[name]
    if (held === undefined) {
      const scope = Scope.makeUnsafe()
      held = all[name] = { scope, users: 0, value: Effect.runPromise(Scope.provide(make, scope)) }
    }
    held.users++
    return (await held.value) as A
  },
  release: async (): Promise<void> => {
    const held = all[name]
    if (held === undefined || --held.users > 0) return
    delete all[name]
    await Effect.runPromise(Scope.close(held.scope, Exit.void))
  }
})
