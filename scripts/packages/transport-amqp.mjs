// The door opens a socket: nobody listens on port 1, and the failure is typed and shows no password.
import * as Amqp from "@apium/transport-amqp/node"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"

const { reason } = await Effect.runPromise(
  Effect.flip(Effect.scoped(Layer.build(Amqp.layer("amqp://guest:secret@127.0.0.1:1//"))))
)
if (reason._tag !== "ConnectionLost" || reason.message.includes("secret")) throw new Error(reason.message)
console.log(reason.message)
