import { assert, it } from "@effect/vitest"

/** `test:bun` and `test:deno` set APIUM_RUNTIME, so a run that silently fell back to Node.js fails. */
const actual = "Deno" in globalThis ? "deno" : "Bun" in globalThis ? "bun" : "node"

it("runs on the runtime it was asked to", () => {
  assert.strictEqual(actual, process.env["APIUM_RUNTIME"] ?? actual)
})
