import { yaml } from "@apium/protocol/kombu/Yaml"
import { mask, maskWithin } from "../../../cli/src/BrokerUrl.ts"
import { it } from "@effect/vitest"
const n = Number(10_000)
it("y", () => {
  for (const n of [16_000, 32_000])
    for (const [name, run] of Object.entries({
      yaml: (t: string) => yaml.decode(new TextEncoder().encode(t)),
      mask,
      maskWithin
    }))
      for (const u of [
        "\n",
        " ",
        "- ",
        "\n- ",
        "a ",
        "a:",
        "a#",
        "''",
        '\\"',
        "a",
        "password",
        "?password",
        ":",
        "@",
        "a:b@",
        "\n - - "
      ]) {
        for (const t of [
          u.repeat(n / u.length),
          "a" + u.repeat(n / u.length) + "x",
          `"${u.repeat(n / u.length)}`,
          "amqp://" + u.repeat(n / u.length)
        ]) {
          const s = performance.now()
          try {
            run(t)
          } catch {}
          const ms = performance.now() - s
          if (ms > 40) console.log(n, name, JSON.stringify(t.slice(0, 12)), Math.round(ms))
        }
      }
}, 100000)
