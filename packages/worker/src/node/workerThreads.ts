/** Children that are `node:worker_threads`, both sides, the same on Node, Bun and Deno. */
import * as Threads from "node:worker_threads"
import * as platform from "./platform.ts"

/** The pool's side. */
export const layer = (spawn: () => Threads.Worker) => platform.layer("thread", () => handleOf(spawn()))

const handleOf = (port: Threads.Worker): platform.Handle => {
  let alive = true
  port.once("exit", () => {
    alive = false
  })
  return {
    postMessage: (message) => port.postMessage(message),
    listen: (onMessage, onDeath) => {
      port.on("message", onMessage)
      port.on("messageerror", (cause) => onDeath(`sent what cannot be read: ${platform.messageOf(cause)}`, cause))
      port.on("error", (cause) => onDeath(`died of: ${platform.messageOf(cause)}`, cause))
      port.on("exit", (code) => onDeath(`exited with code ${code}`))
    },
    kill: () => (alive ? port.terminate() : Promise.resolve())
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
