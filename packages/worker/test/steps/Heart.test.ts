import { Connection } from "@apium/hub/Connection"
import { Host } from "@apium/hub/Host"
import type * as EventMessage from "@apium/protocol/celery/EventMessage"
import { EventDispatcher } from "@apium/worker/events/EventDispatcher"
import { Requests } from "@apium/worker/execution/Requests"
import * as Heart from "@apium/worker/steps/Heart"
import { assert, describe } from "@effect/vitest"
import { Effect, Layer, Scope, Exit } from "effect"
import { TestClock } from "effect/testing"
import { request, requests, type Script } from "../support/Node.ts"
import { settle, test } from "../support/World.ts"

type Said = readonly [type: string, fields: EventMessage.EventFields["worker-heartbeat"]]

/** A heart, and what it says. */
const beating = (options: Heart.Options, script: Script = {}) =>
  Effect.gen(function* () {
    const said: Array<Said> = []
    const scope = yield* Scope.fork(yield* Effect.scope)
    const events = Layer.succeed(EventDispatcher, {
      enabled: () => false,
      enable: () => false,
      disable: () => false,
      send: (type, fields) => void said.push([type, fields as unknown as Said[1]])
    })
    yield* Layer.build(
      Layer.provide(Heart.layer(options), [events, Layer.succeed(Requests, requests(script).service)])
    ).pipe(Scope.provide(scope))
    return { said, stop: Scope.close(scope, Exit.void) }
  })

const typesOf = (said: ReadonlyArray<Said>) => said.map(([type]) => type)

describe("a heart", () => {
  test(
    "says online, beats every 2 s without drift, and says offline",
    Effect.gen(function* () {
      const { said, stop } = yield* beating({})
      assert.deepStrictEqual(typesOf(said), ["worker-online"])
      yield* settle
      yield* TestClock.adjust("1999 millis")
      assert.strictEqual(said.length, 1)
      yield* TestClock.adjust("1 milli")
      assert.deepStrictEqual(typesOf(said), ["worker-online", "worker-heartbeat"])
      yield* TestClock.adjust("8 seconds")
      assert.strictEqual(said.length, 6)
      yield* stop
      assert.strictEqual(said.at(-1)?.[0], "worker-offline")
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(said.length, 7)
    })
  )

  test(
    "says how the worker is each time it beats",
    Effect.gen(function* () {
      const script: Script = {}
      const { said } = yield* beating({ interval: "500 millis" }, script)
      script.active = [{ request: request("wire.add", "t"), timeStart: 0 }]
      script.totals = { "wire.add": 3, "wire.sleep": 4 }
      yield* settle
      yield* TestClock.adjust("500 millis")
      const portable = { freq: 0.5, loadavg: [0.33, 1, 2], sw_ident: "apium", sw_ver: "0.0.0", sw_sys: "Plan 9" }
      assert.deepStrictEqual(said, [
        ["worker-online", { ...portable, active: 0, processed: 0 }],
        ["worker-heartbeat", { ...portable, active: 1, processed: 7 }]
      ])
    }).pipe(
      Effect.provideServiceEffect(
        Host,
        Effect.map(Host, (host) => ({ ...host, system: "Plan 9", loadAverage: Effect.succeed([1 / 3, 1, 2] as const) }))
      )
    )
  )

  test(
    "knows the version of its package",
    Effect.gen(function* () {
      const { default: manifest } = yield* Effect.promise(
        () => import("@apium/worker/package.json", { with: { type: "json" } })
      )
      const { said } = yield* beating({})
      assert.strictEqual(said[0]?.[1].sw_ver, (manifest as { readonly version: string }).version)
      yield* Connection
    })
  )
})
