import { assert, it, layer } from "@effect/vitest"
import { Effect } from "effect"
import * as Python from "../Python.ts"
import { Redis } from "../Redis.ts"

it.effect("runs a program of Python's with Celery's own packages", () =>
  Effect.gen(function* () {
    const code = `
import sys, celery, kombu, amqp
print(celery.__version__, kombu.__version__, sys.argv[1])
for line in sys.stdin: print(line.strip()[::-1])`
    assert.strictEqual(yield* Python.run(code, { args: ["yes"], input: "abc\ndef" }), "5.2.6 5.2.4 yes\ncba\nfed\n")
    const { message } = yield* Effect.flip(Python.run("raise ValueError('no')"))
    assert.match(message, /^python3 ended with 1:\n.*ValueError: no/s)
  })
)

it.effect("talks with one that goes on", () =>
  Effect.gen(function* () {
    const echo = yield* Python.start("while True: print('heard', input())")
    for (const word of ["one", "two"]) {
      yield* echo.say(word)
      assert.strictEqual(yield* echo.line(word), `heard ${word}`)
    }
  })
)

layer(Redis.layer())("Python.worker", (it) => {
  it.effect("is a Celery worker that is ready for tasks, and ends warmly", () =>
    Effect.gen(function* () {
      const url = (yield* Redis).url()
      const code = `
from celery import Celery
app = Celery("peer", broker="${url}", backend="${url}")

@app.task(name="add")
def add(a, b): return a + b
`
      const worker = yield* Python.worker({ code, args: ["--concurrency", "2"] })
      const sum = yield* Python.run(`${code}
print(add.delay(2, 3).get(timeout=100))`)
      assert.strictEqual(sum, "5\n")
      yield* worker.line("Task add[")
      yield* worker.signal("SIGTERM")
      assert.strictEqual(yield* worker.ended, 0)
    })
  )
})
