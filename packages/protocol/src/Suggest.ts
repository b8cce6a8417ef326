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

/** Nobody mistypes more than this, and the work is the product of the lengths. */
const maxLength = 200

/** At most two letters off, or the beginning of it; nothing if there is none. */
export const nearest = (name: string, known: Iterable<string>): string | undefined =>
  name.length > maxLength
    ? undefined
    : [...known]
        .map((candidate) => ({
          candidate,
          off: name.length > 1 && candidate.startsWith(name) ? 1 : distance(name, candidate.slice(0, maxLength))
        }))
        .filter(({ off }) => off <= 2 && off < name.length)
        .toSorted((a, b) => a.off - b.off)[0]?.candidate

/** ` Did you mean add?`, to stand behind a sentence; empty when nothing is near. */
export const didYouMean = (name: string, known: Iterable<string>): string => {
  const meant = nearest(name, known)
  return meant === undefined ? "" : ` Did you mean ${meant}?`
}
