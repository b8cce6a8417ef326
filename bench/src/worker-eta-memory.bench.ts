import * as Bench from "./Bench.ts"
import { measured } from "./process/measured.ts"

const memory = measured("eta-memory.ts")

export default Bench.once({
  title: "1,000,000 tasks for an hour from now, on the embedded broker, with a worker",
  unit: "MiB",
  measure: [
    { name: "resident, at its peak", value: memory("peak") },
    { name: "heap they occupy", value: memory("heap") }
  ]
})
