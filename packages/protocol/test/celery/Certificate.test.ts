/** What a store may hold by accident or malice; genuine ones are read in hub's Security.test.ts. */
import * as Certificate from "@apium/protocol/celery/Certificate"
import { assert, describe, it } from "@effect/vitest"
import { Result } from "effect"

const element = (tag: number, ...parts: ReadonlyArray<Uint8Array>): Uint8Array => {
  const content = parts.flatMap((part) => Array.from(part))
  const { length } = content
  return Uint8Array.from([tag, 0x83, length >> 16, (length >> 8) & 255, length & 255, ...content])
}

const pem = (octets: Uint8Array): string =>
  `-----BEGIN CERTIFICATE-----\n${btoa(Array.from(octets, (octet) => String.fromCharCode(octet)).join(""))}\n-----END CERTIFICATE-----\n`

describe("a certificate", () => {
  it("with a number of 100,000 octets is refused before it is worked out, which would take seconds", () => {
    const filler = new Uint8Array(70_000)
    const [sequence, integer, bitString] = [0x30, 2, 3]
    const fields = element(sequence, element(integer, new Uint8Array(100_000).fill(1)))
    const found = Certificate.parse(
      pem(element(sequence, fields, element(sequence, filler), element(bitString, filler)))
    )
    assert.isTrue(Result.isFailure(found))
    if (Result.isFailure(found))
      assert.strictEqual(found.failure.message, "an integer has 100000 octets, and may have 2049")
  })
})
