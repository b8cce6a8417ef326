/** A worker and nothing else, to be bundled: as programs are run, and without what takes the types out of them. */
import { program } from "./bullmq.ts"

await program.work(process.argv[2]!, { concurrency: Number(process.argv[3]), results: false })
process.send!({ ready: true })
process.on("disconnect", () => process.exit())
