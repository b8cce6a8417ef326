/**
 * The work all clients do alike: each is a file beside this, and does it the way its own documentation does.
 *
 * ```text
 *   publish          100 octets to a key that no queue has, not confirmed; then one request, whose answer says that the broker has had them all
 *   publish-headers  the same, with the 15 headers of a Celery task
 *   confirm          100 octets to a queue, each confirmed, 256 under way at a time
 *   consume          100 octets from a queue, prefetch 256, each acknowledged; then one request
 *   rpc              queue.declare (passive), and its answer: one at a time
 *   connect          a socket (TCP_NODELAY), the handshake, a channel; one at a time
 *   unconfirmed      50,000 publishes of 1 KiB to a broker that stands still: what they keep in memory
 *   held             50,000 deliveries of 1 KiB, none of them settled: what they keep in memory
 * ```
 */
export const window = 256
export const prefetch = 256

/** Where the messages of `confirm` go, those of `consume` come from, and what `rpc` asks for. */
export const queue = "bench"
export const nowhere = "nowhere"

/** A string as JSON has it, so that a producer of strings sends the same octets. */
export const text = "x".repeat(98)
export const body: Uint8Array = new TextEncoder().encode(JSON.stringify(text))

/** As Celery 5.6 sends them. */
export const headers = {
  lang: "py",
  task: "proj.tasks.add",
  id: "7b0e7d3c-6c1f-4f0e-9d43-0b6a2f1f9f11",
  shadow: null,
  eta: null,
  expires: null,
  group: null,
  group_index: null,
  retries: 0,
  timelimit: [null, null],
  root_id: "7b0e7d3c-6c1f-4f0e-9d43-0b6a2f1f9f11",
  parent_id: null,
  argsrepr: "(2, 2)",
  kwargsrepr: "{}",
  origin: "gen4711@worker-host-1"
}

export const large = 1024
export const many = 50_000

/** What a client has ready when the clock starts. */
export interface Ready {
  /** Does this many; some measure each of them, and give the milliseconds. */
  readonly turn: (count: number) => Promise<ReadonlyArray<number> | void>
}

export interface Publishing {
  readonly turn: (count: number, key?: string) => Promise<void>
}

export interface Filling {
  /** Begins, and comes back when all has begun: nobody answers. */
  readonly turn: (count: number) => Promise<void>
  /** When all is confirmed. */
  readonly end: () => Promise<void>
}

/** `undefined` where there is no way to do that. */
export interface Client {
  readonly publish?: (url: string, headers: object | undefined) => Promise<Publishing>
  readonly confirm?: (url: string) => Promise<Ready>
  readonly consume?: (url: string) => Promise<Ready>
  readonly rpc?: (url: string) => Promise<Ready>
  readonly connect?: (url: string) => Promise<Ready>
  readonly unconfirmed?: (url: string) => Promise<Filling>
  readonly held?: (url: string) => Promise<Filling>
}

/** This many of the same at once, each beginning its next when it has done one. */
export const lanes = async (count: number, one: () => Promise<unknown>): Promise<void> => {
  let left = count
  const lane = async () => {
    while (left-- > 0) await one()
  }
  await Promise.all(Array.from({ length: window }, lane))
}

/** How long each of them takes, in milliseconds. */
export const each = async (count: number, one: () => Promise<unknown>): Promise<ReadonlyArray<number>> => {
  const times: Array<number> = []
  for (let index = 0; index < count; index++) {
    const started = performance.now()
    await one()
    times.push(performance.now() - started)
  }
  return times
}

/** A body of its own, as messages have it. */
export const largeBody = (): Uint8Array => new Uint8Array(large).fill(120)
