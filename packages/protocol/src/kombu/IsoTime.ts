/**
 * Times as Python's `datetime.isoformat` writes and `fromisoformat` reads them.
 *
 * A JavaScript `Date` counts whole milliseconds; Python counts microseconds, and may leave the zone out ("naive"). What is lost is said here, so that
 * whoever reads a time can decide.
 */

export interface IsoTime {
  /** Milliseconds since 1970, the part of a millisecond rounded up: a task held until then never starts early. */
  readonly epochMillis: number
  /** Whether the text says its offset from UTC. Without one it was read as UTC. */
  readonly aware: boolean
  /** Whether `epochMillis` is exact. */
  readonly exact: boolean
}

const pattern =
  /^(\d{4})-(\d{2})-(\d{2})(?:[T ](\d{2}):(\d{2})(?::(\d{2})(?:[.,](\d{1,9}))?)?\s?(?:(Z|z)|([+-])(\d{2}):?(\d{2})(?::(\d{2})(?:\.\d+)?)?)?)?$/

const daysIn = (year: number, month: number): number =>
  month === 2
    ? year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0)
      ? 29
      : 28
    : [4, 6, 9, 11].includes(month)
      ? 30
      : 31

/** `undefined` for anything that is no date of the calendar. Years 1 to 9999, as in Python. */
export const parse = (text: string): IsoTime | undefined => {
  // the longest text the pattern takes is well below this; it bounds the work on foreign input
  if (text.length > 64) return undefined
  const match = pattern.exec(text)
  if (match === null) return undefined
  const at = (index: number): number => Number(match[index] ?? 0)
  const [year, month, day, hour, minute, second] = [at(1), at(2), at(3), at(4), at(5), at(6)]
  if (year < 1 || month < 1 || month > 12 || day < 1 || day > daysIn(year, month)) return undefined
  if (hour > 23 || minute > 59 || second > 59 || at(10) > 23 || at(11) > 59 || at(12) > 59) return undefined
  const nanos = Number((match[7] ?? "").padEnd(9, "0"))
  const sign = match[9] === "-" ? -1 : 1
  const offset = sign * ((at(10) * 60 + at(11)) * 60 + at(12)) * 1000
  // Date.UTC takes the years 0 to 99 for 1900 to 1999, setUTCFullYear does not
  const midnight = new Date(0).setUTCFullYear(year, month - 1, day)
  const millis = ((hour * 60 + minute) * 60 + second) * 1000
  return {
    epochMillis: midnight + millis + Math.ceil(nanos / 1e6) - offset,
    aware: match[8] !== undefined || match[9] !== undefined,
    exact: nanos % 1e6 === 0
  }
}

/** The first and the last millisecond Python can hold: the years 1 to 9999. */
const first = -62_135_596_800_000
const last = 253_402_300_799_999

/** Whether Python's datetime can hold this time. */
export const representable = (epochMillis: number): boolean => epochMillis >= first && epochMillis <= last

/**
 * `2031-05-06T07:08:09.123000+00:00`: always UTC, always with the offset, never `Z`, which Python before 3.11 refuses. Microseconds have six digits and
 * are left out when zero, as `isoformat` does; `RangeError` outside of the years 1 to 9999.
 */
export const format = (epochMillis: number): string => {
  if (!representable(epochMillis)) throw new RangeError(`${epochMillis} is outside of the years 1 to 9999`)
  const iso = new Date(Math.floor(epochMillis)).toISOString()
  const millis = iso.slice(20, 23)
  const text = millis === "000" ? `${iso.slice(0, 19)}+00:00` : `${iso.slice(0, 19)}.${millis}000+00:00`
  // The same in one piece: V8 would keep the pieces it was made of, and a task that waits for its time waits long.
  return text.toUpperCase()
}
