/**
 * A parser of JSON that keeps what `JSON.parse` drops: integers of any size, and Python's bare `NaN`, `Infinity` and `-Infinity`. Recursive, therefore bounded.
 */
import { setField } from "./record.ts"

export interface Options<A> {
  readonly maxDepth: number
  readonly maxDigits: number
  readonly fail: (message: string, offset: number) => Error
  /** Called with each object once it is complete; `undefined` means that its tag is known and its value makes no sense. */
  readonly object: (object: Record<string, unknown>) => A | undefined
}

const number = /-?(?:0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?/y
const special = /NaN|-?Infinity/y
const literals: ReadonlyArray<readonly [string, unknown]> = [
  ["true", true],
  ["false", false],
  ["null", null]
]

export const exactParse = <A>(text: string, options: Options<A>): A => {
  let at = 0

  const fail = (message: string, offset = at): Error => options.fail(message, offset)

  const found = (): string =>
    at < text.length ? JSON.stringify(String.fromCodePoint(text.codePointAt(at)!)) : "the end"

  const skip = (): void => {
    for (; at < text.length; at++) {
      const code = text.charCodeAt(at)
      if (code !== 0x20 && code !== 0x0a && code !== 0x0d && code !== 0x09) return
    }
  }

  const readString = (): string => {
    const start = at
    let escaped = false
    for (at++; at < text.length; at++) {
      const code = text.charCodeAt(at)
      if (code === 0x22) {
        at++
        return escaped ? unescape(start) : text.slice(start + 1, at - 1)
      }
      if (code < 0x20) throw fail(`A control character (${code}) in a string has to be escaped`)
      if (code === 0x5c) {
        escaped = true
        at++
      }
    }
    throw fail("A string without an end", start)
  }

  const unescape = (start: number): string => {
    try {
      return JSON.parse(text.slice(start, at)) as string
    } catch {
      throw fail("A string with a bad escape", start)
    }
  }

  const readNumber = (): unknown => {
    number.lastIndex = at
    const match = number.exec(text)
    if (match === null) {
      special.lastIndex = at
      const name = special.exec(text)?.[0]
      if (name === undefined) throw fail(`Expected a value, found ${found()}`)
      at += name.length
      return Number(name)
    }
    const digits = match[0]
    const value = Number(digits)
    if (match[1] !== undefined || match[2] !== undefined || Number.isSafeInteger(value)) {
      at += digits.length
      return value
    }
    if (digits.length > options.maxDigits) throw fail(`An integer of more than ${options.maxDigits} digits`)
    at += digits.length
    return BigInt(digits)
  }

  const readArray = (depth: number): unknown => {
    const items: Array<unknown> = []
    at++
    skip()
    if (text.charCodeAt(at) === 0x5d) {
      at++
      return items
    }
    for (;;) {
      items.push(readValue(depth))
      skip()
      const code = text.charCodeAt(at)
      if (code !== 0x2c && code !== 0x5d) throw fail(`Expected , or ] in an array, found ${found()}`)
      at++
      if (code === 0x5d) return items
    }
  }

  const readObject = (depth: number): unknown => {
    const start = at
    const object: Record<string, unknown> = {}
    at++
    skip()
    if (text.charCodeAt(at) === 0x7d) {
      at++
      return object
    }
    for (;;) {
      skip()
      if (text.charCodeAt(at) !== 0x22) throw fail(`Expected a key in quotes, found ${found()}`)
      const key = readString()
      skip()
      if (text.charCodeAt(at) !== 0x3a) throw fail(`Expected : after a key, found ${found()}`)
      at++
      setField(object, key, readValue(depth))
      skip()
      const code = text.charCodeAt(at)
      if (code !== 0x2c && code !== 0x7d) throw fail(`Expected , or } in an object, found ${found()}`)
      at++
      if (code === 0x7d) break
    }
    const value = options.object(object)
    if (value === undefined)
      throw fail(`A value of __type__ ${JSON.stringify(object.__type__)} that makes no sense`, start)
    return value
  }

  const readLiteral = (): unknown => {
    for (const [name, value] of literals) {
      if (text.startsWith(name, at)) {
        at += name.length
        return value
      }
    }
    return readNumber()
  }

  const readValue = (depth: number): unknown => {
    skip()
    const code = text.charCodeAt(at)
    if (code === 0x22) return readString()
    if (code !== 0x7b && code !== 0x5b) return readLiteral()
    if (depth >= options.maxDepth) throw fail(`More than ${options.maxDepth} levels of nesting`)
    return code === 0x7b ? readObject(depth + 1) : readArray(depth + 1)
  }

  const value = readValue(0)
  skip()
  if (at < text.length) throw fail(`Expected the end, found ${found()}`)
  return value as A
}
