/** What a canvas weighs on the wire (RELIABILITY E6): octets of bodies and headers, of what a client sends and of what workers send on. */
import { Connection } from "@apium/hub/Connection"
import type * as Message from "@apium/hub/Message"
import * as Canvas from "@apium/worker/client/Canvas"
import { Client } from "@apium/worker/client/Client"
import type * as Signature from "@apium/worker/client/Signature"
import * as Task from "@apium/worker/task/Task"
import { Tasks } from "@apium/worker/task/Tasks"
import { assert, describe } from "@effect/vitest"
import { Effect, Layer, Schema } from "effect"
import { print, times } from "../../../../test/support/Figures.ts"
import { start, test } from "../support/World.ts"

const add = Task.make("proj.add", { params: { x: Schema.Number, y: Schema.Number }, result: Schema.Number })
const total = Task.make("proj.total", { params: { of: Schema.Array(Schema.Number) }, result: Schema.Number })

const handlers = [
  Tasks.handle(add, ({ x, y }) => Effect.succeed(x + y)),
  Tasks.handle(total, ({ of }) => Effect.succeed(of.length))
]

const width = 10

type Whole = Signature.Signature<Signature.Complete, unknown, unknown, boolean>

const canvases = {
  group: (size: number): Whole => Canvas.group(Array.from({ length: size }, () => add.s({ x: 1, y: 2 }))),
  chain: (size: number): Whole =>
    Canvas.chain(add.s({ x: 1, y: 2 }), ...Array.from({ length: size - 1 }, () => add.partial({ y: 4 }))),
  chords: (size: number): Whole => {
    const first = Canvas.chord(
      Array.from({ length: width }, () => add.s({ x: 1, y: 2 })),
      total.partial({})
    )
    const next = Canvas.chord(
      Array.from({ length: width }, () => add.partial({ y: 4 })),
      total.partial({})
    )
    return Canvas.chain(first, ...Array.from({ length: size - 1 }, () => next))
  }
}

const sizeOf = ({ body, headers }: Message.Message) =>
  body.length + new TextEncoder().encode(JSON.stringify(headers)).length

/** The sizes of the messages that go out by this connection. */
const weighing = Effect.map(Connection, (own) => {
  const sizes: Array<number> = []
  const connection: Connection["Service"] = {
    ...own,
    publish: (message, route, topology) => {
      sizes.push(sizeOf(message))
      return own.publish(message, route, topology)
    },
    publishAll: (batch, topology) => {
      for (const [message] of batch) sizes.push(sizeOf(message))
      return own.publishAll(batch, topology)
    }
  }
  return { sizes, connection }
})

const sum = (sizes: ReadonlyArray<number>) => sizes.reduce((all, size) => all + size, 0)
const ratios = (sizes: ReadonlyArray<number>) => sizes.slice(1).map((size, index) => size / sizes[index]!)
const written = (numbers: ReadonlyArray<number>) => numbers.map((number) => number.toFixed(2)).join(", ")

/** A client of its own, and what it has sent. */
const sent = (canvas: Whole) =>
  Effect.gen(function* () {
    const { connection, sizes } = yield* weighing
    const result = yield* Canvas.delay(canvas).pipe(
      Effect.provide(Layer.fresh(Client.layer)),
      Effect.provideService(Connection, connection)
    )
    return { result, sizes }
  }).pipe(Effect.scoped)

describe("a client sends", () => {
  for (const [what, canvas, counts] of [
    ["a group", canvases.group, [1250, 2500, 5000, 10_000]],
    ["a chain", canvases.chain, [125, 250, 500, 1000]],
    [`a chain of chords of ${width}`, canvases.chords, [25, 50, 100]]
  ] as const) {
    test(
      `${what} in octets that grow as it does`,
      Effect.gen(function* () {
        const all = yield* Effect.forEach(counts, (count) => Effect.map(sent(canvas(count)), ({ sizes }) => sizes))
        const totals = all.map(sum)
        yield* print(
          `E6 ${what} of ${counts.join(", ")}: sent ${totals.join(", ")} octets in ${all.map((sizes) => sizes.length).join(", ")} messages; each doubling x${written(ratios(totals))}`
        )
        for (const ratio of ratios(totals)) assert.isAtMost(ratio, 2 * 1.2)
      })
    )
  }
})

describe("workers send on", () => {
  for (const [what, canvas, counts] of [
    ["a chain", canvases.chain, [25, 50, 100, 200]],
    [`a chain of chords of ${width}`, canvases.chords, [1, 2, 4].map((doubled) => doubled * times(10, 25))]
  ] as const) {
    test(
      `${what}, whose rest is in every message, and nothing of it twice`,
      Effect.gen(function* () {
        const { connection, sizes } = yield* weighing
        yield* start({ concurrency: 4 }, ...handlers).pipe(Effect.provideService(Connection, connection))
        const totals: Array<number> = []
        const largest: Array<number> = []
        for (const count of counts) {
          sizes.length = 0
          const { result } = yield* sent(canvas(count))
          yield* result.get
          totals.push(sum(sizes))
          largest.push(Math.max(...sizes))
        }
        yield* print(
          `E6 ${what} of ${counts.join(", ")} that runs: sent on ${totals.join(", ")} octets, each doubling x${written(ratios(totals))}; the largest message ${largest.join(", ")}, x${written(ratios(largest))}`
        )
        // A step takes the ones behind it along (Celery's protocol): the sum grows with the square, and the message as the chain.
        for (const ratio of ratios(totals)) assert.isAtMost(ratio, 4 * 1.2)
        for (const ratio of ratios(largest)) assert.isAtMost(ratio, 2 * 1.2)
      })
    )
  }
})
