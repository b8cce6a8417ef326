/** One client in a Node.js of its own: `process.ts <client> <work> <url>`. It does what its parent asks for, and tells what that took. */
import type { Measures, Told } from "./contestant.ts"
import { profile } from "../profile.ts"
import { headers, many, type Client } from "./work.ts"

const [clientName, work, url] = process.argv.slice(2) as [string, string, string]

const load = async (): Promise<Client> => {
  switch (clientName) {
    case "raw":
      return (await import("./raw.ts")).client
    case "raw-json":
      return (await import("./raw.ts")).jsonClient
    case "apium":
      return (await import("./apium.ts")).client
    case "apium-hub":
      return (await import("./apium.ts")).hub
    case "apium-batch":
      return (await import("./apium.ts")).batch
    case "amqplib":
      return (await import("./amqplib.ts")).client
    case "rabbitmq-client":
      return (await import("./rabbitmq-client.ts")).client
    default:
      return (await import("./cloudamqp.ts")).client
  }
}

type Turn = (count: number, key?: string) => Promise<ReadonlyArray<number> | void>

/** Resident memory, once the garbage is gone and what it left has been given back. */
const resident = async (): Promise<number> => {
  for (let round = 0; round < 4; round++) {
    globalThis.gc?.()
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  return process.memoryUsage.rss()
}

const client = await load()
let turn: Turn
let end: (() => Promise<void>) | undefined
switch (work) {
  case "publish":
    ;({ turn } = await client.publish!(url, undefined))
    break
  case "publish-headers":
    ;({ turn } = await client.publish!(url, headers))
    break
  case "unconfirmed":
  case "held":
    ;({ end, turn } = await client[work]!(url))
    break
  default:
    ;({ turn } = await client[work as "rpc"]!(url))
}

const quantile = (sorted: ReadonlyArray<number>, share: number): number =>
  sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]!

const measured = async (count: number, key: string | undefined): Promise<Measures> => {
  if (end !== undefined) {
    const before = await resident()
    await turn(many)
    const memory = (await resident()) - before
    return { memory }
  }
  globalThis.gc?.()
  const cpu = process.cpuUsage()
  const started = performance.now()
  const samples = await turn(count, key)
  const time = performance.now() - started
  const used = process.cpuUsage(cpu)
  const sorted = samples?.toSorted((one, other) => one - other)
  return {
    time,
    cpu: (used.user + used.system) / count,
    ...(sorted === undefined ? undefined : { p50: quantile(sorted, 0.5), p99: quantile(sorted, 0.99) })
  }
}

const tell = (told: Told): void => void process.send!(told)

process.on("message", (asked: { readonly what: string; readonly count: number; readonly key?: string }) => {
  const answer = async (): Promise<Told> => {
    switch (asked.what) {
      case "turn":
        return { measures: await measured(asked.count, asked.key) }
      case "end":
        await end?.()
        return {}
      default:
        return { profile: await profile({ name: clientName, start: () => ({ turn: () => turn(asked.count) }) }, 1, 0) }
    }
  }
  answer().then(tell, (error: unknown) => tell({ error: error instanceof Error ? error.stack! : String(error) }))
})
process.on("disconnect", () => process.exit())
tell({})
