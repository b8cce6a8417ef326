/**
 * Names of kombu's keys and channels in Redis (`kombu/transport/redis.py`, `kombu/transport/virtual/exchange.py`, WIRE 4.4), so that mixed fleets meet at the
 * same lists. Priority 0 is the highest: its list is read first and carries the bare name of the queue.
 */

/** Kombu's separator, between a queue and its priority and inside binding members. */
export const separator = "\x06\x16"

/** Kombu's default lists for priorities. */
export const defaultPrioritySteps: ReadonlyArray<number> = [0, 3, 6, 9]

export interface Options {
  /** The database number, part of fanout channels. */
  readonly db?: number | undefined
  /** Put before every key and channel (`global_keyprefix`). */
  readonly globalKeyprefix?: string | undefined
  /** Kombu's transport options of the same names. */
  readonly prioritySteps?: ReadonlyArray<number> | undefined
  readonly separator?: string | undefined
  readonly unackedKey?: string | undefined
  readonly unackedIndexKey?: string | undefined
  /** `true` is `/{db}.`, `false` is no prefix; a text may hold `{db}`. */
  readonly fanoutPrefix?: boolean | string | undefined
  /** Whether channels carry the routing key. */
  readonly fanoutPatterns?: boolean | undefined
}

/** One member of a binding set. `pattern` is the regular expression kombu made of a topic's key; empty for other types. */
export interface BindingMember {
  readonly routingKey: string
  readonly pattern: string
  readonly queue: string
}

export interface RedisKeys {
  readonly prioritySteps: ReadonlyArray<number>
  /** The list of a queue for a priority: the highest step not above it, so 7 is stored at 6. */
  readonly queue: (name: string, priority?: number) => string
  /** The lists of one queue, the first to be read first. */
  readonly queueLists: (name: string) => ReadonlyArray<string>
  /** What BRPOP is given: by priority first, and within one priority in the order of `names`. */
  readonly takeOrder: (names: ReadonlyArray<string>) => ReadonlyArray<string>
  /** The set of an exchange's bindings. */
  readonly binding: (exchange: string) => string
  readonly encodeBinding: (member: BindingMember) => string
  /** `undefined` for a member that does not have the three parts. */
  readonly decodeBinding: (member: string) => BindingMember | undefined
  /** The channel to PUBLISH on. */
  readonly fanoutChannel: (exchange: string, routingKey?: string) => string
  /** The pattern to PSUBSCRIBE to: `#` becomes `*`, which in Redis crosses dots. */
  readonly fanoutPattern: (exchange: string, routingKey?: string) => string
  /** The key with the prefix, for keys kombu does not know. */
  readonly key: (name: string) => string
  /** Hash: tag to `[envelope, exchange, routingKey]`. */
  readonly unacked: string
  /** Sorted set: tag by the time of delivery, Unix seconds. */
  readonly unackedIndex: string
  readonly unackedMutex: string
}

/** The names for one set of options. */
export const make = (options: Options = {}): RedisKeys => {
  const prefix = options.globalKeyprefix ?? ""
  const sep = options.separator ?? separator
  const steps = [...(options.prioritySteps ?? defaultPrioritySteps)].toSorted((a, b) => a - b)
  const { fanoutPrefix = true, fanoutPatterns = true, db = 0 } = options
  const fanoutTemplate = fanoutPrefix === true ? "/{db}." : fanoutPrefix === false ? "" : fanoutPrefix
  const fanout = prefix + fanoutTemplate.replaceAll("{db}", String(db))

  const step = (priority: number): number => {
    let found = steps[0] ?? 0
    for (const candidate of steps) if (candidate <= priority) found = candidate
    return found
  }
  const list = (name: string, atStep: number): string =>
    atStep === 0 ? prefix + name : `${prefix}${name}${sep}${atStep}`
  const channel = (exchange: string, routingKey: string): string =>
    fanoutPatterns && routingKey !== "" ? `${fanout}${exchange}/${routingKey}` : fanout + exchange

  return {
    prioritySteps: steps,
    queue: (name, priority = 0) => list(name, step(priority)),
    queueLists: (name) => steps.map((at) => list(name, at)),
    takeOrder: (names) => steps.flatMap((at) => names.map((name) => list(name, at))),
    binding: (exchange) => `${prefix}_kombu.binding.${exchange}`,
    encodeBinding: ({ routingKey, pattern, queue }) => [routingKey, pattern, queue].join(sep),
    decodeBinding: (member) => {
      const [routingKey, pattern, queue, ...more] = member.split(sep)
      if (routingKey === undefined || pattern === undefined || queue === undefined || more.length > 0) return undefined
      return { routingKey, pattern, queue }
    },
    fanoutChannel: (exchange, routingKey = "") => channel(exchange, routingKey),
    fanoutPattern: (exchange, routingKey = "") => channel(exchange, routingKey.replaceAll("#", "*")),
    key: (name) => prefix + name,
    unacked: prefix + (options.unackedKey ?? "unacked"),
    unackedIndex: prefix + (options.unackedIndexKey ?? "unacked_index"),
    unackedMutex: `${prefix}unacked_mutex`
  }
}

const wildcards: ReadonlyMap<string, string> = new Map([
  ["*", ".*?[^\\.]"],
  ["#", ".*?"]
])

/**
 * The `pattern` of a topic binding, as kombu writes it for its own publishers: `a.#` is `^a\..*?$`. Our own routing matches the routing key instead
 * ({@link matchesTopic}) and never runs a foreign pattern.
 */
export const topicPattern = (routingKey: string): string =>
  `^${routingKey
    .split(".")
    .map((word) => wildcards.get(word) ?? word)
    .join("\\.")}$`

/**
 * Whether kombu's pattern for `bindingKey` would match, without a regular expression: `*` is one or more characters of which the last is no dot, `#` is any
 * number of characters, and both cross dots, unlike AMQP's. Never worse than the product of both lengths.
 */
export const matchesTopic = (bindingKey: string, routingKey: string): boolean => {
  /** How many characters of the routing key the words so far may have consumed. */
  let reached = new Set([0])
  const words = bindingKey.split(".")
  for (let index = 0; index < words.length && reached.size > 0; index++) {
    if (index > 0) reached = consume(".", routingKey, reached)
    reached = consume(words[index]!, routingKey, reached)
  }
  return reached.has(routingKey.length)
}

const consume = (word: string, routingKey: string, reached: ReadonlySet<number>): Set<number> => {
  const next = new Set<number>()
  if (word !== "*" && word !== "#") {
    for (const at of reached) if (routingKey.startsWith(word, at)) next.add(at + word.length)
    return next
  }
  const first = Math.min(...reached)
  const from = word === "*" ? first + 1 : first
  for (let at = from; at <= routingKey.length; at++) if (word === "#" || routingKey[at - 1] !== ".") next.add(at)
  return next
}
