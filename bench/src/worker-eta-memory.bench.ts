import * as Bench from "./Bench.ts"
import { measured } from "./process/measured.ts"

const memory = measured("eta-memory.ts")
/** As Node.js limits itself in a container of 1 GiB, or less. */
const contained = measured("eta-memory.ts", "--max-old-space-size=800")

export default Bench.once({
  title: "1,000,000 tasks for an hour from now, on the embedded broker, with a worker",
  unit: "MiB",
  measure: [
    { name: "resident at its peak, with at most 800 MiB of heap", value: contained("peak") },
    { name: "resident at its peak, Node.js left to itself", value: memory("peak") },
    { name: "heap they occupy", value: memory("heap") }
  ]
})
