/** How many octets of buffers are taken while something runs: those of `new Uint8Array(size)` and of copies by `slice`, which is how our codec takes them. */
const Native = globalThis.Uint8Array
const slice = Reflect.get(Native.prototype, "slice") as (...args: Array<unknown>) => Uint8Array

let taken = 0

const Counted = new Proxy(Native, {
  construct: (target, args: ReadonlyArray<unknown>) => {
    const made = Reflect.construct(target, args) as Uint8Array
    // A view of a buffer that is there takes nothing.
    if (!(args[0] instanceof ArrayBuffer)) taken += made.length
    return made
  }
})

function counted(this: Uint8Array, ...args: Array<unknown>): Uint8Array {
  const copy = Reflect.apply(slice, this, args)
  taken += copy.length
  return copy
}

/** Octets, whether they are let go of in between or not: more than are ever held at once. */
export const count = (run: () => void): number => {
  taken = 0
  Reflect.set(Native.prototype, "slice", counted)
  globalThis.Uint8Array = Counted
  try {
    run()
  } finally {
    globalThis.Uint8Array = Native
    Reflect.set(Native.prototype, "slice", slice)
  }
  return taken
}
