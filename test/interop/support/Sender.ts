/** Messages as they are put: by py-amqp, or by redis-py, past all that Celery and Kombu would have made of them. */
import * as Message from "./malformed.ts"
import type { PythonClient } from "./PythonClient.ts"

const head = `
import amqp, base64, pickle, zlib
from uuid import uuid4
# One link for all of them.
def channel():
    if not hasattr(app, "hostile"):
        app.hostile = app.connection_for_write().default_channel
    return app.hostile
`

/** A Python expression of octets. */
const octets = (body: Message.Malformed["body"], taskId: string) =>
  typeof body === "string" ? `${JSON.stringify(body.replaceAll(Message.id, taskId))}.encode("utf-8")` : body.python

const headersOf = ({ headers }: Message.Malformed, taskId: string) =>
  `json.loads(${JSON.stringify(JSON.stringify(headers).replaceAll(Message.id, taskId))})`

const text = (value: string | null | undefined, otherwise: string) =>
  value === null ? "None" : JSON.stringify(value ?? otherwise)

const propertiesOf = ({ contentEncoding, contentType }: Message.Malformed) =>
  [text(contentType, "application/json"), text(contentEncoding, "utf-8")] as const

export type Put = (
  client: PythonClient,
  queue: string,
  message: Message.Malformed,
  taskId: string
) => ReturnType<PythonClient["ask"]>

export const amqp: Put = ({ ask }, queue, message, taskId) => {
  const [type, encoding] = propertiesOf(message)
  return ask(`${head}
said = dict(content_type=${type}, content_encoding=${encoding}, application_headers=${headersOf(message, taskId)})
message = amqp.Message(${octets(message.body, taskId)}, **{k: v for k, v in said.items() if v is not None})
channel().basic_publish(message, exchange="", routing_key="${queue}")`)
}

export const redis: Put = (client, queue, message, taskId) => {
  const [type, encoding] = propertiesOf(message)
  const headers = message.headers === null ? "{}" : headersOf(message, taskId)
  return envelope(
    client,
    queue,
    `json.dumps({
    "body": base64.b64encode(${octets(message.body, taskId)}).decode(), "headers": ${headers},
    "content-type": ${type}, "content-encoding": ${encoding},
    "properties": {"delivery_mode": 2, "delivery_info": {"exchange": "", "routing_key": "${queue}"}, "priority": 0,
                   "body_encoding": "base64", "delivery_tag": str(uuid4())}})`
  )
}

/** Whatever this Python says, into the list. */
export const envelope = ({ ask }: PythonClient, queue: string, python: string) =>
  ask(`${head}
app.backend.client.lpush("${queue}", ${python})`)
