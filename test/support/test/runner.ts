/** A test runner that is killed: it starts a Redis, says where, and waits. */
import { Effect } from "effect"
import * as Ports from "../Ports.ts"
import * as Server from "../Server.ts"

void Effect.runPromise(
  Effect.scoped(
    Effect.gen(function* () {
      const port = yield* Ports.free
      const command = ["redis-server", "--port", String(port), "--bind", "127.0.0.1", "--save", ""]
      yield* Server.start({ command, ready: "Ready to accept connections" })
      yield* Effect.sync(() => console.log(`port ${port}`))
      return yield* Effect.never
    })
  )
)
