/**
 * What every transport has to do, as tests: one call makes a test file of a layer.
 *
 * ```ts
 * TransportSuite.suite("memory", MemoryTransport.layer)
 * ```
 *
 * The suite needs `vitest` and `@effect/vitest`, which nothing else here does. It runs in real time, against a real broker
 * that others may use meanwhile: every name is its own, what it declares it deletes, and it never sleeps. What a transport
 * says it can do (`capabilities`) decides what is expected of it; what it cannot do, and should, is a skip with its reason.
 */
import { layer as withLayer, type TestContext } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import type { HubError } from "../HubError.ts"
import { consuming } from "../internal/suite/consuming.ts"
import * as Harness from "../internal/suite/harness.ts"
import { messages } from "../internal/suite/messages.ts"
import { routing, topicTable } from "../internal/suite/routing.ts"
import { settling } from "../internal/suite/settling.ts"
import { topology } from "../internal/suite/topology.ts"
import { Transport } from "../Transport.ts"

/** Topic patterns with keys they match and keys they do not, as RabbitMQ has it. */
export { topicTable }

export interface Options {
  /** The tests this transport does not pass, by name, and why. */
  readonly skip?: Readonly<Record<string, string>> | undefined
  /** Whom the transport logs in as: a broker refuses messages in somebody else's name. Default `guest`. */
  readonly userId?: string | undefined
  /** For one test. Default 30 seconds. */
  readonly timeout?: Duration.Input | undefined
}

export const suite = (name: string, layer: Layer.Layer<Transport, HubError>, options: Options = {}): void => {
  const timeout = Duration.fromInputUnsafe(options.timeout ?? "30 seconds")
  const skip = options.skip ?? {}
  const parts = { messages: messages(options.userId ?? "guest"), settling, consuming, routing, topology }
  const names = new Set(
    Object.values(parts)
      .flat()
      .map((one) => one.name)
  )
  const unknown = Object.keys(skip).filter((name) => !names.has(name))
  if (unknown.length > 0) throw new Error(`There are no tests of these names to skip: ${unknown.join(", ")}`)

  const run = ({ run, unless }: Harness.Case, context: TestContext) =>
    Effect.gen(function* () {
      const transport = yield* Transport
      const reason = unless?.(transport.capabilities)
      if (reason === undefined) return yield* run(yield* Harness.open(transport))
      // It marks the test and then throws, which would be logged as a failure on its way out.
      yield* Effect.catchDefect(
        Effect.sync(() => context.skip(reason)),
        () => Effect.void
      )
    }).pipe(Effect.timeout(timeout))

  withLayer(layer, { excludeTestServices: true, timeout })(name, (it) => {
    for (const [part, cases] of Object.entries(parts)) {
      it.describe(part, () => {
        for (const one of cases) {
          const reason = skip[one.name]
          // The suite's own limit comes first: it says which test, and cleans up.
          const limit = Duration.toMillis(timeout) + 10_000
          if (reason === undefined) it.effect(one.name, (context) => run(one, context), limit)
          else it.effect.skip(`${one.name} (${reason})`, () => Effect.void)
        }
      })
    }
  })
}
