/**
 * Signed messages both ways between Debian's Celery 5.2.6, as `app.setup_security()` sets it up, and ours, on both brokers (RELIABILITY
 * G12): tasks, a chain through both workers, remote control, compression on top; and what has to be refused.
 */
import { Connection } from "@apium/hub/Connection"
import * as DeadLetter from "@apium/hub/DeadLetter"
import { layerSecurity } from "@apium/hub/node"
import * as Queue from "@apium/hub/Queue"
import * as Serializer from "@apium/hub/Serializer"
import * as Canvas from "@apium/worker/client/Canvas"
import { Client } from "@apium/worker/client/Client"
import { ResultBackend } from "@apium/worker/client/ResultBackend"
import * as Signature from "@apium/worker/client/Signature"
import * as Control from "@apium/worker/control/Control"
import { Tasks } from "@apium/worker/task/Tasks"
import * as Worker from "@apium/worker/Worker"
import { assert, layer } from "@effect/vitest"
import { Context, Effect, Layer, Logger, Option } from "effect"
import { copyFileSync, mkdirSync } from "node:fs"
import * as path from "node:path"
import * as Certificates from "../support/Certificates.ts"
import { print, until } from "../support/Figures.ts"
import * as Python from "../support/Python.ts"
import { RabbitMq } from "../support/RabbitMq.ts"
import { Redis } from "../support/Redis.ts"
import * as Server from "../support/Server.ts"
import * as deployments from "./support/deployments.ts"
import { add } from "./support/tasks.ts"

const app = `
import json, os, sys
from celery import Celery, chain
folder = os.environ["FOLDER"]
app = Celery("proj", broker=os.environ["BROKER"], backend=os.environ["BACKEND"])
app.conf.update(
    task_default_queue="python", worker_hijack_root_logger=False,
    task_serializer="auth", accept_content=["auth"], result_accept_content=["json"],
    security_key=folder + "/py.key", security_certificate=folder + "/py.pem", security_cert_store=folder + "/store")
app.setup_security()
`

const worker = `${app}
@app.task(name="proj.add")
def add(x, y):
    return x + y
`

const client = `${app}
def add(*args, queue="typescript", **options):
    return app.signature("proj.add", args=args, queue=queue, **options)
print(json.dumps([
    add(2, 3).delay().get(timeout=60),
    add(2, 4, compression="bzip2").delay().get(timeout=60),
    add(2, 5, compression="zlib").delay().get(timeout=60),
    chain(add(1, 2), add(4, queue="python"), add(8)).delay().get(timeout=60),
    sorted(name for reply in app.control.ping(timeout=60, limit=2) for name in reply)]))
`

/** Six senders who are not to be believed; the ids of what they sent. */
const strangers = `${app}
import base64, datetime
from celery.security.certificate import Certificate
from celery.security.key import PrivateKey
from celery.security.serialization import SecureSerializer, register_auth
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from kombu.serialization import registry
def read(name):
    with open(folder + "/" + name) as file:
        return file.read()
def sent(serializer="auth"):
    return app.send_task("proj.add", (600, 66), queue="typescript", serializer=serializer).id
def signed(name):
    register_auth(read(name + ".key"), read(name + ".pem"), folder + "/store")
    return sent()
class Changed(SecureSerializer):
    def _pack(self, body, content_type, content_encoding, signer, signature):
        fields = dict(body=body, content_type=content_type, content_encoding=content_encoding, signer=signer, signature=signature)
        return super()._pack(**self.change(fields))
def changed(change):
    serializer = Changed(PrivateKey(read("py.key")), Certificate(read("py.pem")), None)
    serializer.change = change
    registry.register("auth", serializer.serialize, None, "application/data", "utf-8")
    return sent()
separator = chr(0) + chr(1)
app.conf.broker_transport_options = {"confirm_publish": True}
print(json.dumps({
    "unsigned": sent("json"),
    "a stranger": signed("stranger"),
    "one who expired": signed("old"),
    "one who is not yet": signed("future"),
    "another body": changed(lambda f: {**f, "body": f["body"].replace(b"600", b"601")}),
    "another signer": changed(lambda f: {**f, "signer": Certificate(read("ts.pem")).get_id()}),
    "a separator": changed(lambda f: {**f, "content_type": f["content_type"] + separator + "utf-8" + separator + "[[1,1],{},{}]"}),
    "pickle inside": changed(lambda f: {**f, "content_type": "application/x-python-serialize", "content_encoding": "binary"})}))
`

/** What openssl of Debian cannot: one whose time is to come. */
const future = `
import datetime, sys
from cryptography import x509
from cryptography.x509.oid import NameOID
from cryptography.hazmat.primitives import hashes, serialization
folder = sys.argv[1]
with open(folder + "/future.key", "rb") as file:
    key = serialization.load_pem_private_key(file.read(), None)
name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "future")])
day = datetime.timedelta(days=1)
now = datetime.datetime.utcnow()
certificate = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(
    x509.random_serial_number()).not_valid_before(now + day).not_valid_after(now + 2 * day).sign(key, hashes.SHA256())
with open(folder + "/future.pem", "wb") as file:
    file.write(certificate.public_bytes(serialization.Encoding.PEM))
`

const expected: Readonly<Record<string, RegExp>> = {
  unsigned: /application\/json.*is not accepted/,
  "a stranger": /no certificate of its signer/,
  "one who expired": /it expired at/,
  "one who is not yet": /it is not valid before/,
  "another body": /it is not what .* signed/,
  "another signer": /it is not what .* signed/,
  "a separator": /it is not what .* signed/,
  "pickle inside": /what was signed has to be application\/json/
}

/** Python trusts `store`; ours trust `trusted`, where those are, too, whose time is not now: Python would not start with them. */
const keys = Effect.gen(function* () {
  const folder = yield* Server.folder
  const days: Readonly<Record<string, number>> = { old: -1 }
  for (const name of ["ts", "py", "stranger", "old", "future"]) {
    yield* Certificates.selfSigned(folder, name, { days: days[name] ?? 2 })
  }
  yield* Python.run(future, { args: [folder] })
  const copy = (to: string, names: ReadonlyArray<string>) => {
    mkdirSync(path.join(folder, to))
    for (const name of names) copyFileSync(path.join(folder, `${name}.pem`), path.join(folder, to, `${name}.pem`))
  }
  copy("store", ["ts", "py"])
  copy("trusted", ["ts", "py", "old", "future"])
  return folder
})

class Signed extends Context.Service<
  Signed,
  { readonly env: Readonly<Record<string, string>>; readonly ran: ReadonlyArray<number> }
>()("test/interop/Signed") {}

const World = (deployment: typeof deployments.rabbitMq | typeof deployments.redis) =>
  Layer.unwrap(
    Effect.gen(function* () {
      const { backend, broker, connection, results } = yield* deployment as typeof deployments.rabbitMq
      const folder = yield* keys
      const env = { BROKER: broker, BACKEND: backend, FOLDER: folder }
      const ran: Array<number> = []
      const security = layerSecurity({
        key: path.join(folder, "ts.key"),
        certificate: path.join(folder, "ts.pem"),
        certStore: path.join(folder, "trusted"),
        format: "5.4"
      })
      const Ours = Worker.layer({ queues: [Queue.make("typescript")], concurrency: 4, name: "ours@signed" }).pipe(
        Layer.provide(Tasks.handle(add, ({ x, y }) => Effect.sync(() => (ran.push(x + y), x + y)))),
        Layer.provide(Tasks.layer),
        Layer.provideMerge(Client.layer),
        Layer.provideMerge(results),
        Layer.provideMerge(connection()),
        // A line for each message that is refused.
        Layer.provideMerge(security),
        Layer.provideMerge(Logger.layer([]))
      )
      const Theirs = Layer.effectDiscard(
        Python.worker({
          code: worker,
          args: ["-n", "theirs@signed", "-c", "1", "--pool", "solo", "--without-gossip", "--without-mingle"],
          env
        })
      )
      return Layer.mergeAll(Ours, Theirs, Layer.succeed(Signed, { env, ran }))
    })
  )

const bits = (octets: Uint8Array, bit: number): Uint8Array => {
  const changed = octets.slice()
  changed[bit >> 3]! ^= 1 << (bit & 7)
  return changed
}

const flips = 200

for (const [name, deployment, servers] of [
  ["RabbitMQ", deployments.rabbitMq, Layer.merge(RabbitMq.shared, Redis.shared)],
  ["Redis", deployments.redis, Redis.shared]
] as const) {
  const Servers = servers as Layer.Layer<RabbitMq | Redis>
  layer(World(deployment).pipe(Layer.provideMerge(Servers)), { excludeTestServices: true })(
    `signed messages on ${name}`,
    (it) => {
      it.effect(
        "of Python are read and answered: tasks, compressed ones, a chain through both workers, remote control",
        () =>
          Effect.gen(function* () {
            const { env } = yield* Signed
            const answer: unknown = JSON.parse(yield* Python.run(client, { env }))
            assert.deepStrictEqual(answer, [5, 6, 7, 15, ["ours@signed", "theirs@signed"]])
          })
      )

      it.effect(
        "of ours are read and answered by Python: tasks, compressed ones, a chain through both workers, remote control",
        () =>
          Effect.gen(function* () {
            const there = { queue: "python" }
            assert.strictEqual(yield* Effect.flatMap(add.applyAsync({ x: 1, y: 2 }, there), ({ get }) => get), 3)
            const zlib = yield* add.applyAsync({ x: 1, y: 3 }, { ...there, compression: "zlib" })
            assert.strictEqual(yield* zlib.get, 4)
            const [first, second, third] = [add.s({ x: 1, y: 4 }), add.partial({ y: 1 }), add.partial({ y: 2 })]
            const both = yield* Canvas.delay(
              Canvas.chain(
                Signature.set(first, there),
                Signature.set(second, { queue: "typescript" }),
                Signature.set(third, there)
              )
            )
            assert.strictEqual(yield* both.get, 8)
            const seen = yield* Control.ping({ timeout: "60 seconds", limit: 2 })
            assert.deepStrictEqual(seen.map(({ node }) => node).toSorted(), ["ours@signed", "theirs@signed"])
          })
      )

      it.effect("that nobody is to believe go to the dead queue with the reason, and are not executed", () =>
        Effect.gen(function* () {
          const { env, ran } = yield* Signed
          const before = ran.length
          const ids = JSON.parse(yield* Python.run(strangers, { env })) as Readonly<Record<string, string>>
          const connection = yield* Connection
          const headers = { lang: "js", task: "proj.add", id: "", retries: 0, eta: null, expires: null }
          const genuine = yield* Serializer.encode([[600, 66], {}, {}])
          for (let flip = 0; flip < flips; flip++) {
            const id = `flip-${flip}`
            const bit = Math.floor((genuine.body.length * 8 * flip) / flips)
            yield* connection.publish(
              { ...genuine, body: bits(genuine.body, bit), headers: { ...headers, id } },
              { exchange: "", routingKey: "typescript", mandatory: true }
            )
          }
          const dead = new Map<string, readonly [reason: unknown, text: unknown]>()
          yield* until(
            connection.use((channel) =>
              Effect.gen(function* () {
                for (;;) {
                  const next = yield* channel.get(DeadLetter.queueOf("typescript"))
                  if (Option.isNone(next)) return dead.size === Object.keys(expected).length + flips
                  const { headers } = next.value.message
                  dead.set(String(headers["id"]), [headers["x-apium-reason"], headers["x-apium-error"]])
                  yield* next.value.ack
                }
              })
            )
          )
          const backend = yield* ResultBackend
          for (const [who, why] of Object.entries(expected)) {
            const [reason, text] = dead.get(ids[who]!)!
            assert.strictEqual(reason, "undecodable", who)
            assert.match(String(text), why, who)
            // Whose id it says it is may be another's.
            assert.isTrue(Option.isNone(yield* backend.get(ids[who]!)), who)
          }
          assert.strictEqual(ran.length, before)
          yield* print(
            `signed messages on ${name}: ${Object.keys(expected).length} forgeries and ${flips} flips of a bit, 0 executed`
          )
        })
      )
    }
  )
}
