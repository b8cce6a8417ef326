/**
 * How things are written for people: numbers with units, columns that line up, names that cannot move the cursor.
 */

/** File names and errors come from anywhere, and a terminal obeys control characters. */
export const printable = (text: string): string => text.replaceAll(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, "\u{FFFD}")

/** The end of a path says more than its beginning. */
export const clip = (path: string, width: number): string =>
  path.length <= width ? path : `…${path.slice(path.length - Math.max(0, width - 1))}`

const grouped = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 })

/** `12,345`. */
export const integer = (value: number): string => grouped.format(value)

/** `1 file`, `2 files`. */
export const plural = (count: number, noun: string): string => `${integer(count)} ${noun}${count === 1 ? "" : "s"}`

/** Three digits: `0.42`, `4.2`, `42`. */
const short = (value: number): string =>
  value < 0.995 ? value.toFixed(2) : value < 9.95 ? value.toFixed(1) : integer(value)

/** `640 B`, `4.2 KiB`, `1.0 MiB`. */
export const bytes = (value: number): string => {
  if (value < 1024) return `${value} B`
  return value < 1024 * 1024 ? `${short(value / 1024)} KiB` : `${short(value / 1024 / 1024)} MiB`
}

/** From seconds: `0.42 ms`, `42 ms`, `1.3 s`. */
export const duration = (seconds: number): string => {
  const millis = seconds * 1000
  return millis < 999.5 ? `${short(millis)} ms` : `${seconds.toFixed(seconds < 99.95 ? 1 : 0)} s`
}

/** Rows of cells as lines; numbers stand to the right. */
export const columns = (
  rows: ReadonlyArray<ReadonlyArray<string>>,
  align: ReadonlyArray<"left" | "right">
): ReadonlyArray<string> => {
  const widths = align.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)))
  return rows.map((row) =>
    row
      .map((cell, column) =>
        align[column] === "right" ? cell.padStart(widths[column]!) : cell.padEnd(widths[column]!)
      )
      .join("  ")
      .trimEnd()
  )
}
