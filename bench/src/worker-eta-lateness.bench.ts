import * as Bench from "./Bench.ts"
import { measured } from "./process/measured.ts"

const lateness = measured("eta-lateness.ts")

export default Bench.once({
  title: "1,000 tasks due within one second, on the embedded broker: how late they start",
  unit: "ms",
  measure: [
    { name: "p50", value: lateness("p50") },
    { name: "p99", value: lateness("p99") },
    { name: "the latest", value: lateness("max") },
    { name: "how many were early (not ms)", value: lateness("early") }
  ]
})
