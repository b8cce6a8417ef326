/**
 * Stamps: labels on every task of a canvas, which go where it goes, and by which it can be found and revoked (`stamp` of
 * celery/canvas.py, Celery 5.3 and newer). On the wire they are options of a signature, with `stamped_headers` naming them, and the
 * headers `stamped_headers` and `stamps` of its message.
 *
 * What a visitor gives for a part goes to all that is in it. A stamp that is there already stays as it was given further out,
 * and the one given now replaces the one from before; with `appendStamps` they become a list. Two lists become one in either case.
 * Unlike Celery, a callback gets nothing of what was given for the callback beside it, and the body of a chord gets plain stamps, too.
 */
import * as Signature from "@apium/protocol/celery/Signature"
import type { KombuJson } from "@apium/protocol/kombu/Json"
import { chainOf, chordOf, stepsOf, upgraded } from "./Steps.ts"

/** What is put on a signature: stamps by their names, all of them, or those that `stampedHeaders` names; the others are options. */
export type Headers = Readonly<Record<string, KombuJson>> & { readonly stampedHeaders?: ReadonlyArray<string> }

type Given = Headers | void

/**
 * Gives stamps, part by part (`StampingVisitor`). It is called when the canvas is sent, each time it is. `headers`: those of what is
 * around this part.
 */
export interface Visitor {
  /** Of each task, callbacks and errbacks included. */
  readonly onSignature?: (signature: Signature.Signature, headers: Headers) => Given
  /** For all of its members. */
  readonly onGroupStart?: (group: Signature.Signature, headers: Headers) => Given
  readonly onGroupEnd?: (group: Signature.Signature, headers: Headers) => void
  /** For all of its steps. */
  readonly onChainStart?: (chain: Signature.Signature, headers: Headers) => Given
  readonly onChainEnd?: (chain: Signature.Signature, headers: Headers) => void
  /** For the header, and for the body as well. Left out: `onGroupStart` of the header. */
  readonly onChordHeaderStart?: (chord: Signature.Signature, headers: Headers) => Given
  readonly onChordHeaderEnd?: (chord: Signature.Signature, headers: Headers) => void
  /** For the body alone. */
  readonly onChordBody?: (chord: Signature.Signature, headers: Headers) => Given
  /** Before its `onSignature`, or what it is. */
  readonly onCallback?: (callback: Signature.Signature, headers: Headers) => Given
  readonly onErrback?: (errback: Signature.Signature, headers: Headers) => Given
}

export interface Options {
  /** A stamp that is there already, and the one that is given, become a list of both. */
  readonly appendStamps?: boolean | undefined
}

const methods = [
  "onSignature",
  "onGroupStart",
  "onGroupEnd",
  "onChainStart",
  "onChainEnd",
  "onChordHeaderStart",
  "onChordHeaderEnd",
  "onChordBody",
  "onCallback",
  "onErrback"
] as const

const isVisitor = (given: Visitor | Headers): given is Visitor =>
  methods.some((name) => typeof Reflect.get(given, name) === "function")

/** With these stamps besides its own. Throws for a stamp that has no value, or the name of an option of Celery's, and what a visitor throws. */
export const stampUnsafe = (
  signature: Signature.Signature,
  given: Visitor | Headers,
  { appendStamps = false }: Options = {}
): Signature.Signature =>
  isVisitor(given)
    ? stamp(signature, {}, { visitor: given, append: appendStamps })
    : stamp(signature, given, { visitor: {}, append: appendStamps })

/** With the stamps of the task whose place it takes, where it has none of that name. */
export const inheritUnsafe = (
  signature: Signature.Signature,
  { stampedHeaders, stamps }: { readonly stampedHeaders: ReadonlyArray<string> | null; readonly stamps: Fields }
): Signature.Signature => {
  const names = (stampedHeaders ?? []).filter((name) => Object.hasOwn(stamps, name) && !reserved.has(name))
  if (names.length === 0) return signature
  const onSignature = ({ options }: Signature.Signature): Headers =>
    Object.fromEntries(
      names.filter((name) => !Object.hasOwn(options, name)).map((name) => [name, stamps[name] as KombuJson])
    )
  return stamp(signature, {}, { visitor: { onSignature }, append: false })
}

type Fields = Readonly<Record<string, unknown>>

interface How {
  readonly visitor: Visitor
  readonly append: boolean
}

const stamp = (signature: Signature.Signature, headers: Headers, how: How): Signature.Signature => {
  switch (signature.task) {
    case "celery.chain":
      return stampChain(signature, headers, how)
    case "celery.group":
      return stampGroup(signature, headers, how)
    case "celery.chord":
      return stampChord(signature, headers, how)
    default: {
      const linked = stampLinks(signature, headers, how)
      const { stampedHeaders = [], ...stamps } = merged(headers, how.visitor.onSignature?.(signature, headers), {
        signature,
        append: how.append
      })
      for (const name of stampedHeaders) {
        if (reserved.has(name)) throw new TypeError(`${name} is an option of a task, and no name for a stamp`)
        if (!Object.hasOwn(stamps, name))
          throw new TypeError(`stampedHeaders names ${name}, and nobody gives it a value`)
      }
      return { ...linked, options: { ...linked.options, ...stamps, stamped_headers: stampedHeaders } }
    }
  }
}

/** As Python sees it: chains spliced, and what follows a group as the body of a chord. */
const stampChain = (chain: Signature.Signature, headers: Headers, how: How): Signature.Signature => {
  const steps = upgraded(stepsOf(chain))
  if (steps.length < 2) return steps.length === 0 ? chain : stamp(steps[0]!, headers, how)
  const whole = chainOf(steps)
  const own = merged(headers, how.visitor.onChainStart?.(whole, headers), { signature: chain, append: how.append })
  const stamped = chainOf(steps.map((step) => stamp(step, own, how)))
  how.visitor.onChainEnd?.(stamped, own)
  return stamped
}

const stampGroup = (group: Signature.Signature, headers: Headers, how: How): Signature.Signature => {
  const own = merged(headers, how.visitor.onGroupStart?.(group, headers), { signature: group, append: how.append })
  const linked = stampLinks(group, own, how)
  const tasks = Signature.tasks(linked).map((member) => Signature.encode(stamp(member, own, how)))
  const stamped = { ...linked, kwargs: { ...linked.kwargs, tasks } }
  how.visitor.onGroupEnd?.(stamped, own)
  return stamped
}

const stampChord = (chord: Signature.Signature, headers: Headers, how: How): Signature.Signature => {
  const { visitor, append } = how
  const { body, header } = chordOf(chord)
  const group = Signature.group(header)
  const started =
    visitor.onChordHeaderStart === undefined
      ? visitor.onGroupStart?.(group, headers)
      : visitor.onChordHeaderStart(chord, headers)
  const own = merged(headers, started, { signature: chord, append })
  const linked = stampLinks(chord, own, how)
  const parts = header.map((part) => stamp(part, own, how))
  const withHeader = { ...linked, kwargs: { ...linked.kwargs, header: headerOf(chord, parts) } }
  if (visitor.onChordHeaderEnd === undefined) visitor.onGroupEnd?.(Signature.group(parts), own)
  else visitor.onChordHeaderEnd(withHeader, own)
  const ofBody = merged(own, visitor.onChordBody?.(withHeader, own), { signature: chord, append })
  return { ...withHeader, kwargs: { ...withHeader.kwargs, body: Signature.encode(stamp(body, ofBody, how)) } }
}

/** A header that is a group keeps its id. */
const headerOf = ({ kwargs: { header } }: Signature.Signature, parts: ReadonlyArray<Signature.Signature>) => {
  const group = Signature.group(parts)
  const before = Array.isArray(header) ? undefined : Signature.decodeUnsafe(header, "kwargs.header")
  return Signature.encode(before?.task === "celery.group" ? { ...before, kwargs: group.kwargs } : group)
}

const stampLinks = (signature: Signature.Signature, headers: Headers, how: How): Signature.Signature => {
  const { callbacks, errbacks } = Signature.links(signature)
  if (callbacks.length + errbacks.length === 0) return signature
  const all = (links: ReadonlyArray<Signature.Signature>, visit: Visitor["onCallback"]) =>
    links.map((link) =>
      Signature.encode(stamp(link, merged(headers, visit?.(link, headers), { append: how.append }), how))
    )
  return {
    ...signature,
    options: {
      ...signature.options,
      ...(callbacks.length === 0 ? undefined : { link: all(callbacks, visiting(how.visitor, "onCallback")) }),
      ...(errbacks.length === 0 ? undefined : { link_error: all(errbacks, visiting(how.visitor, "onErrback")) })
    }
  }
}

/** A visitor may be an instance of a class. */
const visiting =
  (visitor: Visitor, name: "onCallback" | "onErrback"): Visitor["onCallback"] =>
  (link, headers) =>
    visitor[name]?.(link, headers)

/** `_stamp_headers`: what is given from further out, by the visitor here, and what the signature has, of all stamps that any of them names. */
const merged = (
  headers: Headers,
  visited: Given,
  { append, signature }: { readonly append: boolean; readonly signature?: Signature.Signature }
): Headers => {
  const outer = read(headers)
  const here = read(visited ?? {})
  const options = signature?.options ?? {}
  const own = Array.isArray(options.stamped_headers) ? (options.stamped_headers as ReadonlyArray<string>) : []
  const names = [...new Set([...outer.names, ...here.names, ...own])]
  const before = Object.fromEntries(Object.entries(options).filter(([name]) => names.includes(name))) as Values
  const stamps = together(together(outer.values, here.values, append), before, append)
  return { ...stamps, stampedHeaders: names }
}

type Values = Readonly<Record<string, KombuJson>>

const read = (headers: Headers): { readonly names: ReadonlyArray<string>; readonly values: Values } => {
  const { stampedHeaders, ...values } = headers
  return { names: stampedHeaders ?? Object.keys(values), values }
}

/** `_merge_dictionaries`: of what both have the first stays, unless both are lists, or objects, or `append` is asked for. */
const together = (one: Values, other: Values, append: boolean): Values => ({
  ...other,
  ...Object.fromEntries(
    Object.entries(one).map(([name, value]) => [
      name,
      Object.hasOwn(other, name) ? both(value, other[name]!, append) : value
    ])
  )
})

const both = (one: KombuJson, other: KombuJson, append: boolean): KombuJson => {
  if (isObject(one)) return isObject(other) ? together(one, other, true) : one
  if (Array.isArray(one) && Array.isArray(other)) return [...one, ...(other as ReadonlyArray<KombuJson>)]
  if (!append) return one
  const list: ReadonlyArray<KombuJson> = one === null ? [] : Array.isArray(one) ? one : [one]
  return Array.isArray(other) ? [...list, ...(other as ReadonlyArray<KombuJson>)] : [...list, other]
}

const isObject = (value: KombuJson): value is Values => {
  if (typeof value !== "object" || value === null) return false
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null
}

/** What Celery reads from the options of a signature, or a message has room for once. */
const reserved: ReadonlySet<string> = new Set([
  "args",
  "chain",
  "chord",
  "compression",
  "countdown",
  "eta",
  "exchange",
  "expires",
  "group_id",
  "group_index",
  "headers",
  "ignore_result",
  "kwargs",
  "link",
  "link_error",
  "parent_id",
  "priority",
  "queue",
  "replaced_task_nesting",
  "reply_to",
  "retries",
  "retry",
  "retry_policy",
  "root_id",
  "routing_key",
  "serializer",
  "shadow",
  "soft_time_limit",
  "stamped_headers",
  "task_id",
  "time_limit"
])
