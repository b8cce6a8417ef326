/**
 * `bench` lists the benchmarks, `bench <name> [--profile] [--json FILE] [--rounds N]` runs one, or all whose names begin with it, and says where the time
 * goes. With fewer rounds than it has itself it shows that it works, and little else.
 */
import { globSync, writeFileSync } from "node:fs"
import * as os from "node:os"
import { parseArgs } from "node:util"
import * as Bench from "./Bench.ts"
import { profile } from "./profile.ts"

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: { json: { type: "string" }, profile: { type: "boolean" }, rounds: { type: "string" } }
})
const [name] = positionals
const names = globSync("*.bench.ts", { cwd: import.meta.dirname })
  .map((file) => file.slice(0, -".bench.ts".length))
  .toSorted()

/** A file holds a benchmark, or a row of them. */
const load = async (name: string): Promise<ReadonlyArray<Bench.Timed | Bench.Once | Bench.Compared>> =>
  [(await import(`./${name}.bench.ts`)).default].flat()

/** As many rounds as were asked for, and one before them. */
const shortened = <A extends Bench.Timed | Bench.Compared>(bench: A): A =>
  values.rounds === undefined ? bench : { ...bench, rounds: Number(values.rounds), warmUp: 1 }

const table = (rows: ReadonlyArray<ReadonlyArray<string>>): void => {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)))
  for (const row of rows) {
    console.log(
      row.map((cell, column) => (column === 0 ? cell.padEnd(widths[0]!) : cell.padStart(widths[column]!))).join("  ")
    )
  }
}
const count = (value: number): string => Math.round(value).toLocaleString("en")
const times = (ratio: number): string => (Number.isFinite(ratio) ? `${ratio.toFixed(2)} x` : "")

const showProfile = (name: string, { functions, groups }: Bench.Profile): void => {
  console.log(`\nWhere the time of "${name}" goes, self time`)
  table(
    [...groups, { name: "", share: Number.NaN }, ...functions].map(({ name, share }) => [
      name,
      Number.isNaN(share) ? "" : `${share.toFixed(1)} %`
    ])
  )
}

const timed = async (bench: Bench.Timed) => {
  const results = await Bench.runTimed(shortened(bench))
  const rows = results.map(({ name, rate, ratio, noise }) => [name, count(rate), times(ratio), `${noise.toFixed(1)} %`])
  table([["", `${bench.unit}/s`, "ratio", "noise"], ...rows])
  if (values.profile === true) {
    for (const contestant of bench.contestants) showProfile(contestant.name, await profile(contestant))
  }
  return results
}

const once = async (bench: Bench.Once) => {
  const results = await Bench.runOnce(bench)
  table([["", bench.unit, "ratio"], ...results.map(({ name, value, ratio }) => [name, count(value), times(ratio)])])
  return results
}

/** What a measure is called, and how it is shown; a time as a rate. */
const measures: Readonly<Record<Bench.Measure, (bench: Bench.Compared, value: number) => readonly [string, string]>> = {
  time: ({ operations, unit }, value) => [`${unit}/s`, count((operations / value) * 1000)],
  cpu: (_, value) => ["cpu, us", value.toFixed(2)],
  memory: (_, value) => ["MiB", (value / 2 ** 20).toFixed(1)],
  p50: (_, value) => ["p50, ms", value.toFixed(3)],
  p99: (_, value) => ["p99, ms", value.toFixed(3)]
}

const verdict = ({ aim, floor, measure, ratio }: Bench.Claim & { readonly ratio: number }): string => {
  if (aim === undefined && floor === undefined) return ""
  const reaches = (wanted: number | undefined) =>
    wanted !== undefined && (measure === "time" ? ratio >= wanted : ratio <= wanted)
  if (reaches(aim)) return "aim"
  return reaches(floor) ? "floor" : "short"
}

const compared = async (bench: Bench.Compared) => {
  const results = await Bench.runCompared(shortened(bench))
  const shown = (Object.keys(measures) as ReadonlyArray<Bench.Measure>).filter(
    (measure) => results.contestants[0]!.turns[0]![measure] !== undefined
  )
  table([
    ["", ...shown.map((measure) => measures[measure](bench, 0)[0]), "noise"],
    ...results.contestants.map(({ name, turns }) => [
      name,
      ...shown.map((measure) => measures[measure](bench, Bench.median(turns.map((turn) => turn[measure]!)))[1]),
      `${Bench.noise(turns.map((turn) => turn[shown[0]!]!)).toFixed(1)} %`
    ])
  ])
  console.log("")
  table([
    ["", "ratio", "noise", "floor", "aim", ""],
    ...results.claims.map((claim) => [
      claim.what,
      times(claim.ratio),
      `${claim.noise.toFixed(1)} %`,
      claim.floor?.toFixed(2) ?? "",
      claim.aim?.toFixed(2) ?? "",
      verdict(claim)
    ])
  ])
  if (values.profile === true) {
    for (const { name, start } of bench.contestants) {
      const started = await start()
      // Once for the compiler.
      for (let turn = 0; turn < 3; turn++) {
        await started.prepare?.()
        await started.turn()
      }
      if (started.profile !== undefined) {
        await started.prepare?.()
        showProfile(name, await started.profile())
      }
      await started.stop?.()
    }
  }
  return results
}

const machine = {
  cpus: os.cpus().length,
  model: os.cpus()[0]?.model,
  memory: os.totalmem(),
  system: `${os.type()} ${os.arch()}`,
  node: process.version
}

const run = async (names: ReadonlyArray<string>): Promise<void> => {
  const reports: Array<object> = []
  for (const name of names) {
    for (const bench of await load(name)) {
      const { title, unit } = bench
      // Of others too: a machine that is busy makes all slow, and not all alike.
      const busy = os.loadavg()[0]!
      console.log(
        `${title} (${machine.cpus} x ${machine.model}, Node.js ${machine.node}, load ${busy.toFixed(1)} before)\n`
      )
      const results =
        "claims" in bench ? await compared(bench) : "contestants" in bench ? await timed(bench) : await once(bench)
      reports.push({ name, title, unit, machine, load: busy, at: new Date().toISOString(), results })
      console.log("")
    }
  }
  if (values.json !== undefined) {
    writeFileSync(values.json, `${JSON.stringify(reports.length === 1 ? reports[0] : reports, null, 2)}\n`)
  }
}

const chosen = names.includes(name!) ? [name!] : names.filter((other) => other.startsWith(`${name}-`))
if (name === undefined) {
  for (const name of names) {
    for (const { title } of await load(name)) console.log(`${name.padEnd(20)}  ${title}`)
  }
} else if (chosen.length > 0) {
  await run(chosen).finally(Bench.end)
} else {
  console.error(`No benchmark ${name}: there is ${names.join(", ")}`)
  process.exitCode = 1
}
