/** Celery's ways of writing a flag that Effect's parser does not read. */

/** Short flags that take a value: `-c10` is `-c 10`. */
const withValue = "AbQcnPltdak"

export const split = (argv: ReadonlyArray<string>): ReadonlyArray<string> => {
  const end = argv.indexOf("--")
  const flags = end === -1 ? argv : argv.slice(0, end)
  return [
    ...flags.flatMap((arg) => {
      const [, flag, value] = /^-([A-Za-z])([^=].*)$/s.exec(arg) ?? []
      return flag !== undefined && withValue.includes(flag) ? [`-${flag}`, value!] : [arg]
    }),
    ...argv.slice(flags.length)
  ]
}
