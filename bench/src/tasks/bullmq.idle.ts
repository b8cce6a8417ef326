/** A worker and nothing else, to be bundled: as programs are run, and without what takes the types out of them. */
import { program } from "./bullmq.ts"
import type { Urls, WorkerOptions } from "./work.ts"

await program.work!(JSON.parse(process.argv[2]!) as Urls, JSON.parse(process.argv[3]!) as WorkerOptions)
process.send!({ ready: true })
process.on("disconnect", () => process.exit())
