/**
 * `-n`: the name of a worker among others (celery/utils/nodenames.py). `%h` is the host, `%n` its first part, `%d` the rest,
 * and what names no host is at Celery's: `mail@%h`, and `w1` is `celery@w1`.
 */
export const expand = (wanted: string, host: string): string => {
  const [first = host, ...rest] = host.split(".")
  const values: Readonly<Record<string, string>> = { h: host, n: first, d: rest.join("."), i: "0", I: "", "%": "%" }
  const at = wanted.indexOf("@")
  const name = at === -1 ? `celery@${wanted}` : `${wanted.slice(0, at) || "celery"}@${wanted.slice(at + 1) || host}`
  return name.replaceAll(/%(.)/gs, (whole, letter: string) => values[letter] ?? whole)
}

/**
 * A file that is named after a worker: `%n` is its name before the `@`, `%h` what stands behind it, `%d` the domain of that, `%p` all
 * of it (celery/utils/nodenames.py `node_format`).
 */
export const file = (wanted: string, nodename: string): string => {
  const at = nodename.indexOf("@")
  const host = nodename.slice(at + 1)
  const values: Readonly<Record<string, string>> = {
    n: nodename.slice(0, Math.max(0, at)),
    h: host,
    d: host.split(".").slice(1).join("."),
    p: nodename,
    i: "0",
    I: "",
    "%": "%"
  }
  // A name is no path.
  return wanted.replaceAll(/%(.)/gs, (whole, letter: string) => values[letter]?.replaceAll(/[/\\]/g, "_") ?? whole)
}
