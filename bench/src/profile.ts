/** Where the time of a contestant goes: self time by package, and the functions that take most of it. */
import { Session } from "node:inspector/promises"
import type { Contestant, Profile, Share } from "./Bench.ts"

const groupOf = (functionName: string, url: string): string => {
  if (functionName.startsWith("(")) return functionName
  const ours = /packages\/([a-z-]+)\/src\//.exec(url)?.[1]
  if (ours !== undefined) return `@apium/${ours}`
  if (/node_modules\/effect\//.test(url)) return "effect"
  if (url.startsWith("node:") || url === "") return "Node.js"
  return /\/bench\//.test(url) ? "the benchmark" : "others"
}

const shares = (times: ReadonlyMap<string, number>): ReadonlyArray<Share> => {
  const whole = [...times.values()].reduce((sum, time) => sum + time, 0)
  return [...times]
    .map(([name, time]) => ({ name, share: (time / whole) * 100 }))
    .toSorted((one, other) => other.share - one.share)
}

export const profile = async ({ start }: Contestant, turns = 10, warm = 3): Promise<Profile> => {
  const started = await start()
  const session = new Session()
  session.connect()
  const turn = async () => {
    await started.prepare?.()
    await started.turn()
  }
  for (let turns = 0; turns < warm; turns++) await turn()
  await session.post("Profiler.enable")
  await session.post("Profiler.setSamplingInterval", { interval: 200 })
  await session.post("Profiler.start")
  for (let measured = 0; measured < turns; measured++) await turn()
  const { profile } = await session.post("Profiler.stop")
  session.disconnect()
  await started.stop?.()

  const nodes = new Map(profile.nodes.map((node) => [node.id, node]))
  const groups = new Map<string, number>()
  const functions = new Map<string, number>()
  const add = (to: Map<string, number>, key: string, time: number) => to.set(key, (to.get(key) ?? 0) + time)
  for (const [index, id] of (profile.samples ?? []).entries()) {
    const { functionName, url } = nodes.get(id)!.callFrame
    // Waiting is no work, and looking is not the contestant's.
    if (functionName === "(idle)" || url === "node:inspector") continue
    const time = profile.timeDeltas?.[index] ?? 0
    const file = url.split("/").at(-1) ?? ""
    add(groups, groupOf(functionName, url), time)
    add(functions, `${functionName === "" ? "(anonymous)" : functionName} ${file}`.trim(), time)
  }
  return { groups: shares(groups), functions: shares(functions).slice(0, 20) }
}
