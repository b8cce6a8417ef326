/** Runs one of the files beside this in a Node.js of its own, and reads the numbers it prints as JSON. */
import { execFile } from "node:child_process"
import * as path from "node:path"

const run = (file: string, flags: ReadonlyArray<string>): Promise<Readonly<Record<string, number>>> =>
  new Promise((resolve, reject) => {
    const args = ["--conditions=@apium/source", "--expose-gc", ...flags, path.join(import.meta.dirname, file)]
    execFile(process.execPath, args, { maxBuffer: 2 ** 24 }, (error, stdout, stderr) => {
      if (error !== null) reject(new Error(stderr, { cause: error }))
      else resolve(JSON.parse(stdout.trim().split("\n").at(-1)!) as Readonly<Record<string, number>>)
    })
  })

/** One process for all the numbers of a benchmark. */
export const measured = (file: string, ...flags: ReadonlyArray<string>) => {
  let numbers: Promise<Readonly<Record<string, number>>> | undefined
  return (name: string) => async (): Promise<number> => {
    const value = (await (numbers ??= run(file, flags)))[name]
    if (value === undefined) throw new Error(`${file} says nothing of ${name}`)
    return value
  }
}
