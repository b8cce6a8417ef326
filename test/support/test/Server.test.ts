import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Scope } from "effect"
import { spawn } from "node:child_process"
import { existsSync, writeFileSync } from "node:fs"
import * as path from "node:path"
import * as Certificates from "../Certificates.ts"
import * as Commands from "../Commands.ts"
import * as Ports from "../Ports.ts"
import * as Process from "../Process.ts"
import * as Program from "../Program.ts"
import * as Server from "../Server.ts"
import * as Wire from "./Wire.ts"

const test = <E>(name: string, effect: Effect.Effect<void, E, Scope.Scope>) =>
  it.effect(name, () => Effect.scoped(effect))

const shell = (script: string) => ["sh", "-c", script]

describe("Ports", () => {
  test(
    "gives nobody a port that somebody has",
    Effect.gen(function* () {
      const ports = yield* Effect.all(
        Array.from({ length: 200 }, () => Ports.free),
        { concurrency: 20 }
      )
      assert.strictEqual(new Set(ports).size, 200)
      for (const port of ports) assert.isTrue(port >= 20_000 && port < 26_000)
      // Another runner finds it reserved.
      const other = yield* Wire.dial(ports[0]! + 6_000)
      assert.strictEqual(yield* other.ended, "end")
      assert.strictEqual(yield* (yield* Wire.dial(ports[0]!)).ended, "ECONNREFUSED")
    })
  )
})

describe("Commands", () => {
  /** An `apt-get` of the test's own, for as long as its scope is open. */
  const apt = (script: (folder: string) => string) =>
    Effect.gen(function* () {
      const folder = yield* Server.folder
      writeFileSync(path.join(folder, "apt-get"), `#!/bin/sh\n${script(folder)}\n`, { mode: 0o755 })
      const before = process.env["PATH"]
      yield* Effect.acquireRelease(
        Effect.sync(() => (process.env["PATH"] = `${folder}${path.delimiter}${before}`)),
        () => Effect.sync(() => (process.env["PATH"] = before))
      )
      return folder
    })

  test(
    "asks again for what cannot be had at the moment, as a mirror that does not answer",
    Effect.gen(function* () {
      // The first install fails, then the update; what is asked again succeeds.
      const folder = yield* apt(
        (folder) => `echo "$*" >> ${folder}/asked; [ $(wc -l < ${folder}/asked) -gt 2 ] && touch ${folder}/wanted`
      )
      const asked = yield* Effect.exit(Commands.require({ [`${folder}/wanted`]: "some-package" }))
      // Only who is root may install.
      assert.strictEqual(asked._tag, process.getuid?.() === 0 ? "Success" : "Failure")
    })
  )

  test(
    "says what to install where it cannot",
    Effect.gen(function* () {
      yield* apt(() => "echo E: Unable to locate package no-such-package >&2; exit 100")
      const { message } = yield* Effect.flip(Commands.require({ "no-such-command": "no-such-package", sh: "dash" }))
      assert.match(message, /^no-such-command missing\. /)
      assert.match(message, /Install it: apt-get install no-such-package$/)
    })
  )

  test(
    "gives back what a command says, or how it failed",
    Effect.gen(function* () {
      assert.strictEqual(yield* Commands.run(["tr", "a-z", "A-Z"], { input: "apium" }), "APIUM")
      const failed = yield* Effect.flip(Commands.run(["sh", "-c", "echo because >&2; exit 3"]))
      assert.strictEqual(failed.message, "sh ended with 3:\nbecause\n")
      assert.match((yield* Effect.flip(Commands.run(["no-such-command"]))).message, /^no-such-command did not start/)
    })
  )
})

describe("Certificates", () => {
  test(
    "are for us, for others, or have expired",
    Effect.gen(function* () {
      const folder = yield* Server.folder
      const { authority, server, client } = yield* Certificates.make(folder)
      const verify = (certificate: string, ...more: ReadonlyArray<string>) =>
        Commands.run(["openssl", "verify", "-CAfile", authority, ...more, certificate])
      for (const { certificate } of [server, client]) yield* verify(certificate, "-verify_ip", "127.0.0.1")
      const stranger = yield* Certificates.issue(folder, "stranger", { names: "DNS:example.com" })
      yield* verify(stranger.certificate)
      const elsewhere = yield* Effect.flip(verify(stranger.certificate, "-verify_hostname", "localhost"))
      assert.match(elsewhere.message, /[Hh]ostname mismatch/)
      const expired = yield* Certificates.issue(folder, "expired", { days: -1 })
      assert.match((yield* Effect.flip(verify(expired.certificate))).message, /certificate has expired/)
    })
  )
})

describe("Process", () => {
  test(
    "hears its lines, answers it, and learns how it ended",
    Effect.gen(function* () {
      const process = yield* Process.start(shell('read name; echo "hello $name"; echo warned >&2; exit 7'))
      yield* process.say("apium")
      assert.strictEqual(yield* process.line("hello"), "hello apium")
      assert.strictEqual(yield* process.ended, 7)
      assert.isFalse(process.running())
      assert.strictEqual(yield* process.line("warn"), "warned")
      const { message } = yield* Effect.flip(process.line("more"))
      assert.match(message, /^sh did not say "more" before it ended\. Its last lines:\n/)
      assert.include(message, "hello apium")
    })
  )

  test(
    "waits so long for a line, and no longer",
    Effect.gen(function* () {
      const process = yield* Process.start(shell("echo other; read forever"))
      const { message } = yield* Effect.flip(process.line("ready", 50))
      assert.match(message, /^sh did not say "ready" within 50 ms/)
    })
  )

  test(
    "delivers signals to it alone",
    Effect.gen(function* () {
      const process = yield* Process.start(
        shell("trap 'echo stopping; exit 0' TERM; echo up; while :; do read x; done")
      )
      yield* process.line("up")
      yield* process.signal("SIGTERM")
      yield* process.say("go on")
      yield* process.line("stopping")
      assert.strictEqual(yield* process.ended, 0)
      yield* process.signal("SIGTERM")
    })
  )

  for (const [when, script] of [
    ["when its scope closes", "read forever"],
    ["when it goes first", "read once"]
  ] as const) {
    test(
      `takes with it what it started, ${when}`,
      Effect.gen(function* () {
        yield* Commands.require({ "redis-server": "redis-server" })
        const port = yield* Ports.free
        const scope = yield* Scope.make()
        const process = yield* Process.start(
          shell(`redis-server --port ${port} --bind 127.0.0.1 --save '' & ${script}`)
        ).pipe(Scope.provide(scope))
        yield* process.line("Ready to accept")
        const wire = yield* Wire.dial(port)
        if (script === "read once") yield* process.say("go")
        else yield* Scope.close(scope, Exit.void)
        assert.include(["end", "ECONNRESET"], yield* wire.ended)
      })
    )
  }
})

describe("Server", () => {
  test(
    "does not start what says nothing, and shows its log",
    Effect.gen(function* () {
      const options = { command: shell("echo no such disk; exit 1"), ready: "ready" }
      const { message } = yield* Effect.flip(Server.start(options))
      assert.strictEqual(message, 'sh did not say "ready" before it ended. Its last lines:\nno such disk')
    })
  )

  test(
    "starts again what was stopped, killed, or ended by itself",
    Effect.gen(function* () {
      const command = shell("echo ready; read word; exit 1")
      const server = yield* Server.start({ command, ready: "ready" })
      yield* server.stop
      assert.deepStrictEqual(server.lines(), [])
      yield* server.start
      yield* server.kill
      yield* server.start
      yield* server.start
      assert.deepStrictEqual(server.lines(), ["ready"])
    })
  )

  test(
    "leaves nothing in its folder",
    Effect.gen(function* () {
      const made = yield* Effect.scoped(
        Effect.tap(Server.folder, (folder) => Effect.sync(() => assert.isTrue(existsSync(folder))))
      )
      assert.isFalse(existsSync(made))
    })
  )

  test(
    "does not outlive a test runner that is killed with SIGKILL",
    Effect.gen(function* () {
      yield* Commands.require({ "redis-server": "redis-server" })
      const file = yield* Program.bundle("test/support/test/runner.ts")
      const runner = yield* Effect.acquireRelease(
        Effect.sync(() =>
          spawn(process.execPath, [...("Deno" in globalThis ? ["run", "-A"] : []), file], { stdio: "pipe" })
        ),
        (runner) => Effect.sync(() => runner.kill("SIGKILL"))
      )
      const said = yield* Effect.promise(() => new Promise((resolve) => runner.stdout.once("data", resolve)))
      const port = Number(/port (\d+)/.exec(String(said))![1])
      const wire = yield* Wire.dial(port)
      process.kill(runner.pid!, "SIGKILL")
      assert.include(["end", "ECONNRESET"], yield* wire.ended)
    })
  )
})
