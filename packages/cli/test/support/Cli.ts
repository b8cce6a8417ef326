/** `apium` inside of the test: what it prints, and the code it ends with. */
import * as Apium from "@apium/cli/Apium"
import { teardown } from "@apium/cli/run"
import { layerHost } from "@apium/worker/node"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { onTestFinished } from "@effect/vitest"
import { ConfigProvider, Console, Deferred, Effect, type Exit, Fiber, Layer } from "effect"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

export const fixture = (name: string): string => fileURLToPath(new URL(`../fixtures/${name}.ts`, import.meta.url))

/** A module of this text, for as long as the test takes. */
export const written = (text: string): string => {
  const folder = mkdtempSync(join(tmpdir(), "apium cli "))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  writeFileSync(join(folder, "app.mjs"), text)
  return join(folder, "app.mjs")
}

interface Running {
  /** Waits for a line of either output that contains this. */
  readonly says: (text: string) => Effect.Effect<string>
  readonly interrupt: Effect.Effect<Ended>
  readonly ended: Effect.Effect<Ended>
}

export interface Ended {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

const console = (print: (output: "stdout" | "stderr", text: string) => void): Console.Console => ({
  ...globalThis.console,
  log: (...args: ReadonlyArray<unknown>) => print("stdout", args.join(" ")),
  error: (...args: ReadonlyArray<unknown>) => print("stderr", args.join(" "))
})

export const start = Effect.fnUntraced(function* (
  args: ReadonlyArray<string>,
  env: Readonly<Record<string, string>> = {}
) {
  const written = { stdout: "", stderr: "" }
  const waiting = new Map<string, Deferred.Deferred<string>>()
  const told = () => {
    for (const [text, said] of waiting) {
      const line = `${written.stdout}${written.stderr}`.split("\n").find((line) => line.includes(text))
      if (line !== undefined) Deferred.doneUnsafe(said, Effect.succeed(line))
    }
  }
  const live = Layer.mergeAll(
    NodeServices.layer,
    layerHost,
    ConfigProvider.layer(ConfigProvider.fromEnv({ env })),
    Layer.succeed(
      Console.Console,
      console((output, text) => {
        written[output] += `${text}\n`
        told()
      })
    )
  )
  const fiber = yield* Effect.forkScoped(Effect.provide(Apium.run(args), live), { startImmediately: true })
  const ended = Effect.map(Fiber.await(fiber), (exit): Ended => {
    let code = Number.NaN
    teardown(exit as Exit.Exit<unknown, unknown>, (chosen) => {
      code = chosen
    })
    return { code, ...written }
  })
  const running: Running = {
    says: (text) =>
      Effect.suspend(() => {
        const said = waiting.get(text) ?? Deferred.makeUnsafe<string>()
        waiting.set(text, said)
        told()
        return Deferred.await(said)
      }),
    interrupt: Effect.andThen(Fiber.interrupt(fiber), ended),
    ended
  }
  return running
})

/** Asked again until somebody answers, or nobody has for long: answers are waited for a second, and a machine that has much to do takes more. */
export const answered = (args: ReadonlyArray<string>, env?: Readonly<Record<string, string>>): Effect.Effect<Ended> =>
  Effect.repeat(apium(args, env), { while: ({ code }) => code === 69, times: 20 })

export const apium = (args: ReadonlyArray<string>, env?: Readonly<Record<string, string>>): Effect.Effect<Ended> =>
  Effect.scoped(Effect.flatMap(start(args, env), ({ ended }) => ended))
