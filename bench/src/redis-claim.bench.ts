/**
 * Messages of 100 octets from a queue that is full before the clock starts, prefetch 256, each acknowledged by itself, until Redis has forgotten the last
 * one; against kombu itself, and against its commands from node-redis. Equal work: all octets arrived, and nothing is left, waiting or unacknowledged.
 *
 * And what a claim of 100 takes where 1,000,000 messages wait in 50 queues, each with four priorities, or a thousandth of them.
 */
import * as Message from "@apium/hub/Message"
import type { Put, VirtualStore } from "@apium/hub/virtual/VirtualStore"
import * as Redis from "@apium/transport-redis/node"
import * as RedisStore from "@apium/transport-redis/RedisStore"
import * as RedisUri from "@apium/transport-redis/RedisUri"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import { fork } from "node:child_process"
import { readFileSync } from "node:fs"
import * as path from "node:path"
import * as Python from "../../test/support/Python.ts"
import * as Bench from "./Bench.ts"
import type { Asked, Told } from "./redis/claim.ts"
import { database, type Database } from "./tasks/redis.ts"
import { queue } from "./tasks/work.ts"

const operations = 10_000
const octets = 100

const body = new TextEncoder().encode(JSON.stringify("x".repeat(octets - 2)))
const puts = (routingKey: string, count: number, priority = 0): ReadonlyArray<Put> =>
  Array.from({ length: count }, () => ({
    message: Message.make(body, { contentType: "application/json", contentEncoding: "utf-8", priority }),
    exchange: "",
    routingKey
  }))

const withStore = <A, E>(url: string, work: (store: VirtualStore) => Effect.Effect<A, E>): Promise<A> =>
  Redis.open(RedisUri.parseUnsafe(url)).pipe(
    Effect.flatMap((link) => RedisStore.make(link)),
    Effect.flatMap(({ store }) => work(store)),
    Effect.scoped,
    Effect.runPromise
  )

interface Peer {
  readonly take: (count: number, profiled: boolean) => Promise<Told>
  readonly stop: () => unknown
}

const node = async (way: string, url: string): Promise<Peer> => {
  const child = fork(path.join(import.meta.dirname, "redis", "claim.ts"), [way, url], {
    execArgv: ["--conditions=@apium/source", "--expose-gc"]
  })
  const next = () =>
    new Promise<Told>((resolve, reject) => {
      const exited = (code: number | null) => reject(new Error(`${way} left (${code})`))
      child.once("exit", exited)
      child.once("message", (told: Told) => {
        child.off("exit", exited)
        if (told.error === undefined) resolve(told)
        else reject(new Error(`${way}: ${told.error}`))
      })
    })
  await next()
  return {
    take: (count, profiled) => {
      const told = next()
      child.send({ count, profiled } satisfies Asked)
      return told
    },
    stop: () => child.kill("SIGKILL")
  }
}

const kombu = async (url: string): Promise<Peer> => {
  const scope = Scope.makeUnsafe()
  const code = readFileSync(path.join(import.meta.dirname, "redis", "claim.py"), "utf8")
  const python = await Effect.runPromise(Scope.provide(Python.start(code, { env: { BENCH_URL: url } }), scope))
  await Effect.runPromise(python.line("ready."))
  let said = python.lines().length
  return {
    take: async (count) => {
      await Effect.runPromise(python.say(String(count)))
      for (;;) {
        const line = python
          .lines()
          .slice(said)
          .find((line) => line.startsWith("done "))
        if (line !== undefined) {
          said = python.lines().length
          return JSON.parse(line.slice("done ".length)) as Told
        }
        if (!python.running()) throw new Error(`kombu left:\n${python.lines().join("\n")}`)
        await new Promise((resolve) => setTimeout(resolve, 20))
      }
    },
    stop: () => Effect.runPromise(Scope.close(scope, Exit.void))
  }
}

const expect = (what: string, got: unknown, wanted: unknown): void => {
  if (got !== wanted) throw new Error(`${what}: ${String(got)}, and not ${String(wanted)}`)
}

/** The time is that of `operations`. */
const claiming = (name: string, count: number, peer: (own: Database) => Promise<Peer>): Bench.Contestant => ({
  name,
  start: async () => {
    const own = await database("celery")
    await withStore(own.url, (store) => store.put(queue, puts(queue, count)))
    await own.keep()
    const { stop, take } = await peer(own)
    return {
      prepare: own.refill,
      turn: async () => {
        const told = await take(count, false)
        expect(`${name}: octets`, told.octets, count * octets)
        expect(`${name}: messages left`, await own.left(), 0)
        return { time: (told.time! * operations) / count, cpu: told.cpu! }
      },
      profile: async () => (await take(count, true)).profile!,
      stop
    }
  }
})

const throughput = Bench.compared({
  title: "redis-claim: prefetch 256, each acknowledged, 100 octets",
  unit: "messages",
  operations,
  rounds: 9,
  contestants: [
    claiming("kombu, Consumer", 1000, ({ url }) => kombu(url)),
    claiming("kombu's commands, node-redis", 2000, ({ url }) => node("commands", url)),
    claiming("apium, Consumer.stream", 20_000, ({ url }) => node("stream", url)),
    claiming("apium, RedisStore", 20_000, ({ url }) => node("store", url))
  ],
  claims: [
    {
      what: "Consumer.stream, x kombu",
      measure: "time",
      ours: "apium, Consumer.stream",
      theirs: "kombu, Consumer",
      floor: 5,
      aim: 8
    },
    {
      what: "Consumer.stream, x its commands",
      measure: "time",
      ours: "apium, Consumer.stream",
      theirs: "kombu's commands, node-redis",
      floor: 5,
      aim: 8
    },
    { what: "RedisStore, x kombu", measure: "time", ours: "apium, RedisStore", theirs: "kombu, Consumer" },
    { what: "cpu of kombu's", measure: "cpu", ours: "apium, Consumer.stream", theirs: "kombu, Consumer" }
  ]
})

const names = Array.from({ length: 50 }, (_, index) => `queue-${index}`) as unknown as readonly [
  string,
  ...Array<string>
]
const priorities = [0, 3, 6, 9]
const claims = 200
const claimed = 100

const quantile = (sorted: ReadonlyArray<number>, share: number): number =>
  sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]!

/** Each claim is of 100 from 50 queues, two of each; settled, and put again outside of the clock. */
const waiting = (name: string, total: number): Bench.Contestant => ({
  name,
  start: async () => {
    const own = await database("celery")
    const scope = Scope.makeUnsafe()
    const { store } = await Effect.runPromise(
      Scope.provide(
        Effect.flatMap(Redis.open(RedisUri.parseUnsafe(own.url)), (link) => RedisStore.make(link)),
        scope
      )
    )
    const each = total / names.length / priorities.length
    for (const name of names) {
      for (const priority of priorities) {
        for (let put = 0; put < each; put += 1000) {
          await Effect.runPromise(store.put(name, puts(name, Math.min(1000, each - put), priority)))
        }
      }
    }
    return {
      turn: async () => {
        const samples: Array<number> = []
        for (let claim = 0; claim < claims; claim++) {
          const began = performance.now()
          const taken = await Effect.runPromise(store.take(names, claimed))
          samples.push(performance.now() - began)
          expect(`${name}: queues of a claim`, new Set(taken.map((one) => one.queue)).size, names.length)
          expect(`${name}: messages of a claim`, taken.length, claimed)
          for (const name of names) await Effect.runPromise(store.put(name, puts(name, 2)))
          await Effect.runPromise(store.settle(taken.map(({ tag }) => tag)))
        }
        samples.sort((one, other) => one - other)
        return { p50: quantile(samples, 0.5), p99: quantile(samples, 0.99) }
      },
      stop: () => Effect.runPromise(Scope.close(scope, Exit.void))
    }
  }
})

const backlog = Bench.compared({
  title: "redis-claim: 100 of 50 queues with four priorities each",
  unit: "claims",
  operations: claims,
  rounds: 7,
  contestants: [waiting("of 1,000,000", 1_000_000), waiting("of 20,000", 20_000)],
  claims: [
    { what: "p99, of a fiftieth's", measure: "p99", ours: "of 1,000,000", theirs: "of 20,000" },
    { what: "p50, of a fiftieth's", measure: "p50", ours: "of 1,000,000", theirs: "of 20,000" }
  ]
})

export default [throughput, backlog]
