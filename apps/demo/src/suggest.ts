/**
 * "Did you mean": the nearest of the names that would have been right.
 */

/** How many letters to change, add or take away to make one of the other. */
const distance = (a: string, b: string): number => {
  let row = Array.from({ length: b.length + 1 }, (_, column) => column)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      next.push(Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)))
    }
    row = next
  }
  return row[b.length]!
}

/** At most two letters off, or the beginning of it; nothing if there is none. */
export const nearest = (name: string, known: Iterable<string>): string | undefined =>
  [...known]
    .map((candidate) => ({
      candidate,
      off: name.length > 1 && candidate.startsWith(name) ? 1 : distance(name, candidate)
    }))
    .filter(({ off }) => off <= 2 && off < name.length)
    .toSorted((a, b) => a.off - b.off)[0]?.candidate
