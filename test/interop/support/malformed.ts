/** Messages that no client of Celery's sends, and what becomes of each: the same on RabbitMQ and on Redis. */
import type { KombuJson } from "@apium/protocol/kombu/Json"

/**
 * Where a message ends: in `<queue>.dead` with this reason; run, with this result; or run, with a FAILURE of this type. Of a dead one the sender
 * is told as well, if it said its id.
 */
export type End =
  | { readonly dead: "undecodable" | "unregistered"; readonly told?: string }
  | { readonly result: KombuJson }
  | { readonly failure: string }

export interface Malformed {
  /** `null` for none at all. */
  readonly headers: { readonly [name: string]: KombuJson } | null
  /** Text, or octets as Python source: `zlib.compress(b"...")`. */
  readonly body: string | { readonly python: string }
  /** Default `application/json`; `null` for none. */
  readonly contentType?: string | null
  /** Default `utf-8`; `null` for none. */
  readonly contentEncoding?: string | null
  readonly end: End
}

/** Replaced by an id that nothing else has. */
export const id = "<id>"

const embed = `{"callbacks": null, "errbacks": null, "chain": null, "chord": null}`
const good = `[[1, 2], {}, ${embed}]`
const named = { lang: "py", task: "proj.add", id }

const dead = (told: string | undefined = "InvalidTask"): End => ({
  dead: "undecodable",
  ...(told === undefined ? undefined : { told })
})
const nobody: End = { dead: "undecodable" }
const runs: End = { result: 3 }

/** A good body under headers that are not. */
const header = (name: string, value: KombuJson, end: End = dead()): Malformed => ({
  headers: { ...named, [name]: value },
  body: good,
  end
})

/** Good headers over a body that is not. */
const body = (text: Malformed["body"], end: End = dead(), more: Partial<Malformed> = {}): Malformed => ({
  headers: named,
  body: text,
  end,
  ...more
})

const embedded = (key: string, value: string): Malformed => body(`[[1, 2], {}, {"${key}": ${value}}]`)

const first = (text: string, end: End = nobody): Malformed => ({ headers: null, body: text, end })

export const contents: Readonly<Record<string, Malformed>> = {
  "no content type": body(good, dead(), { contentType: null, contentEncoding: null }),
  "a content type nobody knows": body(good, dead("ContentDisallowed"), { contentType: "application/x-nothing" }),
  "a content type of 200 octets": body(good, dead("ContentDisallowed"), { contentType: "x".repeat(200) }),
  "a content type that names a prototype's field": body(good, dead("ContentDisallowed"), { contentType: "__proto__" }),
  pickle: body({ python: `pickle.dumps(((1, 2), {}, {}))` }, dead("ContentDisallowed"), {
    contentType: "application/x-python-serialize",
    contentEncoding: "binary"
  }),
  "JSON that says it is YAML": body(good, dead("ContentDisallowed"), { contentType: "application/x-yaml" }),
  "a content encoding nobody knows": body(good, dead("DecodeError"), { contentEncoding: "x-nothing" }),
  "octets that are no UTF-8": body({ python: `b"[[\\xff], {}, {}]"` }, dead("DecodeError")),
  "no body": body("", dead("DecodeError")),
  "JSON that is cut off": body(good.slice(0, -5), dead("DecodeError")),
  "two JSON texts": body(`${good} ${good}`, dead("DecodeError")),
  "JSON 100,000 deep": body("[".repeat(100_000), dead("DecodeError")),
  "zlib that is none": body({ python: `b"no zlib"` }, dead("DecodeError"), {
    headers: { ...named, compression: "application/x-gzip" }
  }),
  "zlib that is cut off": body({ python: `zlib.compress(b'${good}')[:-9]` }, dead("DecodeError"), {
    headers: { ...named, compression: "application/x-gzip" }
  }),
  "a bomb: 60 kB of zlib that are 60 MB": body({ python: `zlib.compress(b" " * 60_000_000)` }, dead("DecodeError"), {
    headers: { ...named, compression: "application/x-gzip" }
  }),
  "a body of 20 MB": body({ python: `b"[[1, 2]," + b" " * 20_000_000 + b"{}, {}]"` }, runs),
  "a compression nobody knows": body(good, dead("ContentDisallowed"), {
    headers: { ...named, compression: "application/x-nothing" }
  }),
  "a compression that is no text": body(good, runs, { headers: { ...named, compression: [1] } })
}

/** Of protocol 2. */
export const bodies: Readonly<Record<string, Malformed>> = {
  "a text": body(`"text"`),
  null: body("null"),
  "a number": body("17"),
  "an object": body("{}"),
  "a list of none": body("[]"),
  "a list of one": body("[[1, 2]]"),
  "a list of two": body("[[1, 2], {}]"),
  "a list of four": body(`[[1, 2], {}, ${embed}, 4]`),
  "arguments that are no list": body(`[{"x": 1}, {}, ${embed}]`),
  "arguments that are a text": body(`["ab", {}, ${embed}]`),
  "keyword arguments that are a list": body(`[[1, 2], [], ${embed}]`),
  "keyword arguments that are null": body(`[[1, 2], null, ${embed}]`),
  "an embed that is a text": body(`[[1, 2], {}, "embed"]`),
  "an embed that is a list": body(`[[1, 2], {}, []]`),
  "no embed": body("[[1, 2], {}, null]", runs),
  "an embed without its keys": body("[[1, 2], {}, {}]", runs),
  "callbacks that are a number": embedded("callbacks", "5"),
  "a callback that is a text": embedded("callbacks", `["proj.add"]`),
  "a callback without a task": embedded("callbacks", "[{}]"),
  "a callback whose arguments are a text": embedded("callbacks", `[{"task": "proj.add", "args": "ab"}]`),
  "errbacks that are a list of lists": embedded("errbacks", "[[1]]"),
  "a chain of rubbish": embedded("chain", `[1, "two", null]`),
  "a chain that is one step, and no list": body(`[[1, 2], {}, {"chain": {"task": "proj.add"}}]`, runs),
  "a chord that is a text": embedded("chord", `"proj.add"`),
  "a chord without a task": embedded("chord", `{"args": []}`),
  "arguments that do not bind": body(`[[1], {}, ${embed}]`, { failure: "TypeError" }),
  "arguments of the wrong kind": body(`[["a", {}], {}, ${embed}]`, { failure: "TypeError" }),
  "a keyword that names a prototype's field": body(`[[1, 2], {"__proto__": 5}, ${embed}]`, { failure: "TypeError" })
}

export const headers: Readonly<Record<string, Malformed>> = {
  "no headers, and a body of protocol 2": first(good),
  "no id": { headers: { task: "proj.add" }, body: good, end: nobody },
  "no task": { headers: { id }, body: good, end: nobody },
  "a task that is empty": header("task", ""),
  "a task that is a number": header("task", 5),
  "a task that is null": header("task", null, nobody),
  "a task nobody knows": header("task", "proj.nothing", { dead: "unregistered", told: "NotRegistered" }),
  "a task of 10 kB": header("task", "x".repeat(10_000), { dead: "unregistered", told: "NotRegistered" }),
  "a task that names a prototype's field": header("task", "constructor", {
    dead: "unregistered",
    told: "NotRegistered"
  }),
  "an id that is a number": header("id", 5, nobody),
  "an id that is empty": header("id", "", nobody),
  "an id that is a list": header("id", [id], nobody),
  "an eta that is no time": header("eta", "garbage"),
  "an eta that is a number": header("eta", 5),
  "an eta of the year 10^9": header("eta", "1000000000-01-01T00:00:00"),
  "an expiry that is no time": header("expires", "garbage"),
  "an expiry that is an object": header("expires", { at: 5 }),
  "retries that are a text": header("retries", "x"),
  "retries below none": header("retries", -1),
  "retries that are half": header("retries", 0.5),
  "limits that are a text": header("timelimit", "x"),
  "limits that are a number": header("timelimit", 5),
  "a limit of one": header("timelimit", [1]),
  "limits of three": header("timelimit", [1, 2, 3]),
  "limits that are texts": header("timelimit", ["a", "b"]),
  "limits below none": header("timelimit", [-1, -1], runs),
  "a group that is a number": header("group", 5),
  "an index that is a text": header("group_index", "first"),
  "a root that is an object": header("root_id", { id: 1 }),
  "a parent that is a list": header("parent_id", []),
  "arguments shown that are a list": header("argsrepr", [1]),
  "keywords shown that are a number": header("kwargsrepr", 1),
  "an origin that is an object": header("origin", {}),
  "a language that is a number": header("lang", 1),
  "a shadow that is a list": header("shadow", []),
  "ignore_result that is a text": header("ignore_result", "yes"),
  "a nesting that is a text": header("replaced_task_nesting", "deep"),
  "stamps that are a list": header("stamps", []),
  "names of stamps that are numbers": header("stamped_headers", [1, 2]),
  "a header of 60 kB": header("x-large", "x".repeat(60_000), runs),
  "headers that name prototypes' fields": {
    headers: { ...named, constructor: { prototype: { polluted: true } }, toString: 1 },
    body: good,
    end: runs
  }
}

/** Of protocol 1, which has no headers. */
export const firstProtocol: Readonly<Record<string, Malformed>> = {
  "no id": first(`{"task": "proj.add", "args": [1, 2]}`),
  "no arguments": first(`{"task": "proj.add", "id": "${id}"}`, { failure: "TypeError" }),
  "a task that is a number": first(`{"task": 5, "id": "${id}", "args": [1, 2], "kwargs": {}}`, dead()),
  "a task nobody knows": first(`{"task": "proj.nothing", "id": "${id}", "args": [], "kwargs": {}}`, {
    dead: "unregistered",
    told: "NotRegistered"
  }),
  "arguments that are an object": first(`{"task": "proj.add", "id": "${id}", "args": {}, "kwargs": {}}`, dead()),
  "keyword arguments that are a list": first(`{"task": "proj.add", "id": "${id}", "args": [], "kwargs": []}`, dead()),
  "an eta that is no time": first(`{"task": "proj.add", "id": "${id}", "args": [1, 2], "eta": "garbage"}`, dead()),
  "retries that are a text": first(`{"task": "proj.add", "id": "${id}", "args": [1, 2], "retries": "x"}`, dead()),
  "callbacks that are a text": first(`{"task": "proj.add", "id": "${id}", "args": [1, 2], "callbacks": "x"}`, dead()),
  "all it needs": first(`{"task": "proj.add", "id": "${id}", "args": [1, 2]}`, runs)
}
