/** BullMQ on ioredis, as its documentation has it. What is done is removed. */
import { Queue, Worker } from "bullmq"
import { createClient } from "redis"
import { batch, counter, marks, now, queue, together, type Program } from "./work.ts"

const connectionOf = (url: string) => {
  const { hostname, port, pathname } = new URL(url)
  return { host: hostname, port: Number(port), db: Number(pathname.slice(1)), maxRetriesPerRequest: null }
}

const options = { removeOnComplete: true, removeOnFail: true }

export const program: Program = {
  work: async ({ redis: url }, { concurrency }) => {
    const redis = await createClient({ url }).connect()
    const worker = new Worker<{ readonly at: number }>(
      queue,
      async ({ name, data }) => {
        if (name === "bench.mark") {
          const late = now() - data.at
          await redis.rPush(marks, String(late))
        } else if (name === "bench.count") await redis.incr(counter)
      },
      { connection: connectionOf(url), concurrency }
    )
    await worker.waitUntilReady()
  },
  produce: async ({ redis: url }) => {
    const redis = await createClient({ url }).connect()
    const jobs = new Queue(queue, { connection: connectionOf(url), defaultJobOptions: options })
    await jobs.waitUntilReady()
    return {
      send: async (manner, name, operations) => {
        switch (manner) {
          case "batch": {
            const some = Array.from({ length: Math.min(batch, operations) }, () => ({ name, data: {} }))
            for (let sent = 0; sent < operations; sent += some.length) await jobs.addBulk(some)
            return
          }
          case "together":
            return together(operations, () => jobs.add(name, {}))
          case "each":
            for (let sent = 0; sent < operations; sent++) await jobs.add(name, {})
        }
      },
      mark: async () => {
        await jobs.add("bench.mark", { at: now() })
        return Number((await redis.blPop(marks, 0))!.element)
      }
    }
  }
}
