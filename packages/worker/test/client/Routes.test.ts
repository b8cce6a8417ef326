import * as Exchange from "@apium/hub/Exchange"
import { HubError } from "@apium/hub/HubError"
import * as Queue from "@apium/hub/Queue"
import * as Router from "@apium/worker/client/Router"
import * as Routes from "@apium/worker/client/Routes"
import { assert, describe, it } from "@effect/vitest"

const call = { args: [], kwargs: {} }

const asked = (routes: Routes.Routes, name: string): Routes.Route | undefined =>
  Routes.compileUnsafe(routes)(name, call, {}, undefined)

const failed = (ask: () => unknown): HubError => {
  try {
    ask()
  } catch (error) {
    assert.instanceOf(error, HubError)
    return error
  }
  return assert.fail("it did not fail")
}

describe("a table of routes", () => {
  const table = { "mail.send": "mail", "mail.*": { queue: "rest", priority: 3 }, "*.[ab]?": "letters", "*": "any" }

  it.each([
    ["mail.send", { queue: "mail" }],
    ["mail.sent", { queue: "rest", priority: 3 }],
    ["x.a1", { queue: "letters" }],
    ["x.c1", { queue: "any" }],
    ["x.a12", { queue: "any" }]
  ])("has a name before all patterns, and patterns in their order: %s", (name, route) => {
    assert.deepStrictEqual(asked(table, name), route)
    assert.deepStrictEqual(asked(Object.entries(table), name), route)
  })

  it("takes a name for a pattern where it has a star, and for itself otherwise, as Celery does", () => {
    assert.isUndefined(asked({ "feed?": "feeds" }, "feeds"))
    assert.deepStrictEqual(asked({ "feed?": "feeds" }, "feed?"), { queue: "feeds" })
    assert.deepStrictEqual(asked({ "feed?*": "feeds" }, "feeds"), { queue: "feeds" })
    assert.isUndefined(asked({ "feeds.*": "feeds" }, "my.feeds.all"))
  })

  it("asks a RegExp from the first letter on, and not to the last, as Python's re.match", () => {
    const routes: Routes.Routes = [[/(video|image)\.tasks/g, "media"]]
    for (let again = 0; again < 2; again++)
      assert.deepStrictEqual(asked(routes, "image.tasks.crop"), { queue: "media" })
    const lookup = Routes.compileUnsafe(routes)
    assert.deepStrictEqual(lookup("video.tasks", call, {}, undefined), { queue: "media" })
    assert.deepStrictEqual(lookup("video.tasks.x", call, {}, undefined), { queue: "media" })
    assert.isUndefined(lookup("my.video.tasks", call, {}, undefined))
  })

  it("is asked for 100 kB names, with globs that would ruin a regular expression, and answers", () => {
    const lookup = Routes.compileUnsafe({ "*a*a*a*a*a*b": "x", "a*a*a*a*a*[!a]": "y" })
    // A regular expression of these would still be there tomorrow.
    assert.isUndefined(lookup("a".repeat(100_000), call, {}, undefined))
  })

  it("remembers what it said of 10,000 names, and is right about more", () => {
    const lookup = Routes.compileUnsafe({ "odd.*": "odd", "*": "even" })
    for (let round = 0; round < 2; round++) {
      for (let n = 0; n < 12_000; n++) {
        const queue = n % 2 === 0 ? "even" : "odd"
        assert.strictEqual(lookup(`${queue}.${n}`, call, {}, undefined)?.queue, queue)
      }
    }
  })
})

describe("a list of routers", () => {
  it("has the answer of the first that gives one", () => {
    const seen: Array<unknown> = []
    const routes: Routes.Routes = [
      (name, args, kwargs, options, task) => {
        seen.push([name, args, kwargs, options, task])
        return args[0] === "urgent" ? { queue: "urgent", priority: 9 } : null
      },
      { "mail.send": "mail" },
      [["mail.*", "rest"]],
      () => "last"
    ]
    const lookup = Routes.compileUnsafe(routes)
    const urgent = { args: ["urgent"], kwargs: { a: 1 } }
    assert.deepStrictEqual(lookup("mail.send", urgent, { headers: { h: 1 } }, { queue: "q" }), {
      queue: "urgent",
      priority: 9
    })
    assert.deepStrictEqual(seen, [["mail.send", ["urgent"], { a: 1 }, { headers: { h: 1 } }, { queue: "q" }]])
    assert.deepStrictEqual(lookup("mail.send", call, {}, undefined), { queue: "mail" })
    assert.deepStrictEqual(lookup("mail.sent", call, {}, undefined), { queue: "rest" })
    assert.deepStrictEqual(lookup("x", call, {}, undefined), { queue: "last" })
    assert.isUndefined(asked([], "x"))
  })

  it("stops at a route with nothing in it, as Celery's does", () => {
    assert.deepStrictEqual(asked([{ x: {} }, { x: "q" }], "x"), {})
  })
})

describe("a broken route", () => {
  const throws = () => {
    throw new Error("no such tenant")
  }
  it.each<readonly [what: string, routes: Routes.Routes, message: string]>([
    ["that has no queue", { a: "" }, `routes["a"]: its queue has no name`],
    ["whose queue has no name", [{}, { a: { queue: "" } }], `routes[1]["a"]: its queue has no name`],
    ["whose exchange has no name", { a: { exchange: "" } }, `routes["a"]: its exchange has no name`],
    [
      "that says what no route does",
      { a: { routing_key: "k" } as never },
      `routes["a"]: a route has no "routing_key". Did you mean routingKey?`
    ],
    ["for no name", [[["", "q"]]], `routes[0][""]: it is for a task without a name`],
    ["that throws", throws, "routes (throws) for proj.x: it threw: no such tenant"],
    [
      "that gives something else",
      [() => 3 as never],
      "routes[0] for proj.x: it should give the name of a queue, or an object as { queue, routingKey }"
    ],
    [
      "that gives a promise",
      [async () => "q"] as never,
      "routes[0] for proj.x: it should give the name of a queue, or an object as { queue, routingKey }"
    ],
    [
      "that is a path of Python's",
      ["proj.routers.route"] as never,
      "routes[0]: it should be an object, a list of pairs [name, route], or a function"
    ]
  ])("%s says which one it is", (_what, routes, message) => {
    const error = failed(() => asked(routes, "proj.x"))
    assert.strictEqual(error.reason._tag, "RouteFailed")
    assert.strictEqual(error.message, message)
    assert.isFalse(error.recoverable || error.transient)
  })
})

describe("a queue that nobody described", () => {
  const queues = [Queue.make("celery"), Queue.make("mail"), Queue.broadcast("reload")]
  const to = (queue: string | undefined, options: Router.Options) =>
    Router.make(options).destination({ queue }, undefined, undefined)

  it("is made of its name", () => {
    const { declare, ...rest } = to("mial", { queues })
    assert.deepStrictEqual(rest, { queue: "mial", exchange: "", routingKey: "mial" })
    assert.deepStrictEqual(declare, { queues: [Router.queueNamed("mial")] })
  })

  it("is an error that names the others, where none is to be made", () => {
    const error = failed(() => to("mial", { queues, createMissingQueues: false }))
    assert.strictEqual(error.reason._tag, "QueueNotFound")
    assert.match(
      error.message,
      /^There is no queue "mial" among those described: celery, mail, bcast\.[\da-f-]{36}, reload\. Did you mean mail\?$/
    )
    assert.strictEqual(to("reload", { queues, createMissingQueues: false }).exchange, "reload")
  })

  it("is not the default queue, when that is the only one", () => {
    assert.strictEqual(to(undefined, { createMissingQueues: false }).routingKey, "celery")
    assert.strictEqual(to("own", { createMissingQueues: false, defaultQueue: "own" }).routingKey, "own")
    failed(() => to(undefined, { createMissingQueues: false, queues: [Queue.make("mail")] }))
  })

  it("is made as it is told", () => {
    const made = to("big", { createMissingQueues: (name) => Queue.quorum(Router.queueNamed(name)) })
    assert.deepStrictEqual(made.declare?.queues?.[0]?.arguments, { "x-queue-type": "quorum" })
  })

  it("names 20 of the others at most", () => {
    const many = Array.from({ length: 25 }, (_, n) => Queue.make(`queue${n}`))
    const { message } = failed(() => to("x", { queues: many, createMissingQueues: false }))
    assert.include(message, "queue19 and 5 more.")
    assert.notInclude(message, "queue20")
  })
})

describe("a destination", () => {
  const topic = Queue.bindTo(Exchange.topic("feeds"), "feed.#")(Queue.make("feeds"))
  const headers = Queue.bindTo(Exchange.headers("heads"), "", { "x-tenant": "acme" })(Queue.make("heads"))
  const reload = Queue.broadcast("reload")
  const { destination } = Router.make({ queues: [Queue.make("celery"), topic, headers, reload] })
  const to = (...[own, defined, route]: Parameters<typeof destination>) => {
    const { exchange, routingKey } = destination(own, defined, route)
    return [exchange, routingKey]
  }

  it("of a queue is its own exchange where that is not direct, with its key or the default one", () => {
    assert.deepStrictEqual(to({ queue: "heads" }, undefined, undefined), ["heads", "celery"])
    assert.deepStrictEqual(to({ queue: "feeds" }, undefined, undefined), ["feeds", "feed.#"])
    assert.deepStrictEqual(to({ queue: "reload" }, undefined, undefined), ["reload", "celery"])
    assert.deepStrictEqual(to({ queue: reload.name }, undefined, undefined), ["reload", "celery"])
  })

  it("of an exchange alone has the key of the queue described there, where Celery drops the exchange", () => {
    assert.deepStrictEqual(to({ exchange: "reload" }, undefined, undefined), ["reload", "celery"])
    assert.deepStrictEqual(to({}, undefined, { exchange: "feeds" }), ["feeds", "feed.#"])
    assert.deepStrictEqual(to({ exchange: "theirs" }, undefined, { queue: "feeds" }), ["theirs", ""])
  })

  it("declares the queue, of a broadcast its exchange alone, and nothing of an exchange that was named with its key", () => {
    assert.deepStrictEqual(destination({ queue: "feeds" }, undefined, undefined).declare, { queues: [topic] })
    const declared = destination({ queue: "reload" }, undefined, undefined).declare
    assert.deepStrictEqual(
      [declared?.queues, declared?.exchanges?.map(({ name, type }) => `${type} ${name}`)],
      [undefined, ["fanout reload"]]
    )
    assert.isUndefined(destination({ exchange: "e", routingKey: "k" }, undefined, undefined).declare)
  })

  it("of a queue that each send makes for itself is the same object, until it is another queue", () => {
    const direct = () => destination({ queue: Queue.workerDirect("w1@here") }, undefined, undefined)
    assert.strictEqual(direct(), direct())
    const other = destination({ queue: Queue.quorum(Queue.workerDirect("w1@here")) }, undefined, undefined)
    assert.deepStrictEqual(other.declare?.queues?.[0]?.arguments, { "x-queue-type": "quorum" })
    assert.deepStrictEqual(direct().declare?.queues?.[0]?.arguments, {})
  })

  it("of a queue that was described while it ran stays, however many nobody described", () => {
    const router = Router.make()
    router.describe(topic)
    for (let n = 0; n < 12_000; n++) router.destination({ queue: `q${n}` }, undefined, undefined)
    assert.strictEqual(router.destination({ queue: "feeds" }, undefined, undefined).exchange, "feeds")
  })

  it("is the same object each time, for 10,000 queues that nobody described, and right for more", () => {
    assert.strictEqual(destination({ queue: "a" }, undefined, undefined), destination({}, "a", undefined))
    for (let n = 0; n < 12_000; n++) {
      assert.strictEqual(destination({ queue: `q${n}` }, undefined, undefined).routingKey, `q${n}`)
    }
    assert.deepStrictEqual(to({ queue: "feeds" }, undefined, undefined), ["feeds", "feed.#"])
  })
})
