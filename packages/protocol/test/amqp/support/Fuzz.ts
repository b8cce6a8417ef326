/** One hostile input: made from a recorded session and a seed, fed to a parser in pieces, judged. */
import { AmqpError, InvalidValue } from "@apium/protocol/amqp/AmqpError"
import type { Command } from "@apium/protocol/amqp/Command"
import * as Constants from "@apium/protocol/amqp/Constants"
import { type ContentMethod, FrameWriter } from "@apium/protocol/amqp/FrameWriter"
import * as Trace from "@apium/protocol/amqp/Trace"
import { assert } from "@effect/vitest"
import { Result } from "effect"
import { type Random, random } from "../../support/Random.ts"
import * as Allocations from "./Allocations.ts"
import * as Frames from "./Frames.ts"
import { mutate } from "./Mutate.ts"

const known = new Set(Constants.replyCodes.map(({ code }) => code))

export const slowest = 50

/**
 * Of the processor's time, for the machine has other things to do, too; and of up to twenty runs, for so has the process: what is slow is slow
 * each time.
 */
export const leastMilliseconds = (run: () => unknown): number => {
  let least = Number.POSITIVE_INFINITY
  for (let times = 0; times < 20 && least >= slowest; times++) {
    const began = process.cpuUsage()
    run()
    const { system, user } = process.cpuUsage(began)
    least = Math.min(least, (system + user) / 1000)
  }
  return least
}

export interface Judged {
  /** `ok` or the reply code of a typed error; `!` where headers could not be read, `~` where a message was too large. Anything else is thrown. */
  readonly outcome: string
  readonly milliseconds: number
  /** Octets that were taken above what the largest frame may have. */
  readonly above: number
}

/** Sessions to start from, both directions of each. */
export const sessions = (): ReadonlyArray<Uint8Array> => [
  ...Frames.streams(),
  ...Frames.recorded().map(({ bytes }) => bytes)
]

/** The input of a seed; `r` goes on to decide how it is fed. */
export const input = (
  all: ReadonlyArray<Uint8Array>,
  seed: number
): { readonly bytes: Uint8Array; readonly r: Random } => {
  const r = random(seed)
  return { bytes: mutate(all, r), r }
}

export const judge = (bytes: Uint8Array, r: Random): Judged => {
  const side = r.pick(["client", "server", "either"] as const)
  const frameMax = r.pick([4096, 131_072, 0])
  const copy = r.next() < 0.5
  const inPieces = r.next() < 0.5
  const seen = { headers: false, large: false }
  const commands: Array<Command> = []
  const { parser } = Frames.listen({
    side,
    frameMax,
    maxMessageSize: 100_000,
    copy,
    onCommand: (command) => {
      if (command.content !== undefined) {
        assert.isObject(command.content.properties)
        const headers = command.content.headers()
        if (Result.isFailure(headers)) {
          assert.instanceOf(headers.failure, AmqpError)
          seen.headers = true
        }
      }
      commands.push(command)
    },
    onRefused: (error) => {
      assert.strictEqual(error.replyCode, Constants.contentTooLarge)
      seen.large = true
    }
  })
  let code = "ok"
  const began = performance.now()
  const taken = Allocations.count(() => {
    for (let at = 0; at < bytes.length && code === "ok";) {
      const size = inPieces ? 1 + r.below(500) : bytes.length
      const pushed = parser.push(bytes.subarray(at, at + size))
      if (Result.isFailure(pushed)) {
        assert.instanceOf(pushed.failure, AmqpError)
        assert.isTrue(known.has(pushed.failure.replyCode))
        code = String(pushed.failure.replyCode)
      }
      at += size
    }
  })
  const milliseconds = performance.now() - began
  for (const command of commands) again(command)
  const outcome = `${code}${seen.headers ? "!" : ""}${seen.large ? "~" : ""}`
  return { outcome, milliseconds, above: taken - (frameMax === 0 ? 131_072 : frameMax) }
}

/** What was read can be shown in a line, and written again or is refused with the place of what cannot be. */
const again = (command: Command): void => {
  assert.notMatch(Trace.command("s2c", command), /\p{Cc}/u)
  const { channel, method, content } = command
  if (content !== undefined && Result.isFailure(content.headers())) return
  const writer = new FrameWriter(0)
  try {
    if (content === undefined) writer.method(channel, method)
    else writer.content(channel, method as ContentMethod, content.toWritten())
  } catch (error) {
    assert.instanceOf(error, InvalidValue)
    assert.strictEqual(writer.size, 0)
  }
}
