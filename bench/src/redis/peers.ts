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
import type { Manner, Peer, TaskName, WorkerOptions } from "./work.ts"

export interface Spent {
  /** Milliseconds. */
  readonly time: number
  /** Microseconds of its processor time for each. */
  readonly cpu: number
}

export interface Producer {
  readonly send: (manner: Manner, task: TaskName, count: number, results?: boolean) => Promise<Spent>
  /** Milliseconds from before each is sent to its start, one at a time. */
  readonly marks: (count: number) => Promise<ReadonlyArray<number>>
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
const celeryEnv = (url: string, results: boolean) => ({ BENCH_URL: url, BENCH_RESULTS: results ? "yes" : "no" })

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

export const worker = async (peer: Peer, url: string, { concurrency, results }: WorkerOptions): Promise<Worker> => {
  if (peer === "celery") {
    const { stop, value } = await scoped(
      Python.worker({
        code: file("tasks.py"),
        // Each line it logs would cost it time.
        args: ["--pool", "prefork", "--concurrency", String(concurrency), "--loglevel", "WARNING"],
        env: celeryEnv(url, results)
      })
    )
    const pid = Number(/pid (\d+) ready/.exec(await Effect.runPromise(value.line(" ready.")))![1])
    return { pids: [pid, ...children(pid)], profile: () => undefined, stop }
  }
  const child = await nodeOf(peer, "worker", url, String(concurrency), results ? "yes" : "no")
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

export const producer = async (peer: Peer, url: string, results = false): Promise<Producer> => {
  if (peer === "celery") {
    const { stop, value } = await scoped(Python.start(file("producer.py"), { env: celeryEnv(url, results) }))
    await Effect.runPromise(value.line("producer ready."))
    let number = 0
    const ask = async (work: string, count: number) => {
      const own = `#${++number} `
      await Effect.runPromise(value.say(`${own}${work} ${count}`))
      const line = await Effect.runPromise(value.line(own, 120_000))
      return JSON.parse(line.slice(own.length)) as Spent & { readonly samples: ReadonlyArray<number> }
    }
    return {
      send: (_, task, count) => ask(task, count),
      marks: async (count) => (await ask("mark", count)).samples,
      profile: async () => undefined,
      stop
    }
  }
  const child = await nodeOf(peer, "producer", url)
  const base = { what: "send", task: "bench.noop", results: false, profiled: false } as const
  return {
    send: async (manner, task, count, results = false) =>
      (await child.ask({ ...base, manner, task, count, results })) as Spent,
    marks: async (count) => (await child.ask({ what: "mark", count })).samples!,
    profile: async (manner, count) => (await child.ask({ ...base, manner, count, profiled: true })).profile,
    stop: child.stop
  }
}

/** A worker as it is deployed: one file of JavaScript, and Node.js as it comes. */
export const bundled = async (peer: Exclude<Peer, "celery">, url: string, concurrency: number): Promise<Worker> => {
  const { stop, value } = await scoped(Program.bundle(path.join(import.meta.dirname, `${peer}.idle.ts`)))
  const child = await forked(value, [url, String(concurrency)], [])
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
