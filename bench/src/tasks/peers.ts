/** Their processes: each worker and each producer has one of its own. */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import { fork } from "node:child_process"
import { readdirSync, readFileSync } from "node:fs"
import * as path from "node:path"
import * as Program from "../../../test/support/Program.ts"
import * as Python from "../../../test/support/Python.ts"
import type { Profile } from "../Bench.ts"
import type { Asked, Told } from "./process.ts"
import type { Canvas, Manner, Peer, ProducerOptions, TaskName, Urls, WorkerOptions } from "./work.ts"

export interface Spent {
  /** Milliseconds. */
  readonly time: number
  /** Microseconds of its processor time for each. */
  readonly cpu: number
}

export interface Producer {
  readonly send: (manner: Manner, task: TaskName, count: number, results?: boolean) => Promise<Spent>
  /** Milliseconds from before each is sent to its start, or to its result, one at a time. */
  readonly samples: (of: "mark" | "trip", count: number) => Promise<ReadonlyArray<number>>
  /** From before it is sent to its result. */
  readonly canvas: (canvas: Canvas, size: number) => Promise<Spent & { readonly result: number }>
  readonly profile: (manner: Manner, count: number) => Promise<Profile | undefined>
  readonly stop: () => Promise<void>
}

export interface Worker {
  /** It, and what it started. */
  readonly pids: ReadonlyArray<number>
  /** From now on, until the function is called. */
  readonly profile: () => (() => Promise<Profile>) | undefined
  readonly stop: () => Promise<void>
}

const sources = ["--conditions=@apium/source", "--expose-gc"]

/** A Node.js that is asked one thing at a time. */
const nodeOf = (...args: ReadonlyArray<string>) => forked(path.join(import.meta.dirname, "process.ts"), args, sources)

const forked = async (file: string, args: ReadonlyArray<string>, execArgv: Array<string>) => {
  const child = fork(file, args, { execArgv })
  const next = () =>
    new Promise<Told>((resolve, reject) => {
      const exited = (code: number | null) => reject(new Error(`${args.join(" ")} left (${code})`))
      child.once("exit", exited)
      child.once("message", (told: Told) => {
        child.off("exit", exited)
        if (told.error === undefined) resolve(told)
        else reject(new Error(`${args.join(" ")}: ${told.error}`))
      })
    })
  await next()
  return {
    pid: child.pid!,
    say: (asked: Asked) => void child.send(asked),
    told: next,
    ask: (asked: Asked) => {
      const told = next()
      child.send(asked)
      return told
    },
    stop: async () => void child.kill("SIGKILL")
  }
}

const file = (name: string): string => readFileSync(path.join(import.meta.dirname, name), "utf8")
const celeryEnv = (urls: Urls, { conf = {}, results }: ProducerOptions) => ({
  BENCH_BROKER: urls.broker,
  BENCH_REDIS: urls.redis,
  BENCH_RESULTS: results,
  BENCH_CONF: JSON.stringify(conf)
})

const scoped = async <A, E>(effect: Effect.Effect<A, E, Scope.Scope>) => {
  const scope = Scope.makeUnsafe()
  const value = await Effect.runPromise(Scope.provide(effect, scope))
  return { value, stop: () => Effect.runPromise(Scope.close(scope, Exit.void)) }
}

const children = (pid: number): ReadonlyArray<number> =>
  readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8")
    .trim()
    .split(" ")
    .filter((text) => text !== "")
    .map(Number)

export const worker = async (peer: Peer, urls: Urls, options: WorkerOptions): Promise<Worker> => {
  if (peer === "celery") {
    const { stop, value } = await scoped(
      Python.worker({
        code: file("tasks.py"),
        // Each line it logs would cost it time.
        args: ["--pool", "prefork", "--concurrency", String(options.concurrency), "--loglevel", "WARNING"],
        env: celeryEnv(urls, options)
      })
    )
    const pid = Number(/pid (\d+) ready/.exec(await Effect.runPromise(value.line(" ready.")))![1])
    return { pids: [pid, ...children(pid)], profile: () => undefined, stop }
  }
  const child = await nodeOf(peer, "worker", JSON.stringify(urls), JSON.stringify(options))
  return {
    pids: [child.pid],
    profile: () => {
      const told = child.ask({ what: "profile" })
      return async () => {
        child.say({ what: "profiled" })
        return (await told).profile!
      }
    },
    stop: child.stop
  }
}

export const producer = async (
  peer: Peer,
  urls: Urls,
  options: ProducerOptions = { results: "none" }
): Promise<Producer> => {
  if (peer === "celery") {
    const { stop, value } = await scoped(Python.start(file("producer.py"), { env: celeryEnv(urls, options) }))
    await Effect.runPromise(value.line("producer ready."))
    let number = 0
    const ask = async (work: string, count: number) => {
      const own = `#${++number} `
      await Effect.runPromise(value.say(`${own}${work} ${count}`))
      const line = await Effect.runPromise(value.line(own, 120_000))
      return JSON.parse(line.slice(own.length)) as Spent & {
        readonly samples: ReadonlyArray<number>
        readonly result: number
      }
    }
    return {
      send: (_, task, count) => ask(task, count),
      samples: async (of, count) => (await ask(of, count)).samples,
      canvas: ask,
      profile: async () => undefined,
      stop
    }
  }
  const child = await nodeOf(peer, "producer", JSON.stringify(urls), JSON.stringify(options))
  const base = { what: "send", task: "bench.noop", results: false, profiled: false } as const
  return {
    send: async (manner, task, count, results = false) =>
      (await child.ask({ ...base, manner, task, count, results })) as Spent,
    samples: async (of, count) => (await child.ask({ what: "sample", of, count })).samples!,
    canvas: async (canvas, size) =>
      (await child.ask({ what: "canvas", canvas, size })) as Spent & { readonly result: number },
    profile: async (manner, count) => (await child.ask({ ...base, manner, count, profiled: true })).profile,
    stop: child.stop
  }
}

/** As it is deployed: in Node.js one file of JavaScript, without what takes the types out of sources (some 100 MiB, and time of the start). */
export const deployed = async (peer: Peer, urls: Urls, options: WorkerOptions): Promise<Worker> => {
  if (peer === "celery") return worker(peer, urls, options)
  const { stop, value } = await scoped(Program.bundle(path.join(import.meta.dirname, `${peer}.idle.ts`)))
  const child = await forked(value, [JSON.stringify(urls), JSON.stringify(options)], [])
  return {
    pids: [child.pid],
    profile: () => undefined,
    stop: async () => {
      await child.stop()
      await stop()
    }
  }
}

/** Microseconds of processor time that they have used. (`/proc/.../stat` has hundredths of a second.) */
export const cpuOf = ({ pids }: Worker): number =>
  pids.reduce((sum, pid) => {
    const nanos = readdirSync(`/proc/${pid}/task`).map((thread) =>
      Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, "utf8").split(" ")[0])
    )
    return nanos.reduce((all, one) => all + one / 1000, sum)
  }, 0)

/** The proportional share of their memory, in octets. */
export const memoryOf = ({ pids }: Worker): number =>
  pids.reduce((sum, pid) => {
    const pss = /^Pss:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, "utf8"))
    return sum + Number(pss![1]) * 1024
  }, 0)

/** Stands still, while it is given work. */
export const freeze = ({ pids }: Worker): void => void process.kill(pids[0]!, "SIGSTOP")
export const thaw = ({ pids }: Worker): void => void process.kill(pids[0]!, "SIGCONT")
