/** Whatever three stores do to two queues, they do what a few lines over arrays do (RELIABILITY I2). */
import type * as RedisStore from "@apium/transport-redis/RedisStore"
import { assert, layer } from "@effect/vitest"
import { Arbitrary, Effect, Exit, Schema, Scope } from "effect"
import { print } from "../../../test/support/Figures.ts"
import { Redis as Server } from "../../../test/support/Redis.ts"
import { times } from "../../../test/support/Times.ts"
import * as stores from "./support/stores.ts"

const step = Arbitrary.schema(
  Schema.Struct({
    verb: Schema.Literals([
      "put",
      "put",
      "take",
      "take",
      "take",
      "settle",
      "settle",
      "near",
      "far",
      "late",
      "die",
      "sweep",
      "size",
      "purge"
    ]),
    who: Schema.Literals([0, 1, 2]),
    queue: Schema.Literals(["a", "b"]),
    both: Schema.Boolean,
    count: Schema.Literals([1, 2, 3, 5, 8, 20]),
    priority: Schema.Literals([0, 1, 3, 5, 9])
  })
)

const steps = Arbitrary.array(step, { minLength: 90, maxLength: 110 })

interface Sent {
  readonly id: string
  readonly queue: string
  /** Which of kombu's four lists. */
  readonly level: number
  readonly deliveries: number
}

/** A message is in a list, held by somebody, held by somebody who died, or gone. */
const model = () => {
  const lists = new Map(["a", "b"].map((queue) => [queue, [0, 1, 2, 3].map((): Array<Sent> => [])]))
  return {
    lists,
    put: (sent: Sent) => lists.get(sent.queue)![sent.level]!.push(sent),
    near: (sent: Sent) => lists.get(sent.queue)![sent.level]!.unshift({ ...sent, deliveries: sent.deliveries + 1 }),
    far: (sent: Sent) => lists.get(sent.queue)![sent.level]!.push({ ...sent, deliveries: sent.deliveries + 1 }),
    /** By priority, and within one from each queue in turn. */
    take: (queues: ReadonlyArray<string>, count: number): ReadonlyArray<Sent> => {
      const taken: Array<Sent> = []
      for (let level = 0; level < 4; level++) {
        const open = queues.map((queue) => lists.get(queue)![level]!)
        while (open.some((list) => list.length > 0) && taken.length < count) {
          for (const list of open) if (list.length > 0 && taken.length < count) taken.push(list.shift()!)
        }
      }
      return taken
    },
    size: (queue: string) => lists.get(queue)!.reduce((sum, list) => sum + list.length, 0),
    purge: (queue: string) => lists.get(queue)!.reduce((sum, list) => sum + list.splice(0).length, 0)
  }
}

interface Peer {
  readonly scope: Scope.Closeable
  readonly made: Effect.Success<ReturnType<typeof stores.open>>
  /** What it holds, in the order in which it took it. */
  readonly held: Map<string, Sent>
  /** Tags that it settled or gave back. */
  readonly done: Array<string>
}

const levelOf = (priority: number) => [0, 3, 6, 9].findLastIndex((at) => at <= priority)

let runs = 0
let taken = 0
let ran = 0
let died = 0

layer(Server.shared, { excludeTestServices: true })("stores", (it) => {
  it.effect.prop(
    "do what arrays do: nothing is lost, nothing comes twice but what its holder died with, and the order is kept",
    { steps },
    ({ steps }) =>
      Effect.gen(function* () {
        const server = yield* Server
        const prefix = `model-${runs++}:`
        const expected = model()
        let sent = 0
        // Nobody's time is over by itself.
        const open = Effect.gen(function* () {
          const scope = yield* Scope.make()
          const options: RedisStore.Options = {
            globalKeyprefix: prefix,
            lease: "1 hour",
            visibilityTimeout: "1 day"
          }
          const made = yield* Scope.provide(stores.open(server.url(), options), scope)
          yield* Effect.addFinalizer(() => Scope.close(scope, Exit.void))
          const peer: Peer = { made, scope, held: new Map(), done: [] }
          return peer
        })
        const peers = [yield* open, yield* open, yield* open]
        const allSettled = stores.until(
          Effect.map(
            Effect.suspend(() => peers[0]!.made.link.redis.send<number>("HLEN", `${prefix}unacked`)),
            (left) => left === peers.reduce((sum, { held }) => sum + held.size, 0)
          )
        )
        const consumed = peers.map((): Array<string> => ["a", "b"])
        for (const { both, count, priority, queue, verb, who } of steps) {
          ran++
          const { done, held, made, scope } = peers[who]!
          const { link, store, sweep } = made
          const [tags, messages] = [[...held.keys()].slice(0, count), [...held.values()].slice(0, count)]
          const letGo = () => {
            for (const tag of tags) {
              held.delete(tag)
              done.push(tag)
            }
          }
          switch (verb) {
            case "put": {
              const puts = Array.from({ length: count }, () => String(sent++))
              yield* store.put(
                queue,
                puts.map((text) => stores.put(text, queue, priority))
              )
              for (const id of puts) expected.put({ id, queue, level: levelOf(priority), deliveries: 0 })
              break
            }
            case "take": {
              const queues = both ? (["a", "b"] as const) : ([queue] as const)
              const inOrder = both ? [...consumed[who]!] : [...queues]
              const wanted = expected.take(inOrder, count)
              const got = yield* store.take(queues, count)
              assert.deepStrictEqual(
                got.map((one) => [stores.text(one), one.queue, one.deliveryCount, one.redelivered]),
                wanted.map((one) => [one.id, one.queue, one.deliveries, one.deliveries > 0])
              )
              for (const [index, { tag }] of got.entries()) held.set(tag, wanted[index]!)
              taken += got.length
              if (both) {
                const last = (name: string) => wanted.findLastIndex((one) => one.queue === name)
                consumed[who]!.sort((one, other) => last(one) - last(other))
              }
              break
            }
            case "settle":
              yield* store.settle(tags)
              letGo()
              break
            case "near":
              yield* store.restore(tags, { side: "near" })
              for (const one of messages.toReversed()) expected.near(one)
              letGo()
              break
            case "far":
              yield* store.restore(tags, { side: "far" })
              for (const one of messages) expected.far(one)
              letGo()
              break
            case "late":
              // Who settles or gives back twice does nothing.
              yield* store.settle(done.slice(-count))
              yield* store.restore(done.slice(-count), { side: "near" })
              break
            case "die": {
              // Who dies with what he settled on its way gets it again, as with any broker: not here.
              yield* allSettled
              yield* link.cut
              yield* Scope.close(scope, Exit.void)
              died++
              const orphans = [...held.values()]
              const [first] = held.keys()
              if (first !== undefined) {
                // Its lease is over; whoever comes, or looks, gives back what it held, each to the head of its list, the oldest last.
                const { redis } = peers[(who + 1) % 3]!.made.link
                const owner = first.slice(0, first.lastIndexOf(":"))
                yield* redis.send("ZADD", `${prefix}apium.owners`, "XX", "0", owner)
              }
              peers[who] = yield* open
              consumed[who] = ["a", "b"]
              for (const one of orphans.toReversed()) expected.near(one)
              break
            }
            case "sweep":
              assert.strictEqual(yield* sweep, 0)
              break
            case "size":
              assert.strictEqual(yield* store.size(queue), expected.size(queue))
              break
            case "purge":
              assert.strictEqual(yield* store.purge(queue), expected.purge(queue))
          }
        }
        const { link, store } = peers[0]!.made
        const rest = expected.take(consumed[0]!, Number.POSITIVE_INFINITY)
        const got = yield* store.take(["a", "b"], 2000)
        assert.deepStrictEqual(
          got.map((one) => stores.text(one)),
          rest.map(({ id }) => id)
        )
        yield* store.settle(got.map(({ tag }) => tag))
        for (const { held, made } of peers) {
          yield* made.store.settle([...held.keys()])
          held.clear()
        }
        yield* allSettled
        assert.strictEqual(yield* link.redis.send<number>("ZCARD", `${prefix}unacked_index`), 0)
      }).pipe(Effect.scoped),
    { timeout: 600_000, arbitrary: { runs: times(60, 250, 2000) } }
  )

  it.effect("and the model had something to do", () =>
    Effect.gen(function* () {
      yield* print(`I2 runs=${runs} steps=${ran} taken=${taken} deaths=${died}`)
      assert.isAtLeast(ran, 5000)
      assert.isAbove(died, 50)
    })
  )
})
