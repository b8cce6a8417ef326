/** The peers as contestants. Before the first turn, and outside of the clock, each shows that it does the work. */
import type { Contestant, Measures } from "../Bench.ts"
import * as peers from "./peers.ts"
import { database, type Database } from "./server.ts"
import type { Manner, Peer } from "./work.ts"

const sleep = (milliseconds: number) => new Promise<void>((resolve) => setTimeout(resolve, milliseconds))

const expect = (what: string, got: number, wanted: number): void => {
  if (got !== wanted) throw new Error(`${what}: ${got}, and not ${wanted}`)
}

/** Every 2 ms. */
const drained = async ({ left }: Database): Promise<void> => {
  while ((await left()) > 0) await sleep(2)
}

const stored = async ({ results }: Database, count: number): Promise<void> => {
  while ((await results()) < count) await sleep(2)
}

const checked = 100

const show = async (name: string, database: Database, producer: peers.Producer, manner: Manner): Promise<void> => {
  await producer.send(manner, "bench.count", checked)
  const deadline = Date.now() + 10_000
  let runs = 0
  while (runs < checked && Date.now() < deadline) {
    await sleep(20)
    runs += await database.counted()
  }
  await drained(database)
  expect(`${name}: tasks that ran`, runs + (await database.counted()), checked)
}

interface Options {
  readonly concurrency: number
  readonly results?: boolean
  /** In each turn: enough for some 300 ms. What is measured is for each operation. */
  readonly count: number
}

/** Empties a queue that was filled before, in one process (Celery: and its children). The time is that of `operations`. */
export const working = (
  name: string,
  peer: Peer,
  operations: number,
  { concurrency, count, results = false }: Options
): Contestant => ({
  name,
  start: async () => {
    const own = await database(peer)
    const producer = await peers.producer(peer, own.url, results)
    await producer.send("batch", "bench.noop", count, results)
    expect(`${name}: messages of a turn`, await own.waiting(), count)
    if (peer === "bullmq") await own.purge()
    else await own.keep()
    const worker = await peers.worker(peer, own.url, { concurrency, results })
    await show(name, own, producer, "batch")
    const begin = async () => {
      peers.freeze(worker)
      if (peer === "bullmq") await producer.send("batch", "bench.noop", count, results)
      else await own.refill()
      if (results) await own.forget()
    }
    const run = async (): Promise<Measures> => {
      const cpu = peers.cpuOf(worker)
      const started = performance.now()
      peers.thaw(worker)
      await drained(own)
      // Celery acknowledges before it runs a task.
      if (results) await stored(own, count)
      const time = performance.now() - started
      const used = peers.cpuOf(worker) - cpu
      return { time: (time * operations) / count, cpu: used / count }
    }
    return {
      prepare: begin,
      turn: run,
      profile: async () => {
        const profiled = worker.profile()
        await run()
        return (await profiled?.()) ?? { groups: [], functions: [] }
      },
      stop: async () => {
        peers.thaw(worker)
        await worker.stop()
        await producer.stop()
      }
    }
  }
})

/** Messages to a queue that nobody takes from. */
export const enqueuing = (name: string, peer: Peer, operations: number, manner: Manner, count: number): Contestant => ({
  name,
  start: async () => {
    const own = await database(peer)
    const producer = await peers.producer(peer, own.url)
    return {
      prepare: own.purge,
      turn: async () => {
        const { cpu, time } = await producer.send(manner, "bench.noop", count)
        expect(`${name}: messages in the queue`, await own.waiting(), count)
        return { time: (time * operations) / count, cpu }
      },
      profile: async () => (await producer.profile(manner, count)) ?? { groups: [], functions: [] },
      stop: producer.stop
    }
  }
})

const quantile = (sorted: ReadonlyArray<number>, share: number): number =>
  sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]!

/** One message at a time, from its producer to a worker that waits. */
export const starting = (name: string, peer: Peer, concurrency: number, count: number): Contestant => ({
  name,
  start: async () => {
    const own = await database(peer)
    const producer = await peers.producer(peer, own.url)
    const worker = await peers.worker(peer, own.url, { concurrency, results: false })
    await show(name, own, producer, "each")
    return {
      turn: async () => {
        const sorted = (await producer.marks(count)).toSorted((one, other) => one - other)
        return { p50: quantile(sorted, 0.5), p99: quantile(sorted, 0.99) }
      },
      stop: async () => {
        await worker.stop()
        await producer.stop()
      }
    }
  }
})

/** A worker that has nothing to do, after it did a little; as it is deployed. */
export const idling = (name: string, peer: Peer, concurrency: number, seconds: number): Contestant => ({
  name,
  start: async () => {
    const own = await database(peer)
    const producer = await peers.producer(peer, own.url)
    const worker =
      peer === "celery"
        ? await peers.worker(peer, own.url, { concurrency, results: false })
        : await peers.bundled(peer, own.url, concurrency)
    await show(name, own, producer, "batch")
    await producer.stop()
    await sleep(3000)
    return {
      turn: async () => {
        const cpu = peers.cpuOf(worker)
        await sleep(seconds * 1000)
        return { cpu: (peers.cpuOf(worker) - cpu) / seconds, memory: peers.memoryOf(worker) }
      },
      stop: worker.stop
    }
  }
})
