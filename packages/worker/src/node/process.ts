/**
 * What a process of `layerProcessPool` runs: the handlers of the module it is given, under `ChildRunner`. It is an entry
 * point, loaded by its URL and by nothing else, and one of a bundle, too.
 *
 * It ends when its parent says so, or is gone. Signals meant for the worker reach its children, too (Ctrl-C in a terminal, a
 * service manager that stops the group), and they let them pass: the worker decides.
 */
import * as Effect from "effect/Effect"
import * as ChildRunner from "../execution/pools/ChildRunner.ts"
import * as childProcesses from "./childProcesses.ts"
import * as handlers from "./handlers.ts"

// In the worker's own process it would swallow the signals.
if (process.send === undefined) {
  throw new TypeError("@apium/worker/node/process is for layerProcessPool to start, and not to be imported")
}

for (const signal of ["SIGINT", "SIGTERM", "SIGQUIT", "SIGHUP"] as const) process.on(signal, () => undefined)

process.on("disconnect", () => process.exit())
// It may have gone while all this was loaded.
if (!process.connected) process.exit()

const self: ChildRunner.Self = {
  place: "process",
  id: process.pid,
  resident: () => Math.round(process.memoryUsage.rss() / 1024)
}

Effect.runFork(Effect.provide(ChildRunner.run(self, handlers.load(process.argv[2]!)), childProcesses.layerRunner))
