import { Connection } from "@apium/hub/Connection"
import * as Consumer from "@apium/hub/Consumer"
import { Hub, type Timer } from "@apium/hub/Hub"
import * as MemoryTransport from "@apium/hub/memory/MemoryTransport"
import * as Producer from "@apium/hub/Producer"
import * as HubQueue from "@apium/hub/Queue"
import { assert, describe, it } from "@effect/vitest"
import {
  Clock,
  Context,
  Deferred,
  type Duration,
  Effect,
  Exit,
  Fiber,
  Layer,
  Logger,
  Queue,
  References,
  Schema,
  Scope,
  Stream
} from "effect"
import { TestClock } from "effect/testing"
import { withWallClock } from "../../../test/support/WallClock.ts"

/** Keeps what was logged, as `level: message`. */
class Logs extends Context.Service<Logs, ReadonlyArray<string>>()("test/Logs") {}

const LogsLive = Layer.unwrap(
  Effect.sync(() => {
    const lines: Array<string> = []
    const logger = Logger.make(({ logLevel, message }) => void lines.push(`${logLevel}: ${String(message)}`))
    return Layer.mergeAll(Logger.layer([logger]), Layer.succeed(Logs, lines))
  })
)

const test = <A, E>(name: string, effect: Effect.Effect<A, E, Hub | Logs | Scope.Scope>) =>
  it.effect(name, () => effect.pipe(Effect.provide(Layer.provideMerge(Hub.layer, LogsLive))))

/** Lets every fiber run that can. */
const settle = Effect.repeat(Effect.yieldNow, { times: 20 })

const day = 24 * 60 * 60 * 1000

describe("loops", () => {
  test(
    "a loop runs until its name is cancelled, and the name is free again",
    Effect.gen(function* () {
      const hub = yield* Hub
      const events = yield* Queue.unbounded<string>()
      const loop = (id: string) =>
        Effect.onInterrupt(Effect.andThen(Queue.offer(events, `${id} runs`), Effect.never), () =>
          Queue.offer(events, `${id} ends`)
        )
      yield* hub.run("loop", loop("a"))
      assert.strictEqual(yield* Queue.take(events), "a runs")
      yield* hub.cancel("loop")
      assert.strictEqual(yield* Queue.take(events), "a ends")
      yield* hub.cancel("loop")
      yield* hub.run("loop", loop("b"))
      assert.strictEqual(yield* Queue.take(events), "b runs")
    })
  )

  test(
    "a second loop of the same name takes over, after the finalizers of the first",
    Effect.gen(function* () {
      const hub = yield* Hub
      const events = yield* Queue.unbounded<string>()
      const goOn = yield* Deferred.make<void>()
      yield* hub.run(
        "loop",
        Effect.onInterrupt(Effect.andThen(Queue.offer(events, "a runs"), Effect.never), () =>
          Effect.andThen(Deferred.await(goOn), Queue.offer(events, "a ends"))
        )
      )
      yield* settle
      const second = yield* Effect.forkChild(
        hub.run("loop", Effect.andThen(Queue.offer(events, "b runs"), Effect.never))
      )
      yield* settle
      assert.deepStrictEqual(yield* Queue.clear(events), ["a runs"])
      yield* Deferred.succeed(goOn, undefined)
      yield* Fiber.join(second)
      yield* settle
      assert.deepStrictEqual(yield* Queue.clear(events), ["a ends", "b runs"])
    })
  )

  test(
    "a loop can take over its own name, and cancel itself",
    Effect.gen(function* () {
      const hub = yield* Hub
      const events: Array<string> = []
      const note = (event: string) => Effect.sync(() => void events.push(event))
      const second = Effect.gen(function* () {
        yield* note("second runs")
        yield* hub.cancel("loop")
        yield* note("never")
      })
      yield* hub.run("loop", Effect.andThen(hub.run("loop", second), Effect.andThen(note("never"), Effect.never)))
      yield* settle
      assert.deepStrictEqual(events, ["second runs"])
      assert.deepStrictEqual(yield* Logs, [])
    })
  )

  test(
    "a loop that fails is logged by its name and takes nothing down",
    Effect.gen(function* () {
      const hub = yield* Hub
      const ticks: Array<number> = []
      const finished = yield* Deferred.make<void>()
      yield* hub.run("good", Effect.andThen(Deferred.await(finished), Effect.never))
      yield* hub.callRepeatedly(
        "1 second",
        Effect.sync(() => void ticks.push(1))
      )
      yield* hub.run("bad", Effect.fail("boom"))
      yield* hub.run("worse", Effect.die(new Error("bang")))
      yield* TestClock.adjust("3 seconds")
      assert.deepStrictEqual(yield* Logs, ['Warn: Hub: the loop "bad" failed', 'Warn: Hub: the loop "worse" failed'])
      assert.strictEqual(ticks.length, 3)
      const again = yield* Deferred.make<void>()
      yield* hub.run("bad", Deferred.succeed(again, undefined))
      yield* Deferred.await(again)
    })
  )
})

describe("readers", () => {
  class Prefix extends Context.Service<Prefix, string>()("test/Prefix") {}

  test(
    "a reader hands its events over in order, with the context of who added it",
    Effect.gen(function* () {
      const hub = yield* Hub
      const seen = yield* Queue.unbounded<string>()
      yield* hub
        .addReader("numbers", Stream.make(1, 2, 3), (event) =>
          Effect.flatMap(Prefix, (prefix) => Queue.offer(seen, `${prefix}${event}`))
        )
        .pipe(Effect.provideService(Prefix, "#"))
      assert.deepStrictEqual(yield* Queue.takeN(seen, 3), ["#1", "#2", "#3"])
    })
  )

  test(
    "a source that fails, and one whose handler fails, end alone",
    Effect.gen(function* () {
      const hub = yield* Hub
      const input = yield* Queue.unbounded<number>()
      const seen = yield* Queue.unbounded<number>()
      let closed = 0
      const source = Stream.make(1, 2, 3).pipe(
        Stream.concat(Stream.never),
        Stream.ensuring(Effect.sync(() => void closed++))
      )
      yield* hub.addReader("good", Stream.fromQueue(input), (event) => Queue.offer(seen, event))
      yield* hub.addReader("no source", Stream.fail("unplugged"), () => Effect.void)
      yield* hub.addReader("no handler", source, (event) => (event === 2 ? Effect.fail("no twos") : Effect.void))
      yield* settle
      yield* Queue.offer(input, 7)
      assert.strictEqual(yield* Queue.take(seen), 7)
      assert.strictEqual(closed, 1)
      assert.deepStrictEqual(yield* Logs, [
        'Warn: Hub: the reader "no source" failed',
        'Warn: Hub: the reader "no handler" failed'
      ])
    })
  )

  test(
    "a reader that is removed ends with its source, and a handler may remove its own",
    Effect.gen(function* () {
      const hub = yield* Hub
      const seen: Array<string> = []
      const closed: Array<string> = []
      const source = (name: string) =>
        Stream.make(1, 2, 3).pipe(
          Stream.concat(Stream.never),
          Stream.ensuring(Effect.sync(() => void closed.push(name)))
        )
      yield* hub.addReader("other", source("other"), () => Effect.void)
      yield* hub.addReader("self", source("self"), (event) =>
        Effect.gen(function* () {
          if (event === 2) yield* hub.removeReader("self")
          seen.push(`handled ${event}`)
        })
      )
      yield* settle
      assert.deepStrictEqual(seen, ["handled 1", "handled 2"])
      assert.deepStrictEqual(closed, ["self"])
      yield* hub.removeReader("other")
      assert.deepStrictEqual(closed, ["self", "other"])
      assert.deepStrictEqual(yield* Logs, [])
    })
  )
})

describe("timers", () => {
  it.effect(
    "a wall clock that is set moves what is due at a time, and not what is due in a while or again and again",
    () =>
      withWallClock(day, ({ pass, jump }) =>
        Effect.gen(function* () {
          const hub = yield* Hub
          const ran: Array<string> = []
          const note = (text: string) => Effect.sync(() => void ran.push(text))
          yield* hub.callAt(day + 3000, note("at"))
          yield* hub.callAfter("2 seconds", note("after"))
          yield* hub.callRepeatedly("2 seconds", note("again"))
          yield* pass(1000)
          jump(-60_000)
          yield* Effect.andThen(pass(1000), settle)
          assert.deepStrictEqual(ran, ["after", "again"])
          yield* Effect.andThen(pass(2000), settle)
          assert.deepStrictEqual(ran, ["after", "again", "again"])
          yield* Effect.andThen(pass(58_999), settle)
          assert.notInclude(ran, "at")
          yield* Effect.andThen(pass(1), settle)
          assert.include(ran, "at")
        }).pipe(Effect.provide(Hub.layer))
      )
  )

  test(
    "callSoon runs on the next turn, callAfter and callAt when it is time, in order",
    Effect.gen(function* () {
      const hub = yield* Hub
      const seen: Array<string> = []
      const note = (event: string) => Effect.sync(() => void seen.push(event))
      yield* hub.callAt(3000, note("at 3"))
      yield* hub.callAfter("2 seconds", note("after 2"))
      yield* hub.callAfter("1 second", note("after 1"))
      yield* hub.callSoon(note("soon"))
      yield* hub.callAt(-1, note("passed"))
      assert.deepStrictEqual(seen, [])
      yield* settle
      assert.deepStrictEqual(seen.toSorted(), ["passed", "soon"])
      yield* TestClock.adjust("2999 millis")
      assert.deepStrictEqual(seen.slice(2), ["after 1", "after 2"])
      yield* TestClock.adjust("1 millis")
      assert.deepStrictEqual(seen.slice(4), ["at 3"])
    })
  )

  test(
    "cancel works before a timer fires, in the turn it fires, and after",
    Effect.gen(function* () {
      const hub = yield* Hub
      let fired = 0
      const fire = Effect.sync(() => void fired++)
      const first = yield* hub.callAfter("1 second", fire)
      yield* first.cancel
      const soon = yield* hub.callSoon(fire)
      yield* soon.cancel
      yield* TestClock.adjust("1 second")
      assert.strictEqual(fired, 0)
      const second = yield* hub.callAfter("1 second", fire)
      yield* hub.callAfter("1 second", Effect.andThen(second.cancel, first.cancel))
      yield* TestClock.adjust("1 second")
      assert.strictEqual(fired, 1)
      yield* second.cancel
      const third = yield* hub.callRepeatedly("1 second", fire)
      yield* TestClock.adjust("2 seconds")
      yield* third.cancel
      yield* TestClock.adjust("1 hour")
      assert.strictEqual(fired, 3)
    })
  )

  test(
    "what is due in sixty days does not come early",
    Effect.gen(function* () {
      const hub = yield* Hub
      let fired = 0
      yield* hub.callAt(
        60 * day,
        Effect.sync(() => void fired++)
      )
      yield* TestClock.adjust(60 * day - 1)
      assert.strictEqual(fired, 0)
      yield* TestClock.adjust(1)
      assert.strictEqual(fired, 1)
    })
  )

  it.live("what is due in sixty days does not come early on the clock of the runtime, either", () =>
    Effect.gen(function* () {
      const hub = yield* Hub
      const early = yield* Deferred.make<void>()
      const inTime = yield* Deferred.make<void>()
      const now = yield* Clock.currentTimeMillis
      yield* hub.callAt(now + 60 * day, Deferred.succeed(early, undefined))
      yield* hub.callAfter("20 millis", Deferred.succeed(inTime, undefined))
      yield* Deferred.await(inTime)
      assert.isFalse(yield* Deferred.isDone(early))
    }).pipe(Effect.provide(Hub.layer))
  )

  test(
    "callRepeatedly keeps to its beat, and leaves out what a slow callback missed",
    Effect.gen(function* () {
      const hub = yield* Hub
      const starts: Array<number> = []
      let running = 0
      yield* hub.callRepeatedly(
        "1 second",
        Effect.gen(function* () {
          assert.strictEqual(++running, 1)
          starts.push(yield* Clock.currentTimeMillis)
          yield* Effect.sleep(starts.length === 2 ? "2500 millis" : "100 millis")
          running--
        })
      )
      yield* TestClock.adjust("7 seconds")
      assert.deepStrictEqual(starts, [1000, 2000, 5000, 6000, 7000])
    })
  )

  test(
    "a repeated callback that fails is logged, and called again; one can cancel itself",
    Effect.gen(function* () {
      const hub = yield* Hub
      let calls = 0
      const timer: Timer = yield* hub.callRepeatedly(
        "1 second",
        Effect.suspend((): Effect.Effect<void, string> => {
          calls++
          if (calls === 1) return Effect.fail("once")
          if (calls === 2) return Effect.die("twice")
          return timer.cancel
        })
      )
      yield* hub.callAfter("500 millis", Effect.fail("other"))
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(calls, 3)
      assert.deepStrictEqual(yield* Logs, Array(3).fill("Warn: Hub: a callback failed"))
    })
  )

  test(
    "a slow callback holds up no other",
    Effect.gen(function* () {
      const hub = yield* Hub
      const done = yield* Deferred.make<void>()
      yield* hub.callSoon(Effect.never)
      yield* hub.callSoon(Deferred.succeed(done, undefined))
      yield* Deferred.await(done)
    })
  )

  test(
    "a callback has the context of who scheduled it",
    Effect.gen(function* () {
      const hub = yield* Hub
      const seen = yield* Queue.unbounded<unknown>()
      yield* hub
        .callSoon(Effect.flatMap(References.CurrentLogAnnotations, (annotations) => Queue.offer(seen, annotations)))
        .pipe(Effect.annotateLogs("task", "42"))
      assert.deepStrictEqual(yield* Queue.take(seen), { task: "42" })
    })
  )
})

describe("turns", () => {
  test(
    "onTick runs before each turn: a batch of events, or of timers that are due",
    Effect.gen(function* () {
      const hub = yield* Hub
      const seen: Array<string> = []
      const note = (event: string) => Effect.sync(() => void seen.push(event))
      const hook = yield* hub.onTick(note("tick"))
      yield* hub.addReader("letters", Stream.make("a", "b"), note)
      yield* settle
      assert.deepStrictEqual(seen.splice(0), ["tick", "a", "b"])
      yield* hub.callAfter("1 second", note("one"))
      yield* hub.callAfter("1 second", note("two"))
      yield* hub.callAfter("2 seconds", note("three"))
      yield* TestClock.adjust("3 seconds")
      assert.deepStrictEqual(seen.splice(0), ["tick", "one", "two", "tick", "three"])
      yield* hook.cancel
      yield* hub.callSoon(note("soon"))
      yield* settle
      assert.deepStrictEqual(seen, ["soon"])
    })
  )

  test(
    "a hook that fails is logged and stops no turn",
    Effect.gen(function* () {
      const hub = yield* Hub
      const done = yield* Deferred.make<void>()
      yield* hub.onTick(Effect.fail("boom"))
      yield* hub.callSoon(Deferred.succeed(done, undefined))
      yield* Deferred.await(done)
      assert.deepStrictEqual(yield* Logs, ["Warn: Hub: an onTick hook failed"])
    })
  )

  it.effect("an idle hub has no turns and no timers", () =>
    Effect.gen(function* () {
      const clock = yield* Clock.Clock
      let sleeping = 0
      const counting = Object.assign(Object.create(clock) as Clock.Clock, {
        sleep: (duration: Duration.Duration) =>
          Effect.acquireUseRelease(
            Effect.sync(() => void sleeping++),
            () => clock.sleep(duration),
            () => Effect.sync(() => void sleeping--)
          )
      })
      let turns = 0
      yield* Effect.gen(function* () {
        const hub = yield* Hub
        yield* hub.onTick(Effect.sync(() => void turns++))
        yield* hub.run("loop", Effect.never)
        yield* hub.addReader("reader", Stream.never, () => Effect.void)
        yield* settle
        assert.strictEqual(sleeping, 0)
        yield* hub.callAfter("1 second", Effect.void)
        const cancelled = yield* hub.callAfter("1 day", Effect.void)
        yield* TestClock.adjust("1 second")
        assert.strictEqual(sleeping, 1)
        yield* cancelled.cancel
        yield* settle
        assert.strictEqual(sleeping, 0)
        yield* TestClock.adjust("1 hour")
        assert.strictEqual(turns, 1)
      }).pipe(Effect.provide(Hub.layer), Effect.provideService(Clock.Clock, counting))
    })
  )
})

describe("drain", () => {
  const jobs = HubQueue.make("jobs")
  const Broker = Connection.layer.pipe(Layer.provideMerge(MemoryTransport.layer))

  it.effect("waits for the deliveries a consumer has begun, and gives back the others", () =>
    Effect.gen(function* () {
      const hub = yield* Hub
      const connection = yield* Connection
      const producer = yield* Producer.make(Schema.Finite, { routingKey: "jobs", declare: [jobs] })
      const begun = yield* Deferred.make<void>()
      const goOn = yield* Deferred.make<void>()
      let handled = 0
      yield* hub.run(
        "jobs",
        Consumer.run([jobs], {
          concurrency: 1,
          prefetch: 10,
          handle: () =>
            Effect.gen(function* () {
              yield* Deferred.succeed(begun, undefined)
              yield* Deferred.await(goOn)
              handled++
            })
        })
      )
      yield* producer.publishAll([1, 2, 3])
      yield* Deferred.await(begun)
      const drain = yield* Effect.forkChild(hub.drain)
      yield* settle
      assert.isUndefined(drain.pollUnsafe())
      yield* Deferred.succeed(goOn, undefined)
      yield* Fiber.join(drain)
      const left = yield* connection.use((channel) => channel.queueDeclare(jobs))
      assert.deepStrictEqual({ handled, left: left.messageCount }, { handled: 1, left: 2 })
    }).pipe(Effect.provide(Layer.mergeAll(Hub.layer, Broker)))
  )

  test(
    "waits for the batch of a reader and for callbacks, and ends loops and readers",
    Effect.gen(function* () {
      const hub = yield* Hub
      const input = yield* Queue.unbounded<number>()
      const ended: Array<string> = []
      const handled: Array<number> = []
      const goOn = yield* Deferred.make<void>()
      const called = yield* Deferred.make<void>()
      yield* Queue.offerAll(input, [1, 2])
      yield* hub.addReader("reader", Stream.fromQueue(input), (event) =>
        Effect.andThen(
          Deferred.await(goOn),
          Effect.sync(() => void handled.push(event))
        )
      )
      yield* hub.run(
        "loop",
        Effect.onInterrupt(Effect.never, () => Effect.sync(() => void ended.push("loop")))
      )
      yield* hub.callSoon(Deferred.await(called))
      yield* settle
      const drain = yield* Effect.forkChild(hub.drain)
      yield* settle
      yield* Queue.offer(input, 3)
      yield* Deferred.succeed(goOn, undefined)
      yield* settle
      assert.isUndefined(drain.pollUnsafe())
      assert.deepStrictEqual(ended, [])
      yield* Deferred.succeed(called, undefined)
      yield* Fiber.join(drain)
      assert.deepStrictEqual(handled, [1, 2])
      assert.deepStrictEqual(ended, ["loop"])
    })
  )

  test(
    "nothing starts on a drained hub, and its timers go on",
    Effect.gen(function* () {
      const hub = yield* Hub
      let beats = 0
      let started = 0
      const start = Effect.sync(() => void started++)
      yield* hub.callRepeatedly(
        "1 second",
        Effect.sync(() => void beats++)
      )
      yield* hub.drain
      yield* hub.run("loop", start)
      yield* hub.addReader("reader", Stream.make(1), () => start)
      yield* TestClock.adjust("3 seconds")
      assert.deepStrictEqual({ beats, started }, { beats: 3, started: 0 })
      yield* hub.drain
    })
  )

  test(
    "may be asked for from inside, and by two at once",
    Effect.gen(function* () {
      const hub = yield* Hub
      const done = yield* Queue.unbounded<string>()
      const go = yield* Deferred.make<void>()
      const drain = (who: string) =>
        Effect.andThen(Effect.andThen(Deferred.await(go), hub.drain), Queue.offer(done, who))
      yield* hub.addReader("signals", Stream.make("SIGTERM", "SIGINT"), () => drain("reader"))
      yield* hub.callSoon(drain("callback"))
      yield* hub.run("loop", hub.inFlight(drain("loop")))
      yield* settle
      yield* Deferred.succeed(go, undefined)
      assert.deepStrictEqual((yield* Queue.takeN(done, 4)).toSorted(), ["callback", "loop", "reader", "reader"])
    })
  )
})

describe("its life", () => {
  test(
    "runForever waits for stop, and a stop that came before ends it at once",
    Effect.gen(function* () {
      const hub = yield* Hub
      const running = yield* Effect.forkChild(hub.runForever)
      yield* TestClock.adjust("1 day")
      assert.isUndefined(running.pollUnsafe())
      yield* hub.stop
      yield* Fiber.join(running)
      yield* hub.stop
      yield* hub.runForever
      const again = yield* Effect.forkChild(hub.runForever)
      yield* settle
      assert.isUndefined(again.pollUnsafe())
    })
  )

  it.effect("closing it ends loops, readers, callbacks and timers, and then runs the hooks, the latest first", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const hub = Context.get(yield* Layer.buildWithScope(Hub.layer, scope), Hub)
      const seen: Array<string> = []
      const note = (event: string) => Effect.sync(() => void seen.push(event))
      const forever = (name: string) => Effect.onInterrupt(Effect.never, () => note(name))
      yield* hub.onClose(note("first hook"))
      yield* hub.run("loop", forever("loop"))
      yield* hub.addReader("reader", Stream.make(1), () => forever("handler"))
      yield* hub.callSoon(forever("callback"))
      yield* hub.callAfter("1 second", note("never"))
      yield* hub.callRepeatedly("1 second", note("never"))
      yield* hub.onClose(Effect.die("a hook that fails"))
      yield* hub.onClose(note("second hook"))
      const running = yield* Effect.forkChild(hub.runForever)
      yield* settle
      yield* Scope.close(scope, Exit.void)
      yield* Fiber.join(running)
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(seen.slice(0, 3).toSorted(), ["callback", "handler", "loop"])
      assert.deepStrictEqual(seen.slice(3), ["second hook", "first hook"])
    })
  )
})
