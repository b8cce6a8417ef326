import { defineConfig } from "vitest/config"

// Packages resolve to their TypeScript sources: nothing is built before the tests, on Node.js, Bun and Deno alike.
const conditions = ["@apium/source"]

/** `servers` are installed and started once for the run, when a file of a project that needs them runs: `test/support/setup`. */
const project = (name: string, folder: string, servers: ReadonlyArray<"python" | "rabbitmq" | "redis"> = []) => ({
  extends: true as const,
  test: {
    name,
    include: [`${folder}/**/*.test.ts`],
    globalSetup: servers.map((server) => `./test/support/setup/${server}.ts`)
  }
})

export default defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions } },
  test: {
    reporters: ["default", "./test/support/reporter.ts"],
    // One core is kept free otherwise: of two, half. Tests on real servers wait most of the time.
    maxWorkers: "100%",
    // Against what hangs, and no measure: what takes half a second alone takes ten on a machine with twenty other things to do.
    testTimeout: 300_000,
    hookTimeout: 300_000,
    teardownTimeout: 120_000,
    projects: [
      project("protocol", "packages/protocol/test"),
      project("hub", "packages/hub/test"),
      project("worker", "packages/worker/test"),
      project("cli", "packages/cli/test", ["rabbitmq", "redis"]),
      project("demo", "apps/demo/test", ["rabbitmq", "redis"]),
      project("edge", "test/edge"),
      project("transport-amqp", "packages/transport-amqp/test", ["rabbitmq", "python"]),
      project("transport-redis", "packages/transport-redis/test", ["redis", "python"]),
      project("interop", "test/interop", ["rabbitmq", "redis", "python"]),
      project("support", "test/support/test", ["rabbitmq", "redis", "python"])
    ],
    coverage: {
      provider: "v8",
      include: ["packages/*/src/**/*.ts"],
      reporter: ["text", "json-summary"]
    }
  }
})
