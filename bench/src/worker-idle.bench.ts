import * as Bench from "./Bench.ts"
import { measured } from "./process/measured.ts"

const idle = measured("idle.ts")

export default Bench.once({
  title: "An idle worker for 10 s (100 ms would be 1 % of a core)",
  unit: "ms of CPU",
  measure: [{ name: "user and system", value: idle("cpu") }]
})
