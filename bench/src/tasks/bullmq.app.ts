/** BullMQ has no command: a worker is a program. */
import { Worker } from "bullmq"

const { hostname, pathname, port } = new URL(process.argv[2]!)
const connection = { host: hostname, port: Number(port), db: Number(pathname.slice(1)), maxRetriesPerRequest: null }

const worker = new Worker(
  process.argv[3]!,
  async () => {
    const { system, user } = process.cpuUsage()
    process.stdout.write(`mark ${Number(process.hrtime.bigint()) / 1e6} ${user + system}\n`)
  },
  { connection, concurrency: 10 }
)
await worker.waitUntilReady()
