import { assert, describe, it } from "@effect/vitest"
import { Miniflare } from "miniflare"
import { bundle } from "../support/bundle.ts"

describe("on workerd", () => {
  it("a worker runs a task for its client", async () => {
    const { code } = await bundle({ file: "test/edge/worker.ts" })
    const workerd = new Miniflare({
      modules: true,
      script: code,
      compatibilityDate: "2026-07-01",
      cf: false,
      telemetry: { enabled: false }
    })
    try {
      const response = await workerd.dispatchFetch("http://edge/")
      assert.deepStrictEqual(await response.json(), { sum: 5, state: "SUCCESS", ready: true })
    } finally {
      await workerd.dispose()
    }
  })
})

describe("a bundle for the edge", () => {
  it.each(["protocol", "hub", "worker"])("of @apium/%s has nothing of Node.js in it", async (name) => {
    const { metafile } = await bundle({ source: `export * from "@apium/${name}"` })
    const imports = Object.entries(metafile.inputs).flatMap(([file, input]) =>
      input.imports.filter(({ external }) => external).map(({ path }) => `${file} imports ${path}`)
    )
    assert.deepStrictEqual(imports, [])
  })
})
