/** One process of the benchmark: `process.ts <peer> <role> <urls> <options>`, both in JSON. A producer does what its parent asks for. */
import type { Profile } from "../Bench.ts"
import { profile } from "../profile.ts"
import {
  type Canvas,
  type Manner,
  pause,
  type Peer,
  type Program,
  type TaskName,
  type Urls,
  type WorkerOptions
} from "./work.ts"

export type Asked =
  | {
      readonly what: "send"
      readonly manner: Manner
      readonly task: TaskName
      readonly count: number
      readonly results: boolean
      readonly profiled: boolean
    }
  | { readonly what: "sample"; readonly of: "mark" | "trip"; readonly count: number }
  | { readonly what: "canvas"; readonly canvas: Canvas; readonly size: number }
  /** From now on, until `profiled`. */
  | { readonly what: "profile" }
  | { readonly what: "profiled" }

export interface Told {
  readonly ready?: true
  readonly time?: number
  /** Microseconds for each. */
  readonly cpu?: number
  readonly samples?: ReadonlyArray<number>
  /** What a canvas gave. */
  readonly result?: number
  readonly profile?: Profile
  readonly error?: string
}

const [peer, role, urlsText, optionsText] = process.argv.slice(2) as [Exclude<Peer, "celery">, string, string, string]
const urls = JSON.parse(urlsText) as Urls
const options = JSON.parse(optionsText) as WorkerOptions

const load = async (): Promise<Program> => {
  switch (peer) {
    case "apium":
      return (await import("./apium.ts")).program
    case "bullmq":
      return (await import("./bullmq.ts")).program
    case "channel":
      return (await import("./channel.ts")).program
    case "socket":
      return (await import("./socket.ts")).program
  }
}

const program = await load()
if (role === "worker") await program.work!(urls, options)
const producer = role === "worker" ? undefined : await program.produce(urls, options)

let enough = () => {}

const spent = async <A>(count: number, work: () => Promise<A>) => {
  globalThis.gc?.()
  const cpu = process.cpuUsage()
  const started = performance.now()
  const result = await work()
  const time = performance.now() - started
  const { user, system } = process.cpuUsage(cpu)
  return { time, cpu: (user + system) / count, result }
}

/** Milliseconds from before it is sent to the first line of its handler, or to its result. */
const samples = {
  mark: () => producer!.mark!(),
  trip: async () => {
    const started = performance.now()
    await producer!.trip!()
    return performance.now() - started
  }
}

const answer = async (asked: Asked): Promise<Told | undefined> => {
  switch (asked.what) {
    case "send": {
      const { manner, task, count, results, profiled } = asked
      const turn = () => producer!.send(manner, task, count, results)
      if (profiled) return { profile: await profile({ name: peer, start: () => ({ turn }) }, 1, 0) }
      const { cpu, time } = await spent(count, turn)
      return { time, cpu }
    }
    case "sample": {
      const all: Array<number> = []
      for (let sent = 0; sent < asked.count; sent++) {
        all.push(await samples[asked.of]())
        await new Promise((resolve) => setTimeout(resolve, pause))
      }
      return { samples: all }
    }
    case "canvas":
      return spent(asked.size, () => producer!.canvas!(asked.canvas, asked.size))
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
