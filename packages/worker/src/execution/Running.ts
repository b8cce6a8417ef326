/**
 * The runs that have begun and not ended, by their fibers, in the order in which they began.
 *
 * FAST: a `Map` that is added to and deleted from all the time is copied every few times; V8 links each copy to the next one, and the first that has grown
 * old keeps them all until the next full collection, with what was in them when they were copied. Were those requests, a task that waits for something would
 * cost half as much again (27 us, not 17), and leave 2 kB that survive it. So they are places, emptied when a run ends.
 */
import type * as Fiber from "effect/Fiber"
import type { Request } from "./Request.ts"

type Run = readonly [Fiber.Fiber<void>, Request]

/** What is handed out does not change any more. */
export interface Runs {
  readonly size: number
  readonly has: (fiber: Fiber.Fiber<void>) => boolean
  readonly keys: () => ReadonlyArray<Fiber.Fiber<void>>
  readonly values: () => ReadonlyArray<Request>
  readonly [Symbol.iterator]: () => Iterator<Run>
}

export class Running implements Runs {
  /** By the fiber's number. */
  readonly #places = new Map<number, { run: Run | undefined }>()

  get size(): number {
    return this.#places.size
  }

  add(fiber: Fiber.Fiber<void>, request: Request): void {
    this.#places.set(fiber.id, { run: [fiber, request] })
  }

  delete({ id }: Fiber.Fiber<void>): void {
    const place = this.#places.get(id)
    if (place === undefined) return
    place.run = undefined
    this.#places.delete(id)
  }

  clear(): void {
    this.#places.clear()
  }

  has({ id }: Fiber.Fiber<void>): boolean {
    return this.#places.has(id)
  }

  keys(): ReadonlyArray<Fiber.Fiber<void>> {
    return this.#runs().map(([fiber]) => fiber)
  }

  values(): ReadonlyArray<Request> {
    return this.#runs().map(([, request]) => request)
  }

  [Symbol.iterator](): Iterator<Run> {
    return this.#runs().values()
  }

  #runs(): ReadonlyArray<Run> {
    return Array.from(this.#places.values(), ({ run }) => run!)
  }
}
