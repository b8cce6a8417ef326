/** Children that are processes of `node:child_process`, with an IPC channel; both sides, the same on Node, Bun and Deno. */
import type { ChildProcess } from "node:child_process"
import * as platform from "./platform.ts"

/** The pool's side. */
export const layer = (spawn: () => ChildProcess) => platform.layer("process", () => handleOf(spawn()))

/**
 * A process that ends ends twice, in no order: its exit, and its channel's close, before which there may be last messages.
 * Waits for the second at most a second: something else may hold the channel open.
 */
const after = (child: ChildProcess, event: "disconnect" | "exit", then: () => void): void => {
  const waited = () => {
    clearTimeout(timeout)
    child.off(event, waited)
    then()
  }
  const timeout = setTimeout(waited, 1_000)
  child.once(event, waited)
}

const handleOf = (child: ChildProcess): platform.Handle => {
  let gone = false
  const exited = new Promise<void>((resolve) => {
    const over = () => {
      gone = true
      resolve()
    }
    child.once("exit", over)
    // One that never was has no exit.
    child.once("error", () => child.pid === undefined && over())
  })
  return {
    postMessage: (message) => {
      // A channel that is closed says so to the callback; what that means is for `exit` to tell.
      child.send(message as object, () => undefined)
    },
    listen: (onMessage, onDeath) => {
      child.on("message", onMessage)
      child.on("error", (cause) => onDeath(`failed: ${platform.messageOf(cause)}`, cause))
      child.once("exit", (code, signal) => {
        const die = () => onDeath(signal === null ? `exited with code ${code}` : `was killed by ${signal}`)
        if (child.connected) after(child, "disconnect", die)
        else die()
      })
      // One that lives on cannot be talked to: nothing it does is for anybody.
      child.once("disconnect", () => gone || after(child, "exit", () => gone || child.kill("SIGKILL")))
    },
    kill: () => {
      if (!gone) child.kill("SIGKILL")
      return exited
    }
  }
}

const parent: platform.Parent = {
  post: (message) => void process.send?.(message),
  listen: (onMessage) => {
    process.on("message", onMessage)
    return () => process.off("message", onMessage)
  }
}

/** The process's side. */
export const layerRunner = platform.layerRunner(process.send === undefined ? undefined : parent)
