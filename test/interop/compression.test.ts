/** Bodies that kombu compresses are read here, and ours by kombu: by all names that both know. */
import * as Compression from "@apium/hub/Compression"
import { layerCompression } from "@apium/hub/node"
import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Commands from "../support/Commands.ts"
import * as Python from "../support/Python.ts"

const packages = Commands.require({
  "/usr/lib/python3/dist-packages/zstandard": "python3-zstandard",
  "/usr/lib/python3/dist-packages/brotli.py": "python3-brotli"
})

const script = `
import json, sys
from kombu.compression import compress, decompress
given = json.load(sys.stdin)
body = bytes.fromhex(given["body"])
print(json.dumps({
    "theirs": {name: [content_type, data.hex()] for name in given["read"] for data, content_type in [compress(body, name)]},
    "ours": {name: decompress(bytes.fromhex(data), content_type) == body for name, [content_type, data] in given["ours"].items()}}))
`

const hex = (octets: Uint8Array): string => Array.from(octets, (octet) => octet.toString(16).padStart(2, "0")).join("")

const fromHex = (text: string) => Uint8Array.from(text.match(/../g) ?? [], (octet) => Number.parseInt(octet, 16))

const written = ["zlib", "gzip", "zstd", "zstandard", "brotli"]
const read = [...written, "bzip2", "bzip"]

const bodies: Readonly<Record<string, Uint8Array>> = {
  "a task": new TextEncoder().encode(
    '[[2, 3], {}, {"callbacks": null, "errbacks": null, "chain": null, "chord": null}]'
  ),
  nothing: new Uint8Array(0),
  "noise of 70,000 octets": Uint8Array.from(
    { length: 70_000 },
    (_, index) => Math.imul(index + 1, 2_654_435_761) >>> 24
  ),
  "300,000 octets of text": new TextEncoder().encode("to be or not to be, ".repeat(15_000))
}

it.effect.each(Object.entries(bodies).map(([title, body]) => ({ title, body })))(
  "$title: kombu and Apium read each other",
  ({ body }) =>
    Effect.gen(function* () {
      yield* packages
      const ours: Record<string, readonly [string, string]> = {}
      for (const name of written) {
        const compressed = yield* Compression.compress(name, body)
        ours[name] = [compressed.contentType, hex(compressed.body)]
      }
      const answer = JSON.parse(
        yield* Python.run(script, { input: JSON.stringify({ body: hex(body), read, ours }) })
      ) as {
        readonly theirs: Readonly<Record<string, readonly [string, string]>>
        readonly ours: Readonly<Record<string, boolean>>
      }
      assert.deepStrictEqual(answer.ours, Object.fromEntries(written.map((name) => [name, true])))
      for (const name of read) {
        const [contentType, octets] = answer.theirs[name]!
        assert.deepStrictEqual(yield* Compression.decompress(contentType, fromHex(octets)), body, name)
      }
    }).pipe(Effect.provide(layerCompression))
)
