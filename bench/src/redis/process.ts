/** One process of the benchmark: `process.ts <peer> worker <url> <concurrency> <results>`, or `process.ts <peer> producer <url>`, which does what its parent asks for. */
import type { Profile } from "../Bench.ts"
import { profile } from "../profile.ts"
import { pause, type Manner, type Program, type TaskName } from "./work.ts"

export type Asked =
  | {
      readonly what: "send"
      readonly manner: Manner
      readonly task: TaskName
      readonly count: number
      readonly results: boolean
      readonly profiled: boolean
    }
  | { readonly what: "mark"; readonly count: number }
  /** From now on, until `profiled`. */
  | { readonly what: "profile" }
  | { readonly what: "profiled" }

export interface Told {
  readonly ready?: true
  readonly time?: number
  /** Microseconds for each. */
  readonly cpu?: number
  readonly samples?: ReadonlyArray<number>
  readonly profile?: Profile
  readonly error?: string
}

const [peer, role, url, concurrency, results] = process.argv.slice(2) as [string, string, string, string?, string?]
const program: Program = peer === "apium" ? (await import("./apium.ts")).program : (await import("./bullmq.ts")).program
if (role === "worker") await program.work(url, { concurrency: Number(concurrency), results: results === "yes" })
const producer = role === "worker" ? undefined : await program.produce(url)

let enough = () => {}

const answer = async (asked: Asked): Promise<Told | undefined> => {
  switch (asked.what) {
    case "send": {
      const { manner, task, count, results, profiled } = asked
      const turn = () => producer!.send(manner, task, count, results)
      if (profiled) return { profile: await profile({ name: peer, start: () => ({ turn }) }, 1, 0) }
      globalThis.gc?.()
      const cpu = process.cpuUsage()
      const started = performance.now()
      await turn()
      const time = performance.now() - started
      const { user, system } = process.cpuUsage(cpu)
      return { time, cpu: (user + system) / count }
    }
    case "mark": {
      const samples: Array<number> = []
      for (let sent = 0; sent < asked.count; sent++) {
        samples.push(await producer!.mark())
        await new Promise((resolve) => setTimeout(resolve, pause))
      }
      return { samples }
    }
    case "profile":
      return {
        profile: await profile(
          { name: peer, start: () => ({ turn: () => new Promise<void>((resolve) => (enough = resolve)) }) },
          1,
          0
        )
      }
    case "profiled":
      enough()
      return undefined
  }
}

const tell = (told: Told | undefined): void => {
  if (told !== undefined) process.send!(told)
}

process.on("message", (asked: Asked) => {
  answer(asked).then(tell, (error: unknown) => tell({ error: error instanceof Error ? error.stack! : String(error) }))
})
process.on("disconnect", () => process.exit())
tell({ ready: true })
