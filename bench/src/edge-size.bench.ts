import { gzipSync } from "node:zlib"
import { bundle } from "../../test/support/bundle.ts"
import * as Bench from "./Bench.ts"

type Entry = Parameters<typeof bundle>[0]

const gzipped = (entry: Entry) => async () =>
  gzipSync((await bundle(entry, { minify: true })).code, { level: 9 }).length

export default Bench.once({
  title: "What an edge service ships, minified and gzipped",
  unit: "bytes",
  measure: [
    { name: "Task, Client and the memory broker", value: gzipped({ file: "bench/src/edge-client.ts" }) },
    { name: "@apium/protocol alone", value: gzipped({ source: `export * from "@apium/protocol"` }) }
  ]
})
