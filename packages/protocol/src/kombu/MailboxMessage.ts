/**
 * Requests and replies of kombu's mailbox, and the names of its exchanges and queues (`kombu/pidbox.py`, `kombu/matcher.py`, WIRE 4.8). What Celery puts into
 * them is in `celery/ControlMessage`.
 */
import * as Data from "effect/Data"
import * as Result from "effect/Result"
import { describe, type Fields, field, isRecord } from "../internal/record.ts"

/** One broadcast. `ticket` and `replyTo` are set when a reply is wanted. */
export interface Request {
  readonly method: string
  readonly arguments: Readonly<Record<string, unknown>>
  /** Names of nodes; `null` is everybody. */
  readonly destination: ReadonlyArray<string> | null
  /** Looked at when there is no destination. */
  readonly pattern: string | null
  readonly matcher: "glob" | "pcre" | null
  readonly ticket: string | null
  readonly replyTo: { readonly exchange: string; readonly routingKey: string } | null
}

/** Headers of a request: the sender's logical clock, and when it stops waiting, Unix seconds; 0 is never. */
export interface RequestHeaders {
  readonly clock: number
  readonly expires: number
}

/** What one node answers. */
export interface Reply {
  readonly node: string
  readonly value: unknown
}

/** Headers of a reply: the ticket of the request, and the answering node's logical clock. */
export interface ReplyHeaders {
  readonly ticket: string | null
  readonly clock: number
}

/** A body or header that is no mailbox message; says which field. */
export class InvalidMailboxMessage extends Data.TaggedError("InvalidMailboxMessage")<{ readonly message: string }> {}

const invalid = (what: string, wanted: string, found: unknown): InvalidMailboxMessage =>
  new InvalidMailboxMessage({ message: `${what} should be ${wanted}, and is ${describe(found)}` })

const attempt = <A>(read: () => A): Result.Result<A, InvalidMailboxMessage> =>
  Result.try({ try: read, catch: (error) => error as InvalidMailboxMessage })

// ------------------------------------------------------------------ names

/** The fanout exchange of requests: `celery.pidbox`. */
export const requestExchange = (namespace = "celery"): string => `${namespace}.pidbox`

/** The direct exchange of replies: `reply.celery.pidbox`. */
export const replyExchange = (namespace = "celery"): string => `reply.${namespace}.pidbox`

/** The queue of one node: `worker1@host.celery.pidbox`. */
export const nodeQueue = (node: string, namespace = "celery"): string => `${node}.${namespace}.pidbox`

/** The queue of replies to one client, bound with its `oid`: `<oid>.reply.celery.pidbox`. */
export const replyQueue = (oid: string, namespace = "celery"): string => `${oid}.reply.${namespace}.pidbox`

// ------------------------------------------------------------------ requests

/** The body of a request. `ticket` and `reply_to` are left out when no reply is wanted. */
export const encodeRequest = (request: Request): Record<string, unknown> => {
  const body: Record<string, unknown> = {
    method: request.method,
    arguments: request.arguments,
    destination: request.destination,
    pattern: request.pattern,
    matcher: request.matcher
  }
  if (request.ticket !== null) body.ticket = request.ticket
  if (request.replyTo !== null) {
    body.reply_to = { exchange: request.replyTo.exchange, routing_key: request.replyTo.routingKey }
  }
  return body
}

const textOrNull = (record: Fields, key: string): string | null => {
  const value = field(record, key) ?? null
  if (value === null || typeof value === "string") return value
  throw invalid(key, "a string or null", value)
}

const destinationOf = (value: unknown): ReadonlyArray<string> | null => {
  if (value === undefined || value === null) return null
  // Python lets a caller pass one name for a list of one
  if (typeof value === "string") return [value]
  if (Array.isArray(value) && value.every((node) => typeof node === "string")) return value
  throw invalid("destination", "a list of node names or null", value)
}

const replyToOf = (value: unknown): Request["replyTo"] => {
  if (value === undefined || value === null) return null
  if (!isRecord(value)) throw invalid("reply_to", "an object", value)
  const exchange = field(value, "exchange") ?? ""
  const routingKey = field(value, "routing_key")
  if (typeof exchange !== "string") throw invalid("reply_to.exchange", "a string", exchange)
  if (typeof routingKey !== "string") throw invalid("reply_to.routing_key", "a string", routingKey)
  return { exchange, routingKey }
}

const requestOf = (body: unknown): Request => {
  if (!isRecord(body)) throw invalid("A mailbox request", "an object", body)
  const method = field(body, "method")
  if (typeof method !== "string" || method === "") throw invalid("method", "a name", method)
  const args = field(body, "arguments") ?? {}
  if (!isRecord(args)) throw invalid("arguments", "an object", args)
  const pattern = textOrNull(body, "pattern")
  const matcher = textOrNull(body, "matcher")
  if (matcher !== null && matcher !== "glob" && matcher !== "pcre") {
    throw new InvalidMailboxMessage({
      message: `matcher should be "glob", "pcre" or null, and is ${JSON.stringify(matcher.slice(0, 40))}`
    })
  }
  if (pattern !== null && matcher === "pcre") compile(pattern)
  return {
    method,
    arguments: args,
    destination: destinationOf(field(body, "destination")),
    pattern,
    matcher,
    ticket: textOrNull(body, "ticket"),
    replyTo: replyToOf(field(body, "reply_to"))
  }
}

/** Reads the body of a request. A `pcre` pattern that could hang the matcher is refused here (see {@link matches}). */
export const decodeRequest = (body: unknown): Result.Result<Request, InvalidMailboxMessage> =>
  attempt(() => requestOf(body))

const numberHeader = (headers: Fields, key: string): number => {
  const value = field(headers, key)
  if (typeof value === "number" && !Number.isNaN(value)) return value
  if (typeof value === "bigint") return Number(value)
  if (value === undefined || value === null) return 0
  throw invalid(`header ${key}`, "a number", value)
}

export const encodeRequestHeaders = (headers: RequestHeaders): Record<string, unknown> => ({
  clock: headers.clock,
  expires: headers.expires
})

/** Reads the headers of a request; what is missing is 0. */
export const decodeRequestHeaders = (headers: Fields): Result.Result<RequestHeaders, InvalidMailboxMessage> =>
  attempt(() => ({ clock: numberHeader(headers, "clock"), expires: numberHeader(headers, "expires") }))

/** Whether nobody waits for the answer any more. */
export const isExpired = (headers: RequestHeaders, nowMillis: number): boolean =>
  headers.expires > 0 && headers.expires * 1000 < nowMillis

// ------------------------------------------------------------------ replies

/** `{"<node>": value}`. */
export const encodeReply = (reply: Reply): Record<string, unknown> => Object.fromEntries([[reply.node, reply.value]])

/** Reads the body of a reply: an object with one field, the node. */
export const decodeReply = (body: unknown): Result.Result<Reply, InvalidMailboxMessage> =>
  attempt(() => {
    if (!isRecord(body)) throw invalid("A mailbox reply", "an object", body)
    const [entry, ...more] = Object.entries(body)
    if (entry === undefined || more.length > 0) {
      throw new InvalidMailboxMessage({
        message: `A mailbox reply has one field, the node, and this one has ${entry === undefined ? 0 : more.length + 1}`
      })
    }
    return { node: entry[0], value: entry[1] }
  })

export const encodeReplyHeaders = (headers: ReplyHeaders): Record<string, unknown> => ({
  ticket: headers.ticket,
  clock: headers.clock
})

/** Reads the headers of a reply. */
export const decodeReplyHeaders = (headers: Fields): Result.Result<ReplyHeaders, InvalidMailboxMessage> =>
  attempt(() => ({ ticket: textOrNull(headers, "ticket"), clock: numberHeader(headers, "clock") }))

// ------------------------------------------------------------------ who is meant

/**
 * Whether a request is for this node. As in kombu (kombu/pidbox.py `handle_message`) the destination counts when there is one, else the pattern when there is a
 * matcher too; none is everybody.
 *
 * `glob` is matched without a regular expression. `pcre` is anchored at the start, as Python's `re.match`, and limited to patterns that cannot backtrack without
 * end: at most 200 characters and 3 open-ended quantifiers, none of them on a group that holds a quantifier or a choice, no look-around, no back-references. Others
 * match nobody ({@link decodeRequest} says why).
 */
export const matches = (request: Pick<Request, "destination" | "pattern" | "matcher">, node: string): boolean => {
  if (request.destination !== null && request.destination.length > 0) return request.destination.includes(node)
  if (request.pattern !== null && request.pattern !== "" && request.matcher !== null) {
    if (request.matcher === "glob") return matchesGlob(request.pattern, node)
    const compiled = attempt(() => compile(request.pattern!))
    return Result.isSuccess(compiled) && node.length <= 255 && compiled.success.test(node)
  }
  return true
}

/** Python's `fnmatch`: `*`, `?`, `[abc]`, `[a-z]`, `[!a-z]`. Takes time in proportion to the product of both lengths at worst. */
export const matchesGlob = (pattern: string, text: string): boolean => {
  const tokens = globTokens(pattern)
  let token = 0
  let at = 0
  let star = -1
  let starAt = 0
  while (at < text.length) {
    const current = tokens[token]
    if (current === "*") {
      star = token++
      starAt = at
    } else if (current !== undefined && current(text[at]!)) {
      token++
      at++
    } else if (star >= 0) {
      token = star + 1
      at = ++starAt
    } else {
      return false
    }
  }
  while (tokens[token] === "*") token++
  return token === tokens.length
}

type GlobToken = "*" | ((character: string) => boolean)

const globTokens = (pattern: string): ReadonlyArray<GlobToken> => {
  const tokens: Array<GlobToken> = []
  for (let at = 0; at < pattern.length; at++) {
    const character = pattern[at]!
    const end = character === "[" ? pattern.indexOf("]", at + (pattern[at + 1] === "!" ? 3 : 2)) : -1
    if (character === "*") {
      if (tokens.at(-1) !== "*") tokens.push("*")
    } else if (character === "?") {
      tokens.push(() => true)
    } else if (end > 0) {
      tokens.push(globSet(pattern.slice(at + 1, end)))
      at = end
    } else {
      tokens.push((other) => other === character)
    }
  }
  return tokens
}

const globSet = (set: string): ((character: string) => boolean) => {
  const negated = set.startsWith("!")
  const body = negated ? set.slice(1) : set
  const ranges: Array<readonly [string, string]> = []
  for (let at = 0; at < body.length; at++) {
    const isRange = body[at + 1] === "-" && at + 2 < body.length
    ranges.push([body[at]!, isRange ? body[at + 2]! : body[at]!])
    if (isRange) at += 2
  }
  return (character) => ranges.some(([from, to]) => character >= from && character <= to) !== negated
}

const refuse = (why: string): InvalidMailboxMessage =>
  new InvalidMailboxMessage({
    message: `This pcre pattern is not run: ${why}. Use matcher "glob", or a simpler pattern`
  })

const compile = (pattern: string): RegExp => {
  guard(pattern)
  try {
    return new RegExp(`^(?:${pattern})`, "u")
  } catch (cause) {
    throw refuse(cause instanceof Error ? cause.message : "it is no regular expression")
  }
}

/** One pass over the pattern that knows just enough of its grammar: groups, classes, escapes and quantifiers. */
const guard = (pattern: string): void => {
  if (pattern.length > 200) throw refuse("it is longer than 200 characters")
  /** For each open group, whether it holds a quantifier or a choice. */
  const groups: Array<boolean> = [false]
  let open = 0
  let closed: boolean | undefined
  for (let at = 0; at < pattern.length; at++) {
    const rest = pattern.slice(at)
    const quantifier = /^(?:[*+?]|\{\d*,?\d*\})\??/.exec(rest)?.[0]
    if (quantifier !== undefined) {
      if (closed === true && !quantifier.startsWith("?"))
        throw refuse("it repeats a group that repeats or chooses itself")
      if (!quantifier.startsWith("?") && ++open > 3) throw refuse("it has more than 3 open-ended quantifiers")
      groups[groups.length - 1] = true
      at += quantifier.length - 1
      closed = undefined
      continue
    }
    closed = undefined
    switch (pattern[at]) {
      case "\\":
        if (/^\\[1-9k]/.test(rest)) throw refuse("it has a back-reference")
        at++
        break
      case "[": {
        const end = /^\[\^?\]?(?:[^\]\\]|\\.)*\]/s.exec(rest)?.[0]
        if (end === undefined) throw refuse("it has a [ without its ]")
        at += end.length - 1
        break
      }
      case "(":
        if (rest.startsWith("(?") && !rest.startsWith("(?:"))
          throw refuse("only plain and (?:...) groups are known here")
        groups.push(false)
        if (rest.startsWith("(?:")) at += 2
        break
      case ")":
        closed = groups.pop() ?? false
        // what a group holds, the group around it holds, too
        if (closed && groups.length > 0) groups[groups.length - 1] = true
        break
      case "|":
        groups[groups.length - 1] = true
        break
      default:
    }
  }
}
