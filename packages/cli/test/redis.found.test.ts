/** Where the URL does not name the server, but who knows it. */
import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { RedisCluster } from "../../../test/support/RedisCluster.ts"
import { masterName, RedisSentinel } from "../../../test/support/RedisSentinel.ts"
import { answered, apium } from "./support/Cli.ts"
import { start } from "./support/Process.ts"

/** A task goes there and its result comes back. */
const there = Effect.fnUntraced(function* (env: Readonly<Record<string, string>>) {
  const worker = start(["worker", "-A", "tasks.ts", "-c1"], env)
  yield* Effect.promise(() => worker.says("ready."))
  const called = yield* apium(["call", "proj.add", "--args=[2,3]", "--wait"], env)
  assert.deepStrictEqual(called, { code: 0, stdout: "5\n", stderr: "" })
  const pinged = yield* answered(["inspect", "ping"], env)
  assert.include(pinged.stdout, "1 node online.", pinged.stderr)
  worker.signal("SIGTERM")
  assert.strictEqual((yield* Effect.promise(() => worker.exit)).code, 0)
})

layer(RedisSentinel.layer(), { excludeTestServices: true })("apium and Sentinel", (it) => {
  it.effect("runs tasks on the master, which needs a name, and says what a Sentinel is not", () =>
    Effect.gen(function* () {
      const { sentinels, url } = yield* RedisSentinel
      const master = { APIUM_BROKER_TRANSPORT_OPTIONS: JSON.stringify({ master_name: masterName }) }
      yield* there({ APIUM_BROKER_URL: url(), ...master })
      const ping = ["inspect", "ping", "-b"]
      const { port } = sentinels[0]!.node
      const mistaken = yield* apium([...ping, `redis://127.0.0.1:${port}/0`])
      assert.strictEqual(mistaken.code, 69)
      assert.match(mistaken.stderr, /a Sentinel at .*, whose URL is sentinel:\/\//)
      const unknown = yield* apium([...ping, `sentinel://127.0.0.1:${port}`], {
        APIUM_BROKER_TRANSPORT_OPTIONS: '{"master_name":"nobody"}'
      })
      assert.strictEqual(unknown.code, 69)
      assert.include(unknown.stderr, 'it knows no master "nobody"')
    })
  )
})

layer(RedisCluster.layer, { excludeTestServices: true })("apium and a Redis Cluster", (it) => {
  it.effect("runs tasks on the node that has their hash tag, and says that it needs one", () =>
    Effect.gen(function* () {
      const { url } = yield* RedisCluster
      yield* there({ APIUM_BROKER_URL: url, APIUM_BROKER_TRANSPORT_OPTIONS: '{"global_keyprefix":"{cli}"}' })
      const without = yield* apium(["inspect", "ping", "-b", url])
      assert.strictEqual(without.code, 64)
      assert.include(without.stderr, "set global_keyprefix of the transport options to one with a hash tag")
    })
  )
})
