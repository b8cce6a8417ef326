/** Children that are `node:worker_threads`, both sides, the same on Node, Bun and Deno. */
import * as Threads from "node:worker_threads"
import * as platform from "./platform.ts"

/** The pool's side. */
export const layer = (spawn: () => Threads.Worker) => platform.layer("thread", () => handleOf(spawn()))

const handleOf = (worker: Threads.Worker): platform.Handle => {
  let alive = true
  worker.once("exit", () => {
    alive = false
  })
  return {
    postMessage: (message) => worker.postMessage(message),
    listen: (onMessage, onDeath) => {
      worker.on("message", onMessage)
      worker.on("messageerror", (cause) => onDeath(`sent what cannot be read: ${platform.messageOf(cause)}`, cause))
      worker.on("error", (cause) => onDeath(`died of: ${platform.messageOf(cause)}`, cause))
      worker.on("exit", (code) => onDeath(`exited with code ${code}`))
    },
    kill: () => (alive ? worker.terminate() : Promise.resolve())
  }
}

const parentOf = (port: Threads.MessagePort): platform.Parent => ({
  post: (message) => port.postMessage(message),
  listen: (onMessage, onError) => {
    port.on("message", onMessage)
    port.on("messageerror", onError)
    return () => {
      port.off("message", onMessage)
      port.off("messageerror", onError)
    }
  }
})

/** The thread's side. */
export const layerRunner = platform.layerRunner(Threads.parentPort === null ? undefined : parentOf(Threads.parentPort))
