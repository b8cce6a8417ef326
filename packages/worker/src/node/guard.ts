/**
 * No child process outlives the one that started it. An idle one sees its channel close, and ends; one that computes sees
 * nothing, and when the parent was killed with SIGKILL there is nobody left to kill it. So a shell stands by, 1 MB and no
 * work: it is told who lives, and when the parent is gone its input ends, and it kills them. (A thread in each child that
 * watches its parent would cost 5 MB or more for each, and a timer.) Windows kills them by itself.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { type ChildProcess, spawn } from "node:child_process"

const script = `
alive=' '
while read -r verb pid; do
  case $verb in
    +) alive="$alive$pid " ;;
    -) alive="\${alive%% $pid *} \${alive#* $pid }" ;;
  esac
done
[ -z "\${alive# }" ] || kill -9 $alive
`

/** Watches over a child from now to its end. */
export type Guard = (child: ChildProcess) => void

/** Where there is no shell, it is said once, and children that compute may outlive a killed parent. */
export const make = Effect.gen(function* (): Effect.fn.Return<Guard, never, Scope.Scope> {
  if (process.platform === "win32") return () => undefined
  const warn = yield* Effect.map(
    Effect.context(),
    (context) => (reason: string) =>
      Effect.runForkWith(context)(
        Effect.logWarning("No shell watches the pool's processes: should this one be killed, busy ones outlive it", {
          reason
        })
      )
  )
  const shell = yield* Effect.acquireRelease(
    Effect.sync(() => spawn("/bin/sh", ["-c", script], { stdio: ["pipe", "ignore", "ignore"], detached: true })),
    ({ stdin }) => Effect.sync(() => stdin.end())
  )
  shell.on("error", ({ message }) => warn(message))
  // When it is gone, there is nobody to tell.
  shell.stdin.on("error", () => undefined)
  shell.unref()

  return (child) => {
    const { pid } = child
    if (pid === undefined) return
    shell.stdin.write(`+ ${pid}\n`)
    child.once("exit", () => shell.stdin.writable && shell.stdin.write(`- ${pid}\n`))
  }
})
