/** What somebody reads who has just written his first URL of a Redis, and it is not right yet. */
import { assert, layer } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { createServer, type Server } from "node:http"
import type { AddressInfo } from "node:net"
import * as Ports from "../../../test/support/Ports.ts"
import { RabbitMq } from "../../../test/support/RabbitMq.ts"
import * as Redis from "../../../test/support/Redis.ts"
import { answered, apium, fixture } from "./support/Cli.ts"
import { start } from "./support/Process.ts"

const web = Effect.acquireRelease(
  Effect.callback<Server>((resume) => {
    const server = createServer()
    server.listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
  }),
  (server) =>
    Effect.sync(() => {
      server.closeAllConnections()
      server.close()
    })
)

const clients: ReadonlyArray<ReadonlyArray<string>> = [
  ["call", "x"],
  ["inspect", "ping"],
  ["control", "shutdown"]
]

const prefixed = JSON.stringify({ global_keyprefix: "shop:" })
const asShop = (url: string) => ({
  APIUM_BROKER_URL: url,
  APIUM_BROKER_TRANSPORT_OPTIONS: prefixed,
  APIUM_RESULT_BACKEND_TRANSPORT_OPTIONS: prefixed
})

/** Of all clients 69, of a worker 1; where, what, and what to do; never a password. */
const refused = Effect.fnUntraced(function* (url: string, text: RegExp) {
  const shown = url.replace(/:(?:hunter2|right)@/, ":**@")
  for (const command of clients) {
    const { code, stderr, stdout } = yield* apium([...command, "--broker", url])
    assert.strictEqual(code, 69, stderr)
    assert.include(stderr, `The broker ${shown} is not to be had: `)
    assert.match(stderr, text)
    assert.isBelow(stderr.trim().split("\n").length, 4, stderr)
    assert.notInclude(stdout + stderr, "hunter2")
  }
  const worker = yield* apium(["worker", "-A", fixture("tasks"), "--broker", url])
  assert.strictEqual(worker.code, 1)
  assert.include(worker.stderr, `The worker could not start: The broker ${shown} is not to be had: `)
  assert.match(worker.stderr, text)
  assert.notInclude(worker.stdout + worker.stderr, "hunter2")
})

layer(Layer.merge(RabbitMq.shared, Redis.Redis.shared), { excludeTestServices: true })(
  "apium and a Redis that does not let it in",
  (it) => {
    it.effect("because nobody is there, or somebody else", () =>
      Effect.gen(function* () {
        const port = yield* Ports.free
        yield* refused(`redis://u:hunter2@127.0.0.1:${port}/0`, new RegExp(`127\\.0\\.0\\.1:${port}.*is Redis running`))
        yield* refused("redis://u:hunter2@nowhere.invalid/0", /nowhere\.invalid.*is its name right/)
        yield* refused("redis+socket:///nowhere/redis.sock", /\/nowhere\/redis\.sock.*`unixsocket`/)
        const { port: http } = (yield* web).address() as AddressInfo
        yield* refused(`redis://u:hunter2@127.0.0.1:${http}/0`, /offered HTTP/)
        const { node } = yield* RabbitMq
        yield* refused(`redis://u:hunter2@${node.host}:${node.port}/0`, /offered AMQP/)
      })
    )

    it.effect(
      "because of its password, its user's rights, or its database; and that does, with the rights it takes",
      () =>
        Effect.gen(function* () {
          const { node } = yield* Redis.start({ password: "right" })
          const { command } = Redis.access(node, 0)
          const at = (login: string, database: number | string = 0) =>
            `redis://${login}${node.host}:${node.port}/${database}`
          yield* refused(at(""), /NOAUTH: .*the URL has none; user:password@ stands/)
          yield* refused(at(":hunter2@"), /WRONGPASS/)
          yield* command("ACL", "SETUSER", "poor", "on", ">hunter2", "~*", "&*", "+@all", "-evalsha", "-eval")
          yield* refused(at("poor:hunter2@"), /NOPERM.*'evalsha'.*docs\/redis\.md/)
          yield* command("ACL", "SETUSER", "narrow", "on", ">hunter2", "~other:*", "&*", "+@all")
          yield* refused(at("narrow:hunter2@"), /NOPERM.*keys.*docs\/redis\.md/)
          // What docs/redis.md says is enough, and no more is wanted of it.
          yield* command("ACL", "SETUSER", "shop", "on", ">hunter2", "~shop:*", "&*", "+@all", "-@admin", "-@dangerous")
          const worker = start(["worker", "-A", "tasks.ts", "-c1"], asShop(at("shop:hunter2@")))
          yield* Effect.promise(() => worker.says("ready."))
          const called = yield* apium(["call", "proj.add", "--args=[2,3]", "--wait"], asShop(at("shop:hunter2@")))
          assert.deepStrictEqual(called, { code: 0, stdout: "5\n", stderr: "" })
          const pinged = yield* answered(["inspect", "ping"], asShop(at("shop:hunter2@")))
          assert.include(pinged.stdout, "1 node online.", pinged.stderr)
          worker.signal("SIGTERM")
          const ended = yield* Effect.promise(() => worker.exit)
          assert.strictEqual(ended.code, 0)
          assert.notMatch(ended.stdout + ended.stderr, /ERROR|NOPERM|hunter2/)
          yield* refused(at(":right@", 99_999), /database 99999 .*`databases`/)
        })
    )

    it.effect("because it is a replica, or part of a Cluster, or does not speak TLS", () =>
      Effect.gen(function* () {
        // Its master is away: while it takes over what one has, it says that instead.
        const replica = yield* Redis.start({ config: ["--replicaof", `127.0.0.1 ${yield* Ports.free}`] })
        const { host } = replica.node
        yield* refused(`redis://:hunter2@${host}:${replica.node.port}/0`, /is a replica.*name its master/)
        const cluster = yield* Redis.start({
          config: ["--cluster-enabled", "yes", "--cluster-port", String(yield* Ports.free)]
        })
        yield* refused(`redis://:hunter2@${host}:${cluster.node.port}/0`, /a node of a Cluster.*redis\+cluster:\/\//)
        const secured = yield* Redis.start({ tls: true })
        yield* refused(`redis://:hunter2@${host}:${secured.node.tls!.port}/0`, /does it ask for TLS/)
        yield* refused(`rediss://:hunter2@${host}:${secured.node.tls!.port}/0`, /TLS failed: .*certificate/)
      })
    )
  }
)
