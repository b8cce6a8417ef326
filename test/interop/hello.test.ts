/** What our `hello` does to the revoked ids that Python's worker remembers: the `LimitedSet` of celery.worker.state itself reads it. */
import * as Json from "@apium/protocol/kombu/Json"
import * as Hello from "@apium/worker/control/Hello"
import * as Revoked from "@apium/worker/execution/Revoked"
import { describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Python from "../support/Python.ts"

/** `hellos`: those of several workers, as their messages have them. `checks` see how many ids stand in a full set: `REVOKES_MAX`. */
const python = (hellos: ReadonlyArray<unknown>, checks: string) =>
  Python.run(
    `
import sys, time
from kombu.utils.json import loads
from celery.worker.state import revoked, REVOKES_MAX, REVOKE_EXPIRES
hellos = loads(sys.stdin.read())
${checks}
`,
    { input: Json.stringify(hellos) }
  )

const idsOf = (worker: number, count: number) => Array.from({ length: count }, (_, n) => `${worker}-${n}`)

const told = (revokedLately: () => ReadonlyArray<string>) => Hello.encode({ revokedLately })

describe("what our workers tell one of Python's when they start", () => {
  it.effect("is taken, stands behind what it is told itself, and is forgotten three hours later", () =>
    Effect.gen(function* () {
      const hellos = yield* Effect.forEach([1, 2, 3, 4, 5], (worker) => told(() => idsOf(worker, 10_000)))
      yield* python(
        hellos,
        `
revoked.add("before")
for hello in hellos:
    revoked.update(hello)
assert len(revoked) == REVOKES_MAX, len(revoked)
assert all("%d-9999" % worker in revoked for worker in range(1, 6))
fresh = ["fresh-%d" % n for n in range(1000)]
for id in fresh:
    revoked.add(id)
    revoked.purge()
assert all(id in revoked for id in fresh), len([id for id in fresh if id in revoked])
now = time.monotonic()
assert all(at <= now for at, _ in revoked._data.values())
revoked.purge(now=now + REVOKE_EXPIRES)
assert len(revoked) == 0, len(revoked)
`
      )
    })
  )

  it.effect("does not grow with every start of a worker that knows of 50,000", () =>
    Effect.gen(function* () {
      const ours = Revoked.make(() => 0)
      for (const id of idsOf(0, 50_000)) ours.add(id)
      const hello = yield* told(ours.lately)
      yield* python(
        [hello],
        `
for n in range(20):
    revoked.add("fresh-%d" % n)
    revoked.update(hellos[0])
assert all("fresh-%d" % n in revoked for n in range(20))
assert "0-49999" in revoked
assert len(revoked) == 10_020, len(revoked)
`
      )
    })
  )
})
