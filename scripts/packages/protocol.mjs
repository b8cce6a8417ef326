// A task message out to bytes and back: what a publisher writes, a worker reads.
import { Content, TaskMessage } from "@apium/protocol"
import * as Result from "effect/Result"

const registry = Content.registry()
const headers = TaskMessage.encodeHeaders(TaskMessage.makeHeaders({ task: "proj.add", id: "a1" }))
const sent = Result.getOrThrow(Content.encode(registry, "json", TaskMessage.encodeBody([2, 3], { at: new Date(0) })))

const payload = Result.getOrThrow(Content.decode(registry, sent.body, sent.contentType, sent.contentEncoding))
const { headers: read, args, kwargs } = Result.getOrThrow(TaskMessage.decode(headers, payload))

if (read.id !== "a1" || args[1] !== 3 || kwargs.at.getTime() !== 0)
  throw new Error(JSON.stringify({ read, args, kwargs }))
console.log(`${read.task} in ${sent.body.length} bytes and back`)
