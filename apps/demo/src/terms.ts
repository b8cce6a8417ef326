/**
 * Words of text and source code, counted: `MemoryTransport` is "memory" and "transport", and what every text has (the, with,
 * const, return) is left out.
 */
export type Term = readonly [term: string, count: number]

/** A word begins where the script says so: at a capital, or after anything that is no letter. */
const word = /\p{Lu}?\p{Ll}+|\p{Lu}+(?!\p{Ll})|[\p{Lo}\p{Lm}\p{M}]+/gu

const stopWords: ReadonlySet<string> = new Set(
  `about after again all also and any are because been before being but can cannot could did does done each else even every few
  for from had has have here how into its itself just last less like made make makes many may more most much must nor not now
  off once one only other our out over own same should since some such than that the their them then there these they this
  those through too two under until upon very was way well were what when where which while who whose why will with within
  without would yet you your
  abstract args as async await bool boolean break case catch class const continue declare def default delete enum export
  extends false finally fn func function get if implements import in index instanceof int interface keyof let length map module
  namespace new null number object of override package private protected pub public readonly require return satisfies self
  set static str string struct super switch throw true try type typeof undefined unknown use using val value var void
  yield`.split(/\s+/)
)

export const count = (text: string): { readonly words: number; readonly counts: ReadonlyMap<string, number> } => {
  const counts = new Map<string, number>()
  let words = 0
  for (const [found] of text.normalize("NFC").matchAll(word)) {
    words++
    const term = found.toLowerCase()
    if (term.length < 3 && /^\p{Ll}/u.test(term)) continue
    if (stopWords.has(term)) continue
    counts.set(term, (counts.get(term) ?? 0) + 1)
  }
  return { words, counts }
}

/** The commonest first; equals by the alphabet, so that two runs say the same. */
export const top = (counts: Iterable<Term>, limit: number): ReadonlyArray<Term> =>
  [...counts].toSorted(([a, n], [b, m]) => m - n || (a < b ? -1 : 1)).slice(0, limit)
