/**
 * What is written to a terminal: it obeys control characters, and names, errors and replies come from anywhere.
 */

/** One line. */
export const printable = (text: string): string => text.replaceAll(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, "\u{FFFD}")

/** Several lines, tabs included. */
export const printableLines = (text: string): string =>
  text.replaceAll(/(?![\n\t])[\p{Cc}\p{Cf}\u2028\u2029]/gu, "\u{FFFD}")

/** JSON on one line, which says the same. */
export const printableJson = (json: string): string =>
  json.replaceAll(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, (found) =>
    found.replaceAll(/[^]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`)
  )

export const indented = (text: string, spaces: number): string =>
  text
    .split("\n")
    .map((line) => (line === "" ? line : " ".repeat(spaces) + line))
    .join("\n")

/** What anything that was thrown says about itself. */
export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))
