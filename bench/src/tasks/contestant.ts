/** The peers as contestants. Before the first turn, and outside of the clock, each shows that it does the work. */
import type { Contestant, Measures } from "../Bench.ts"
import * as peers from "./peers.ts"
import { place, type Place } from "./place.ts"
import type { Broker, Canvas, Manner, Peer, ProducerOptions, WorkerOptions } from "./work.ts"

const sleep = (milliseconds: number) => new Promise<void>((resolve) => setTimeout(resolve, milliseconds))

const expect = (what: string, got: number, wanted: number): void => {
  if (got !== wanted) throw new Error(`${what}: ${got}, and not ${wanted}`)
}

const stored = async ({ results }: Place, count: number): Promise<void> => {
  while ((await results()) < count) await sleep(2)
}

/** Who does not wait for confirms has said it all, and the broker may not have heard it all yet. */
const filled = async (name: string, { waiting }: Place, count: number): Promise<void> => {
  for (let asked = 0; asked < 100 && (await waiting()) < count; asked++) await sleep(20)
  expect(`${name}: messages in the queue`, await waiting(), count)
}

const checked = 100

const show = async (name: string, own: Place, producer: peers.Producer, manner: Manner): Promise<void> => {
  await producer.send(manner, "bench.count", checked)
  const deadline = Date.now() + 10_000
  let runs = 0
  while (runs < checked && Date.now() < deadline) {
    await sleep(20)
    runs += await own.counted()
  }
  await own.drained()
  expect(`${name}: tasks that ran`, runs + (await own.counted()), checked)
}

interface On {
  readonly broker: Broker
}

interface Working extends On, WorkerOptions {
  /** In each turn: enough for some 300 ms. What is measured is for each operation. */
  readonly count: number
}

/** Empties a queue that was filled before, in one process (Celery: and its children). The time is that of `operations`. */
export const working = (
  name: string,
  peer: Peer,
  operations: number,
  { broker, count, ...options }: Working
): Contestant => ({
  name,
  start: async () => {
    const own = await place(broker, peer)
    const results = options.results !== "none"
    const producer = await peers.producer(peer, own.urls, options)
    await producer.send("batch", "bench.noop", count, results)
    await filled(name, own, count)
    if (peer === "bullmq") await own.purge()
    else await own.keep()
    let worker = await peers.deployed(peer, own.urls, options)
    await show(name, own, producer, "batch")
    const begin = async () => {
      peers.freeze(worker)
      if (peer === "bullmq") await producer.send("batch", "bench.noop", count, results)
      else await own.refill()
      if (results) await own.forget()
    }
    const run = async (): Promise<Measures> => {
      const drained = own.drained()
      const cpu = peers.cpuOf(worker)
      const started = performance.now()
      peers.thaw(worker)
      await drained
      // Celery acknowledges before it runs a task.
      if (results) await stored(own, count)
      const time = performance.now() - started
      const used = peers.cpuOf(worker) - cpu
      return { time: (time * operations) / count, cpu: used / count, memory: peers.memoryOf(worker) }
    }
    return {
      prepare: begin,
      turn: run,
      // From sources, whose names say whose they are.
      profile: async () => {
        peers.thaw(worker)
        await own.drained()
        await worker.stop()
        worker = await peers.worker(peer, own.urls, options)
        for (let warm = 0; warm < 3; warm++) {
          await begin()
          await run()
        }
        await begin()
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

interface Enqueuing extends On, Partial<ProducerOptions> {
  readonly manner: Manner
  /** In each turn. */
  readonly count: number
}

/** Messages to a queue that nobody takes from. */
export const enqueuing = (
  name: string,
  peer: Peer,
  operations: number,
  { broker, conf, count, manner }: Enqueuing
): Contestant => ({
  name,
  start: async () => {
    const own = await place(broker, peer)
    const producer = await peers.producer(peer, own.urls, { results: "none", conf })
    return {
      prepare: own.purge,
      turn: async () => {
        const { cpu, time } = await producer.send(manner, "bench.noop", count)
        await filled(name, own, count)
        return { time: (time * operations) / count, cpu }
      },
      profile: async () => (await producer.profile(manner, count)) ?? { groups: [], functions: [] },
      stop: producer.stop
    }
  }
})

const quantile = (sorted: ReadonlyArray<number>, share: number): number =>
  sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]!

interface Sampled extends On, WorkerOptions {
  /** To the start of a task, or to its result. */
  readonly of: "mark" | "trip"
  readonly count: number
}

/** One message at a time, from its producer to a worker that waits. */
export const sampled = (name: string, peer: Peer, { broker, count, of, ...options }: Sampled): Contestant => ({
  name,
  start: async () => {
    const own = await place(broker, peer)
    const producer = await peers.producer(peer, own.urls, options)
    const worker = await peers.worker(peer, own.urls, options)
    await show(name, own, producer, "each")
    return {
      turn: async () => {
        const sorted = (await producer.samples(of, count)).toSorted((one, other) => one - other)
        return { p50: quantile(sorted, 0.5), p99: quantile(sorted, 0.99) }
      },
      stop: async () => {
        await worker.stop()
        await producer.stop()
      }
    }
  }
})

interface Composed extends On, WorkerOptions {
  readonly canvas: Canvas
  readonly size: number
}

/** From before a canvas is sent to its result; `cpu` is that of the worker, for each part. */
export const composed = (name: string, peer: Peer, { broker, canvas, size, ...options }: Composed): Contestant => ({
  name,
  start: async () => {
    const own = await place(broker, peer)
    const producer = await peers.producer(peer, own.urls, options)
    const worker = await peers.worker(peer, own.urls, options)
    await show(name, own, producer, "each")
    const turn = async (): Promise<Measures> => {
      const cpu = peers.cpuOf(worker)
      const { result, time } = await producer.canvas(canvas, size)
      expect(`${name}: the result of a ${canvas} of ${size}`, result, size)
      return { time, cpu: (peers.cpuOf(worker) - cpu) / size, p50: time }
    }
    return {
      // What came before is through, and its results are not in the way.
      prepare: async () => {
        await own.drained()
        await own.forget()
      },
      turn,
      profile: async () => {
        const profiled = worker.profile()
        for (let turns = 0; turns < 5; turns++) await turn()
        return (await profiled?.()) ?? { groups: [], functions: [] }
      },
      stop: async () => {
        await worker.stop()
        await producer.stop()
      }
    }
  }
})

interface Idling extends On {
  readonly concurrency: number
  readonly seconds: number
}

/** A worker that has nothing to do, after it did a little; as it is deployed. */
export const idling = (name: string, peer: Peer, { broker, concurrency, seconds }: Idling): Contestant => ({
  name,
  start: async () => {
    const own = await place(broker, peer)
    const producer = await peers.producer(peer, own.urls)
    const options: WorkerOptions = { concurrency, results: "none" }
    const worker = await peers.deployed(peer, own.urls, options)
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
