/**
 * Processes that never outlive the test runner, even one that is killed with SIGKILL.
 *
 * ```text
 *   runner ──stdin──▶ guard (bash, leads a session of its own)
 *                       ├─ cat ──stdin──▶ the process, and whatever it starts
 *                       └─ at the end of stdin: kill -9 of them all
 * ```
 *
 * A pipe ends with its writer on Node.js, Bun and Deno alike; the kernel's "die with your parent" is tied to a thread and is not.
 */
import { Data, Deferred, Effect, type Scope } from "effect"
import { spawn } from "node:child_process"
import { createInterface } from "node:readline"

/** It did not say in time what the test waited for, or ended before. */
export class Silent extends Data.TaggedError("Silent")<{ readonly message: string }> {}

export interface Process {
  readonly running: () => boolean
  /** Nothing when it is gone. */
  readonly signal: (signal: NodeJS.Signals) => Effect.Effect<void>
  /** SIGKILL to it and to what it started; waits until they are gone. */
  readonly kill: Effect.Effect<void>
  /** Writes a line to its stdin. The end of its stdin it never sees. */
  readonly say: (line: string) => Effect.Effect<void>
  /** Waits for a line of its stdout or stderr that contains this, from the first one on; 90 s of real time if not told otherwise. */
  readonly line: (text: string, milliseconds?: number) => Effect.Effect<string, Silent>
  /** What it said last: so many lines as are kept. */
  readonly lines: () => ReadonlyArray<string>
  /** Its exit code; 128 and the signal's number when a signal ended it; null when it did not start. */
  readonly ended: Effect.Effect<number | null>
}

export interface Options {
  /** On top of the environment of the test. */
  readonly env?: Readonly<Record<string, string>> | undefined
  /** How many of its last lines are kept. Default 1,000. */
  readonly kept?: number | undefined
}

/** Killed when the scope closes. */
export const start = (command: ReadonlyArray<string>, options?: Options): Effect.Effect<Process, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => running(command, options)),
    ({ kill }) => kill
  )

// The second `cat` goes on when the process reads no more: a guard that killed then would have no exit code to tell.
// Its number comes first, from itself, so that no line of its own comes before. `wait` waits for it alone, and not for `cat`.
const guard = `exec 3<&0
(echo "$BASHPID"; exec "$@") < <(exec 2>/dev/null; cat <&3; cat <&3 >&2; kill -KILL 0) 3<&- &
wait "$!"`

const running = (command: ReadonlyArray<string>, { env = {}, kept = 1_000 }: Options = {}): Process => {
  const child = spawn("setsid", ["bash", "-c", guard, "guard", ...command], {
    stdio: "pipe",
    env: { ...process.env, ...env }
  })
  const lines: Array<string> = []
  const waiting = new Set<{ readonly text: string; readonly said: Deferred.Deferred<string, Silent> }>()
  const pid = Deferred.makeUnsafe<number, "gone">()
  const ended = Deferred.makeUnsafe<number | null>()

  const heard = (line: string) => {
    if (lines.push(line) > kept) lines.shift()
    for (const { text, said } of waiting) if (line.includes(text)) Deferred.doneUnsafe(said, Effect.succeed(line))
  }
  createInterface({ input: child.stdout }).on("line", (line) => {
    if (!Deferred.doneUnsafe(pid, Effect.succeed(Number(line)))) heard(line)
  })
  createInterface({ input: child.stderr }).on("line", heard)
  child.stdin.on("error", () => {})
  child.once("error", (error) => heard(String(error)))
  // What it left behind goes too, and lets go of the pipes.
  child.once("exit", () => child.stdin.destroy())
  child.once("close", (code) => {
    Deferred.doneUnsafe(pid, Effect.fail("gone"))
    Deferred.doneUnsafe(ended, Effect.succeed(code))
    for (const { text, said } of waiting) Deferred.doneUnsafe(said, Effect.fail(silent(text, "before it ended")))
  })
  const silent = (text: string, when: string) =>
    new Silent({
      message: `${command[0]} did not say ${JSON.stringify(text)} ${when}. Its last lines:\n${lines.slice(-40).join("\n")}`
    })
  const signal = (signal: NodeJS.Signals) =>
    Effect.ignore(
      Effect.map(Deferred.await(pid), (pid) => {
        try {
          if (!Deferred.isDoneUnsafe(ended)) process.kill(pid, signal)
        } catch {
          // It is gone.
        }
      })
    )
  return {
    running: () => !Deferred.isDoneUnsafe(ended),
    signal,
    // Not by the end of the guard's stdin: only a guard that lives can wait until the process has let go of its ports.
    kill: Effect.andThen(signal("SIGKILL"), Deferred.await(ended)),
    say: (line) => Effect.callback((resume) => void child.stdin.write(`${line}\n`, () => resume(Effect.void))),
    line: (text, milliseconds = 90_000) =>
      Effect.callback((resume) => {
        const known = lines.find((line) => line.includes(text))
        if (known !== undefined) return resume(Effect.succeed(known))
        if (Deferred.isDoneUnsafe(ended)) return resume(Effect.fail(silent(text, "before it ended")))
        const one = { text, said: Deferred.makeUnsafe<string, Silent>() }
        waiting.add(one)
        // Real time, also under a `TestClock`.
        const deadline = setTimeout(
          () => Deferred.doneUnsafe(one.said, Effect.fail(silent(text, `within ${milliseconds} ms`))),
          milliseconds
        )
        const over = Effect.sync(() => {
          clearTimeout(deadline)
          waiting.delete(one)
        })
        resume(Effect.ensuring(Deferred.await(one.said), over))
        return over
      }),
    lines: () => [...lines],
    ended: Deferred.await(ended)
  }
}
