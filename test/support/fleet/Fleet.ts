/** Worker processes on a real broker, the tasks they are sent, and the books of what became of these. */
import { Connection } from "@apium/hub/Connection"
import * as DeadLetter from "@apium/hub/DeadLetter"
import type * as Message from "@apium/hub/Message"
import * as Queue from "@apium/hub/Queue"
import { Client } from "@apium/worker/client/Client"
import * as MemoryBackend from "@apium/worker/client/backends/MemoryBackend"
import * as Profile from "@apium/worker/Profile"
import { Context, Effect, Layer, Option, Schedule, type Scope } from "effect"
import * as Ledger from "../Ledger.ts"
import * as Program from "../Program.ts"
import { type Script, tasksOf } from "./Script.ts"

/** The broker of a fleet, and its program. */
export class Broker extends Context.Service<
  Broker,
  {
    readonly url: string
    /** So much of this queue is in it, and in the hands of workers. */
    readonly counts: (queue: string) => Effect.Effect<Counts>
    /** The worker, bundled. */
    readonly program: string
  }
>()("test/Broker") {
  static readonly layer = (broker: Omit<Broker["Service"], "program">) =>
    Layer.effect(
      Broker,
      Effect.map(Program.bundle("test/support/fleet/program.ts"), (program) => Broker.of({ ...broker, program }))
    )
}

export interface Counts {
  readonly ready: number
  readonly unacked: number
}

/** `started <id> again 1766311200000`: what, whom, whether it came before, and when. */
export interface Line {
  readonly what: string
  readonly id: string
  readonly again: boolean
  readonly at: number
  /** The how manieth process of the fleet said it. */
  readonly worker: number
}

export interface Fleet {
  readonly name: string
  readonly start: (script?: Partial<Script>) => Effect.Effect<Program.Program, never, Scope.Scope>
  /** What a worker of another kind said, which has ended. Its number. */
  readonly heard: (lines: ReadonlyArray<string>) => number
  readonly send: (
    count: number,
    payload: (index: number) => { readonly wait: number; readonly dies?: boolean },
    options?: { readonly early?: boolean; readonly eta?: Date }
  ) => Effect.Effect<ReadonlyArray<string>>
  /** RabbitMQ may answer before what was given back a moment ago is back, and Redis waits for leases: ask `until` it is. */
  readonly queue: Effect.Effect<Counts>
  /** What is in a queue, which is empty then. */
  readonly take: (queue: string) => Effect.Effect<ReadonlyArray<Message.Message>>
  /** What is in its dead-letter queue, which is empty then. */
  readonly dead: Effect.Effect<ReadonlyArray<Message.Message>>
  /** Waits until nothing is left in the queue, or in anybody's hands. */
  readonly drained: Effect.Effect<void>
  /** Something was killed or cut, now. */
  readonly fault: Effect.Effect<void>
  /** What those that have ended said, in the order of time. */
  readonly lines: () => ReadonlyArray<Line>
  /** What became of all that was sent: of those that ended, and of what is in the queue, which is empty then. */
  readonly books: Effect.Effect<Ledger.Report & { readonly unmarked: ReadonlyArray<string> }, never, Connection>
}

let queues = 0

export const make = (script: Partial<Script> = {}): Effect.Effect<Fleet, never, Broker | Connection | Scope.Scope> =>
  Effect.gen(function* () {
    const broker = yield* Broker
    const connection = yield* Connection
    const name = `fleet-${++queues}`
    const whole: Script = { url: broker.url, queue: name, ...script }
    const queue = whole.quorum === undefined ? Queue.make(name) : Queue.quorum(Queue.make(name))
    yield* Effect.orDie(connection.declare({ queues: [queue] }))
    const { sendAll } = Context.get(
      yield* Layer.build(
        Layer.provide(
          Client.layerWith({ queues: [queue], profile: { ...Profile.durable, delay: "worker" } }),
          MemoryBackend.layer
        )
      ),
      Client
    )
    const accepted: Array<string> = []
    const faults: Array<number> = []
    const said: Array<ReadonlyArray<string>> = []
    const tasks = tasksOf(whole)

    const lines = (): ReadonlyArray<Line> =>
      said
        .flatMap((own, worker) =>
          own.flatMap((line) => {
            const [mark, what = "", id = "", came, at] = line.split(" ")
            return mark === "@" ? [{ what, id, again: came === "again", at: Number(at), worker }] : []
          })
        )
        .toSorted((one, other) => one.at - other.at)

    const take = (from: string): Effect.Effect<ReadonlyArray<Message.Message>> =>
      connection
        .use((channel) =>
          Effect.gen(function* () {
            const messages: Array<Message.Message> = []
            for (;;) {
              const delivery = yield* channel.get(from)
              if (Option.isNone(delivery)) return messages
              messages.push(delivery.value.message)
              yield* delivery.value.ack
            }
          })
        )
        .pipe(Effect.orDie)

    return {
      name,
      start: (more = {}) =>
        Effect.gen(function* () {
          const worker = said.push([]) - 1
          const script: Script = { ...whole, name: `${name}-${worker}@here`, ...more }
          const program = yield* Program.start(broker.program, { args: [JSON.stringify(script)] })
          const ended = Effect.tap(program.ended, (ended) => Effect.sync(() => void (said[worker] = ended.lines)))
          yield* Effect.forkScoped(ended)
          return { ...program, ended }
        }),
      heard: (own) => said.push(own) - 1,
      send: (count, payload, { early = false, eta } = {}) =>
        Effect.gen(function* () {
          const payloads = Array.from({ length: count }, (_, index) => ({ dies: false, ...payload(index) }))
          const sent = yield* sendAll(early ? tasks.early : tasks.late, payloads, {
            queue: name,
            ...(eta === undefined ? {} : { eta })
          })
          const ids = sent.map(({ id }) => id)
          accepted.push(...ids)
          return ids
        }).pipe(Effect.orDie),
      queue: broker.counts(name),
      take,
      dead: Effect.andThen(
        Effect.orDie(connection.declare({ queues: [Queue.make(DeadLetter.queueOf(name))] })),
        take(DeadLetter.queueOf(name))
      ),
      drained: Effect.asVoid(until(broker.counts(name), ({ ready, unacked }) => ready + unacked === 0)),
      fault: Effect.sync(() => void faults.push(performance.timeOrigin + performance.now())),
      lines,
      books: Effect.gen(function* () {
        let now = 0
        const ledger = Ledger.make(() => now)
        for (const id of accepted) ledger.accepted(id)
        const unmarked: Array<string> = []
        const events = [...lines(), ...faults.map((at) => ({ what: "fault", id: "", again: true, at }))]
        for (const { what, id, again, at } of events.toSorted((one, other) => one.at - other.at)) {
          now = at
          if (what === "fault") ledger.fault()
          if (what === "started") {
            if (!again && ledger.effects(id) > 0) unmarked.push(id)
            ledger.started(id)
          }
          if (what === "finished") ledger.finished(id)
        }
        for (const { headers } of yield* take(name)) ledger.givenBack(String(headers["id"]))
        return { ...ledger.report(), unmarked }
      })
    }
  })

/** Asks again and again until it is so. */
export const until = <A, E, R>(ask: Effect.Effect<A, E, R>, holds: (value: A) => boolean): Effect.Effect<A, E, R> =>
  Effect.repeat(ask, { until: holds, schedule: Schedule.spaced("50 millis") })
