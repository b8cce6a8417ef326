/** Workers that die at each step between the end of a handler and its acknowledgement (RELIABILITY A11), on whatever broker. */
import { Connection } from "@apium/hub/Connection"
import type { HubError } from "@apium/hub/HubError"
import type * as Message from "@apium/hub/Message"
import * as Queue from "@apium/hub/Queue"
import * as Serializer from "@apium/hub/Serializer"
import * as Redis from "@apium/transport-redis/node"
import * as RedisBackend from "@apium/worker/client/backends/RedisBackend"
import * as Canvas from "@apium/worker/client/Canvas"
import { Client } from "@apium/worker/client/Client"
import { ResultBackend } from "@apium/worker/client/ResultBackend"
import * as Signature from "@apium/worker/client/Signature"
import { type Step, steps } from "@apium/worker/execution/Failpoint"
import { assert } from "@effect/vitest"
import { Context, Effect, Layer, Option, type Scope } from "effect"
import { random } from "../../../packages/protocol/test/support/Random.ts"
import { print, times } from "../Figures.ts"
import { Redis as Server } from "../Redis.ts"
import * as Fleet from "./Fleet.ts"
import { canvasOf, type Kind, kinds, type Script } from "./Script.ts"

/** Whose tasks come past a step. A chord's parts have no callbacks, and what is replaced stores nothing. */
const passes: Readonly<Record<Step, ReadonlyArray<Kind | undefined>>> = {
  // Nobody knows whose it is before it runs.
  "after-accept": [undefined],
  "after-run": kinds,
  "after-callbacks": ["link", "chain", "replace", "early"],
  "after-result-store": ["link", "chain", "chord", "early"],
  "after-body": ["chord"],
  "after-chord": ["chord"],
  "after-ack": ["link", "chain", "chord", "replace"]
}

const parts = 3
/** Of each kind, before each crash: the third of them at the latest comes past its step. */
const fresh = 3

/** Nobody fires any more who began to: its lease of 30 s is over. */
const unclaimed = `
for _, key in ipairs(redis.call('KEYS', 'celery-taskset-meta-*.apium')) do
  if redis.call('HEXISTS', key, 'until') == 1 then redis.call('HSET', key, 'until', 0) end
end`

interface Sent {
  readonly kind: Kind
  /** The tasks that something follows. */
  readonly ids: ReadonlyArray<string>
}

/** A client whose results are in the Redis of the layer. */
export const clientOf = (
  ...queues: ReadonlyArray<string>
): Effect.Effect<Context.Context<Client | ResultBackend>, HubError, Connection | Server | Scope.Scope> =>
  Effect.flatMap(Server, (server) =>
    Layer.build(
      Client.layerWith({ queues: queues.map((name) => Queue.make(name)) }).pipe(
        Layer.provideMerge(RedisBackend.layer),
        Layer.provide(Layer.orDie(Redis.layerRedis(server.url())))
      )
    )
  )

const send = (script: Pick<Script, "queue">, kind: Kind, n: number) =>
  Effect.gen(function* () {
    const { early, next, step } = canvasOf(script)
    const { queue } = script
    const follows = next.partial({ kind, n })
    const task = { kind, n, wait: 0 }
    switch (kind) {
      case "link":
        return [(yield* step.applyAsync(task, { queue, link: follows })).id]
      case "early":
        return [(yield* early.applyAsync(task, { queue, link: follows })).id]
      case "replace":
        return [(yield* step.applyAsync(task, { queue })).id]
      case "chain": {
        const sent = yield* Canvas.delay(Canvas.chain(Signature.set(step.s(task), { queue }), follows))
        return [Option.getOrThrow(sent.parent).id]
      }
      case "chord": {
        const header = Array.from({ length: parts }, () => Signature.set(step.s(task), { queue }))
        const sent = yield* Canvas.delay(Canvas.chord(header, follows))
        const group = Option.getOrThrow(sent.parent)
        return "children" in group && Array.isArray(group.children)
          ? group.children.map(({ id }: { id: string }) => id)
          : []
      }
    }
  })

const nameOf = (message: Message.Message) =>
  Effect.map(Serializer.decode(message), (body) => {
    const [, { kind, n }] = body as readonly [unknown, { readonly kind: Kind; readonly n: number }]
    return `${kind}-${n}`
  })

/** The bar: whatever has its SUCCESS stored has sent what follows it; and what was sent twice followed a run that said it came before. */
export const crashed = (row: string, step: Step, seed: number, script: Partial<Script> = {}) =>
  Effect.gen(function* () {
    const r = random(seed)
    const server = yield* Server
    const connection = yield* Connection
    const fleet = yield* Fleet.make({ results: server.url(), ...script })
    const next = `${fleet.name}-next`
    yield* connection.declare({ queues: [Queue.make(next)] })
    const services = yield* clientOf(fleet.name, next)
    const backend = Context.get(services, ResultBackend)
    const workflows = new Map<string, Sent>()
    const crashes = times(3, 5, 50)
    for (let crash = 0; crash < crashes; crash++) {
      for (const kind of kinds) {
        for (let count = 0; count < fresh; count++) {
          const n = workflows.size
          const ids = yield* Effect.provide(send({ queue: fleet.name }, kind, n), services)
          workflows.set(`${kind}-${n}`, { kind, ids })
        }
      }
      const kind = passes[step][crash % passes[step].length]
      const nth = 1 + r.below(fresh)
      const victim = yield* fleet.start({ failpoint: kind === undefined ? [step, nth] : [step, nth, kind] })
      const { lines } = yield* victim.ended
      assert.isTrue(
        lines.some((line) => line.startsWith("@ dies")),
        lines.join("\n")
      )
      yield* server.command("EVAL", unclaimed, 0)
    }
    const healthy = yield* fleet.start()
    yield* fleet.drained
    yield* healthy.signal("SIGTERM")
    assert.strictEqual((yield* healthy.ended).code, 0)

    const starts = new Map<string, Array<boolean>>()
    for (const { again, id, what } of fleet.lines()) {
      if (what === "started") starts.set(id, [...(starts.get(id) ?? []), again])
    }
    const dispatched = new Map<string, Array<unknown>>()
    for (const message of yield* fleet.take(next)) {
      const name = yield* nameOf(message)
      dispatched.set(name, [...(dispatched.get(name) ?? []), message.headers["id"]])
    }
    const books = { early: 0, twice: 0 }
    const wrong = { lost: new Array<string>(), unmarked: new Array<string>(), ids: new Array<string>() }
    for (const [name, { ids, kind }] of workflows) {
      const sent = dispatched.get(name) ?? []
      const results = yield* Effect.forEach(ids, (id) => backend.get(id))
      const succeeded = results.every((found) => Option.isSome(found) && found.value.status === "SUCCESS")
      // What is replaced stores nothing, and nothing that acknowledges late is lost.
      if (sent.length === 0 && (succeeded || kind !== "early")) wrong.lost.push(name)
      if (sent.length === 0 && !succeeded && kind === "early") books.early++
      const runs = ids.map((id) => starts.get(id) ?? [])
      if (runs.some((marks) => marks.slice(1).includes(false))) wrong.unmarked.push(name)
      if (sent.length < 2) continue
      books.twice += sent.length - 1
      if (runs.every((marks) => !marks.includes(true))) wrong.unmarked.push(name)
      // A callback is a new task each time.
      if (kind !== "link" && kind !== "early" && new Set(sent).size > 1) wrong.ids.push(name)
    }
    yield* print(
      `A11 ${row} ${step}: lost=${wrong.lost.length} n=${workflows.size} crashes=${crashes} sent twice=${books.twice} (without redelivered: ${wrong.unmarked.length}) lost of those acknowledged early, nothing stored=${books.early}`
    )
    assert.deepStrictEqual(wrong, { lost: [], unmarked: [], ids: [] })
  })

export { steps }
