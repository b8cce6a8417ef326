/** The clients as contestants: each in a process of its own, so that what one leaves behind slows no other, and its time and memory are its own. */
import { fork } from "node:child_process"
import * as path from "node:path"
import type { Contestant, Measures, Profile } from "../Bench.ts"
import { large, many, queue } from "./work.ts"
import { broker } from "./broker.ts"

export type { Measures } from "../Bench.ts"

/** What a client's process says. */
export interface Told {
  readonly measures?: Measures
  readonly profile?: Profile
  readonly error?: string
}

export type Work = "publish" | "publish-headers" | "confirm" | "consume" | "rpc" | "connect" | "unconfirmed" | "held"

export type ClientName =
  | "raw"
  | "raw-json"
  | "apium"
  | "apium-hub"
  | "apium-batch"
  | "amqplib"
  | "rabbitmq-client"
  | "cloudamqp"

interface Child {
  readonly ask: (what: "turn" | "profile" | "end", count: number, key?: string) => Promise<Told>
  readonly stop: () => void
}

const spawn = async (client: ClientName, work: Work, url: string): Promise<Child> => {
  const child = fork(path.join(import.meta.dirname, "process.ts"), [client, work, url], {
    execArgv: ["--conditions=@apium/source", "--expose-gc"]
  })
  const next = () =>
    new Promise<Told>((resolve, reject) => {
      const exited = (code: number | null) => reject(new Error(`${client} left (${code}) in ${work}`))
      child.once("exit", exited)
      child.once("message", (told: Told) => {
        child.off("exit", exited)
        if (told.error === undefined) resolve(told)
        else reject(new Error(`${client}, ${work}: ${told.error}`))
      })
    })
  await next()
  return {
    ask: (what, count, key) => {
      const told = next()
      child.send({ what, count, key })
      return told
    },
    stop: () => child.kill("SIGKILL")
  }
}

const expect = (what: string, got: unknown, wanted: unknown): void => {
  const [one, other] = [JSON.stringify(got), JSON.stringify(wanted)]
  if (one !== other) throw new Error(`${what}: ${one}, and not ${other}`)
}

const checked = 100

/** Does `count` of this work in each turn. Before the first one, and outside of the clock, it shows that it does it. */
export const contestant = (name: string, client: ClientName, work: Work, count: number): Contestant => ({
  name,
  start: async () => {
    const { fill, purge, read, state, url } = await broker()
    await purge()
    const child = await spawn(client, work, url)
    if (work === "publish" || work === "publish-headers") {
      await child.ask("turn", checked, queue)
      const { bodies, headers } = await read(checked)
      expect(`${name}: bodies`, bodies, checked * 100)
      expect(`${name}: headers`, headers, work === "publish" ? 0 : checked * 15)
      expect(`${name}: what is left`, await state(), { ready: 0, unacked: 0 })
    }
    return {
      prepare: async () => {
        await purge()
        if (work === "consume") await fill(count, 100)
      },
      turn: async () => {
        const { measures } = await child.ask("turn", count)
        if (work === "confirm") expect(`${name}: confirmed, in the queue`, await state(), { ready: count, unacked: 0 })
        if (work === "consume") expect(`${name}: not acknowledged`, await state(), { ready: 0, unacked: 0 })
        return measures!
      },
      profile: async () => (await child.ask("profile", count)).profile!,
      stop: child.stop
    }
  }
})

/** A process for each turn: memory that was used before is not grown again. */
export const filling = (
  name: string,
  client: ClientName,
  work: "unconfirmed" | "held",
  headers?: object
): Contestant => ({
  name,
  start: () => ({
    turn: async () => {
      const { freeze, holding, purge, state, thaw, url } = await broker()
      if (work === "held") await holding(many, large, headers)
      else await purge()
      const child = await spawn(client, work, url)
      try {
        if (work === "unconfirmed") await freeze()
        const { measures } = await child.ask("turn", many).finally(thaw)
        if (work === "held") expect(`${name}: held`, await state(), { ready: 0, unacked: many })
        await child.ask("end", 0)
        return measures!
      } finally {
        child.stop()
      }
    }
  })
})
