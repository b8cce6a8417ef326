import { assert, describe, it } from "@effect/vitest"
import { demo, Folder, start, startIntoHead } from "./support.ts"

const latin1 = Uint8Array.of(0x63, 0x61, 0x66, 0xe9, 0x0a)

const lines = (text: string) => text.trimEnd().split("\n")

describe("pnpm demo", () => {
  it("indexes a folder, reports, and ends by itself", async () => {
    using folder = new Folder({
      "readme.md": "Celery celery CELERY stalks",
      "übersicht/grüne stangen.txt": "celery Sellerie",
      "notes/latin1.txt": latin1,
      "logo.png": Uint8Array.of(0x89, 0, 1, 2),
      "empty.txt": "",
      "node_modules/dep/index.js": "nobody reads this"
    })
    const { code, stdout, stderr } = await demo([folder.path])
    assert.strictEqual(stderr, "")
    assert.strictEqual(code, 0)
    assert.include(stdout, "Indexing 3 text files of")
    assert.match(stdout, /Left out: .*1 empty file/)
    assert.match(stdout, /Left out: .*1 binary file/)
    assert.match(stdout, /^ +4 +2 {2}celery$/m)
    assert.match(stdout, /^ *27 B +4 {2}readme\.md$/m)
    assert.match(stdout, /übersicht.grüne stangen\.txt$/m)
    assert.match(stdout, /^demo\.index +3 +2 +0 +1 .*ms .*ms$/m)
    assert.match(stdout, /^demo\.flaky +1 +1 +2 +0 .*ms .*ms$/m)
    assert.match(stdout, /^demo\.reminder +1 +1 +0 +0 .*ms .*ms$/m)
    assert.match(stdout, /^demo\.index notes.latin1\.txt: is not UTF-8 text$/m)
    assert.match(stdout, /^demo\.flaky failed 2 times, .* succeeded at run 3\.$/m)
    assert.match(stdout, /^demo\.reminder ran [\d,]+ ms after its ETA\.$/m)
    assert.match(stdout, /^5 tasks over /m)
    assert.match(lines(stdout).at(-1)!, /^Next: /)
    assert.isAtMost(lines(stdout).length, 40)
  })

  it("shows progress in plain lines where there is no terminal", async () => {
    using folder = new Folder({ "one.txt": "one", "two.txt": "two" })
    const { stdout } = await demo([folder.path, "--eta", "0"])
    assert.notInclude(stdout, "\r")
    assert.notInclude(stdout, "\u001B")
    assert.include(stdout, "4 of 4 tasks done")
  })

  it("says so when there is nothing to index, and still runs the other tasks", async () => {
    using folder = new Folder()
    const { code, stdout } = await demo([folder.path, "--eta", "0"])
    assert.strictEqual(code, 0)
    assert.include(stdout, "There are no text files in")
    assert.notInclude(stdout, "demo.index")
    assert.match(stdout, /^demo\.flaky +1 +1 +2 +0/m)
  })

  it("indexes a single file", async () => {
    using folder = new Folder({ "one.txt": "alpha beta" })
    const { code, stdout } = await demo([`${folder.path}/one.txt`, "--eta", "0"])
    assert.strictEqual(code, 0)
    assert.match(stdout, /^ *10 B +2 {2}one\.txt$/m)
  })

  it("stops warmly on Ctrl-C: says what became of the tasks and exits with 130", async () => {
    using folder = new Folder({ "one.txt": "one", "two.txt": "two" })
    const running = start([folder.path, "--eta", "600"])
    await running.says(/3 of 4 tasks done/)
    running.interrupt()
    const { code, stdout, stderr } = await running.exit
    assert.strictEqual(stderr, "")
    assert.strictEqual(code, 130)
    assert.strictEqual(
      lines(stdout).at(-1),
      "Stopped warmly: 3 finished before, 0 in flight were finished, 1 given back to the queue."
    )
  })

  it("ends quietly when nobody reads what it prints", async () => {
    const { stdout, stderr } = await startIntoHead(["--eta", "600"]).exit
    assert.match(stdout, /^Indexing .*\n$/)
    assert.strictEqual(stderr, "code 0\n")
  })

  it("refuses a path that is not there with 66, and knows a mistyped command", async () => {
    const { code, stderr } = await demo(["wroker"])
    assert.strictEqual(code, 66)
    assert.include(stderr, "Cannot read wroker: there is no such file or folder. Did you mean the command worker?")
  })

  it("refuses a flag it does not know with 64", async () => {
    const { code, stderr } = await demo(["--bogus"])
    assert.strictEqual(code, 64)
    assert.include(stderr, "--bogus")
  })

  it("shows its commands on --help", async () => {
    const { code, stdout } = await demo(["--help"])
    assert.strictEqual(code, 0)
    for (const command of ["worker", "producer", "monitor"]) assert.match(stdout, new RegExp(`^ +${command} `, "m"))
  })

  it("refuses a broker it does not have with 64, and never prints a password", async () => {
    const { code, stdout, stderr } = await demo([], { APIUM_BROKER_URL: "redsi://user:p@ss/word@localhost:6379/0" })
    assert.strictEqual(code, 64)
    assert.include(stderr, "redsi://user:**@localhost:6379/0")
    assert.include(stderr, "Did you mean redis://?")
    assert.include(stderr, "Supported today: memory://")
    assert.notInclude(stdout + stderr, "word")
  })
})

describe.each(["worker", "producer", "monitor"])("pnpm demo %s", (command) => {
  it("over memory:// says what two processes can share, and exits with 64", async () => {
    const { code, stdout, stderr } = await demo([command])
    assert.strictEqual(code, 64)
    assert.strictEqual(stdout, "")
    assert.include(stderr, `demo ${command} needs a broker that two processes can share`)
    assert.include(stderr, "amqp://guest:guest@localhost:5672//")
    assert.include(stderr, "redis://localhost:6379/0")
    assert.include(stderr, "@apium/transport-amqp")
    assert.include(stderr, "@apium/transport-redis")
  })
})
