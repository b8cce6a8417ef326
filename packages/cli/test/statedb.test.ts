import * as NodeName from "@apium/cli/NodeName"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { apium, fixture, start } from "./support/Cli.ts"

const folder = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "apium cli "))),
  (folder) => Effect.sync(() => rmSync(folder, { recursive: true, force: true }))
)

const app = ["-A", fixture("tasks")]

describe("apium worker --statedb", () => {
  it.effect("remembers in a file named after the worker", () =>
    Effect.gen(function* () {
      const place = yield* folder
      const { interrupt, says } = yield* start(["worker", ...app, "-n", "one@%h", "-S", join(place, "%n.state")])
      yield* says("ready.")
      yield* interrupt
      assert.deepInclude(JSON.parse(readFileSync(join(place, "one.state"), "utf8")), { version: 1, revoked: [] })
    })
  )

  it.effect("does not start on a file of somebody else's, which stays", () =>
    Effect.gen(function* () {
      const file = join(yield* folder, "worker.db")
      writeFileSync(file, "a shelve")
      const { code, stderr } = yield* apium(["worker", ...app, `--statedb=${file}`])
      assert.strictEqual(code, 1)
      assert.include(stderr, "a file of Celery's is not read")
      assert.isTrue(existsSync(file))
      assert.strictEqual((yield* apium(["worker", ...app, "-S", ""])).code, 64)
    })
  )

  it("knows Celery's letters, and lets no name lead out of a folder", () => {
    assert.strictEqual(
      NodeName.file("/v/%n-%h-%d-%p%%.%x", "w1@host.example.org"),
      "/v/w1-host.example.org-example.org-w1@host.example.org%.%x"
    )
    assert.strictEqual(NodeName.file("/v/%n.state", "../../etc@h"), "/v/.._.._etc.state")
  })
})
