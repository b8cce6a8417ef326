/** `bench` lists the benchmarks, `bench <name> [--profile] [--json FILE]` runs one, and says where the time goes. */
import { globSync, writeFileSync } from "node:fs"
import * as os from "node:os"
import { parseArgs } from "node:util"
import * as Bench from "./Bench.ts"
import { profile } from "./profile.ts"

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: { json: { type: "string" }, profile: { type: "boolean" } }
})
const [name] = positionals
const names = globSync("*.bench.ts", { cwd: import.meta.dirname })
  .map((file) => file.slice(0, -".bench.ts".length))
  .toSorted()

/** A file holds a benchmark, or a row of them. */
const load = async (name: string): Promise<ReadonlyArray<Bench.Timed | Bench.Once>> =>
  [(await import(`./${name}.bench.ts`)).default].flat()

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

if (name === undefined) {
  for (const name of names) {
    for (const { title } of await load(name)) console.log(`${name.padEnd(20)}  ${title}`)
  }
} else if (names.includes(name)) {
  const machine = {
    cpus: os.cpus().length,
    model: os.cpus()[0]?.model,
    memory: os.totalmem(),
    system: `${os.type()} ${os.arch()}`,
    node: process.version
  }
  const reports: Array<object> = []
  for (const bench of await load(name)) {
    console.log(`${bench.title} (${machine.cpus} x ${machine.model}, Node.js ${machine.node})\n`)

    let results: ReadonlyArray<Bench.TimedResult> | ReadonlyArray<Bench.OnceResult>
    if ("contestants" in bench) {
      results = await Bench.runTimed(bench)
      const rows = results.map(({ name, rate, ratio, noise }) => [
        name,
        count(rate),
        times(ratio),
        `${noise.toFixed(1)} %`
      ])
      table([["", `${bench.unit}/s`, "ratio", "noise"], ...rows])
      if (values.profile === true) {
        for (const contestant of bench.contestants) {
          const { groups, functions } = await profile(contestant)
          console.log(`\nWhere the time of "${contestant.name}" goes, self time`)
          table(
            [...groups, { name: "", share: Number.NaN }, ...functions].map(({ name, share }) => [
              name,
              Number.isNaN(share) ? "" : `${share.toFixed(1)} %`
            ])
          )
        }
      }
    } else {
      results = await Bench.runOnce(bench)
      table([["", bench.unit, "ratio"], ...results.map(({ name, value, ratio }) => [name, count(value), times(ratio)])])
    }
    const { title, unit } = bench
    reports.push({ name, title, unit, machine, at: new Date().toISOString(), results })
    console.log("")
  }
  if (values.json !== undefined) {
    writeFileSync(values.json, `${JSON.stringify(reports.length === 1 ? reports[0] : reports, null, 2)}\n`)
  }
} else {
  console.error(`No benchmark ${name}: there is ${names.join(", ")}`)
  process.exitCode = 1
}
