import * as FakeBroker from "@apium/transport-amqp/testing/FakeBroker"
import * as NodeSocketServer from "@effect/platform-node-shared/NodeSocketServer"
import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Python from "../../../../test/support/Python.ts"

/** Kombu and py-amqp, by which the client's side of the wire is somebody else's work. */
const kombu = `
import sys
from kombu import Connection, Exchange, Queue
from amqp.exceptions import AMQPError

url = sys.argv[1]
queue = Queue("work", Exchange("work", "topic"), routing_key="a.#")
taken = []

def take(body, message):
    taken.append(body)
    message.ack()

with Connection(url, transport_options={"confirm_publish": True}) as connection:
    channel = connection.channel()
    producer = connection.Producer(channel)
    for n in range(100):
        headers = {"n": n, "nested": {"list": [1, 2.5, None, True], "text": "é"}}
        producer.publish({"n": n}, exchange=queue.exchange, routing_key="a.b", declare=[queue], headers=headers)
    producer.publish(b"z" * 500000, routing_key="work", content_type="application/data", content_encoding="binary")
    with connection.Consumer([queue], callbacks=[take], prefetch_count=10, channel=channel, accept=["json", "application/data"]):
        while len(taken) < 101:
            connection.drain_events(timeout=60)
    print(taken[:100] == [{"n": n} for n in range(100)], len(taken[100]))

    producer.publish({"again": True}, routing_key="work")
    message = queue.bind(connection.channel()).get()
    print(message.payload, message.delivery_info["message_count"])
    message.reject(requeue=True)
    print(queue.bind(connection.channel()).purge())

for what in (
    lambda channel: channel.queue_declare("nowhere", passive=True),
    lambda channel: channel.queue_declare("transient", durable=False, auto_delete=False),
    lambda channel: channel.basic_qos(0, 1, True),
):
    try:
        with Connection(url) as connection:
            what(connection.channel())
            print("done")
    except AMQPError as error:
        print(error.reply_code)

try:
    Connection(url.replace("guest@", "wrong@")).connect()
except AMQPError as error:
    print(error.reply_code)
`

const said = (profile: FakeBroker.ProfileName) =>
  Effect.gen(function* () {
    const fake = yield* FakeBroker.make({ profile })
    const server = yield* NodeSocketServer.make({ port: 0, host: "127.0.0.1" })
    yield* Effect.forkScoped(server.run((socket) => fake.serve(socket)))
    const port = "port" in server.address ? server.address.port : 0
    const printed = yield* Python.run(kombu, { args: [`amqp://guest:guest@127.0.0.1:${port}//`] })
    return printed.trim().split("\n")
  })

it.live("kombu and py-amqp find a broker in it, and on RabbitMQ 4.3 what they find there", () =>
  Effect.gen(function* () {
    const same = ["True 500000", "{'again': True} 0", "1", "404"]
    assert.deepStrictEqual(yield* said("3.10"), [...same, "done", "done", "403"])
    assert.deepStrictEqual(yield* said("strict43"), [...same, "541", "540", "403"])
  })
)
