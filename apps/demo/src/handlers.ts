/**
 * What the tasks do. The default export is all there is to load: by the worker, and by each of its threads.
 */
import { TaskContext } from "@apium/worker/task/TaskContext"
import { Tasks } from "@apium/worker/task/Tasks"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as tasks from "./tasks.ts"
import * as Terms from "./terms.ts"

const utf8 = new TextDecoder("utf-8", { fatal: true })

const index = Tasks.handle(
  tasks.index,
  Effect.fnUntraced(function* ({ path }) {
    const fs = yield* FileSystem.FileSystem
    const bytes = yield* fs
      .readFile(path)
      .pipe(Effect.mapError(({ reason }) => new tasks.Unreadable({ reason: `cannot be read (${reason._tag})` })))
    const text = yield* Effect.try({
      try: () => utf8.decode(bytes),
      catch: () => new tasks.Unreadable({ reason: "is not UTF-8 text" })
    })
    const { words, counts } = Terms.count(text)
    return { bytes: bytes.byteLength, words, terms: Terms.top(counts, 40) }
  })
)

const flaky = Tasks.handle(
  tasks.flaky,
  Effect.fnUntraced(function* ({ failures }) {
    const { retries } = yield* TaskContext
    if (retries < failures) return yield* new tasks.Unavailable()
    return retries + 1
  })
)

const reminder = Tasks.handle(tasks.reminder, () => Clock.currentTimeMillis)

export default Layer.mergeAll(index, flaky, reminder).pipe(Layer.provide(NodeFileSystem.layer))
