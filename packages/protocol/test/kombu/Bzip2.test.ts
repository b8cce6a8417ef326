import * as Bzip2 from "@apium/protocol/kombu/Bzip2"
import { assert, describe, it } from "@effect/vitest"
import * as Random from "../support/Random.ts"

const fromHex = (hex: string) => Uint8Array.from(hex.match(/../g)!, (octet) => Number.parseInt(octet, 16))

const read = (octets: Uint8Array): Uint8Array =>
  Uint8Array.from(Array.from(Bzip2.decode(octets), (piece) => Array.from(piece)).flat())

const text = (octets: Uint8Array): string => new TextDecoder().decode(read(octets))

/** What Python's `bz2.compress` gives. */
const python = {
  hello: "425a68393141592653591931653d00000081000244a000219a68334d07338bb9229c28480c98b29e80",
  small: "425a6831314159265359fccb00d0000002018020060800200030cd3419908e38bb9229c28487e6580680",
  nothing: "425a683917724538509000000000",
  runs: "425a6839314159265359acd9a10c0000054100c00030000008200030cd34121a5032b11746f177245385090acd9a10c0",
  octets:
    "425a68393141592653592f728526000000ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffb00160002aaaa02602600000000000000000000000000000000000000000000000000000000000024c00130001300000000000000000000000000000000000000000000000000000000126000980009800000000000000000000000000000000000000000000000000000001fd4050240d04415ff20c83a1084a1485a18ffd0d4390f44111449134511545917461194691b4711d4791f481214892349125499274a1294a92b4b12d4b92f4c1314c9334d1354d9374e1394e93b4f13d4f93f50141509435114551947521495294b5314d5394f54151549535515555957561595695b5715d5795f581615896359165599675a1695a96b5b16d5b96f5c1715c9735d1755d9775e1795e97b5f17d5f97f60181609836118561987621896298b6318d6398f64191649936519565997661996699b6719d6799f681a1689a3691a5699a76a1a96a9ab6b1ad6b9af6c1b16c9b36d1b56d9b76e1b96e9bb6f1bd6f9bf701c1709c3711c5719c7721c9729cb731cd739cf741d1749d3751d5759d7761d9769db771dd779df781e1789e3791e5799e77a1e97a9eb7b1ed7b9ef7c1f17c9f37d1f57d9f77e1f97e9fb7f1fd7f85dc914e14240bdca14980",
  zeros:
    "425a68393141592653590e09e2df015f8e4000c0000008200030804d4642a025a90a8097314159265359b9d087d00000c5d000c00004000008200020a534198d485b050bc5dc914e14242970d09b80"
}

describe("bzip2", () => {
  it("reads what Python wrote", () => {
    assert.strictEqual(text(fromHex(python.hello)), "hello")
    assert.strictEqual(text(fromHex(python.nothing)), "")
    assert.strictEqual(text(fromHex(python.runs)), `${"a".repeat(259)}${"b".repeat(258)}${"a".repeat(4)}`)
    assert.deepStrictEqual(
      read(fromHex(python.octets)),
      Uint8Array.from({ length: 512 }, (_, index) => index & 255)
    )
  })

  it("reads several streams one after the other, of different sizes of blocks", () => {
    assert.strictEqual(text(fromHex(python.hello + python.small)), "hellosmall")
  })

  it("gives a block of 46 MB in pieces, as it is asked for", () => {
    let size = 0
    for (const piece of Bzip2.decode(fromHex(python.zeros))) {
      assert.isAtMost(piece.length, 65_536)
      assert.isTrue(piece.every((octet) => octet === 0))
      size += piece.length
      if (size >= 2 ** 20) break
    }
    assert.strictEqual(size, 2 ** 20)
  })

  it("refuses what was cut short", () => {
    const whole = fromHex(python.octets)
    for (let length = 0; length < whole.length; length++) {
      assert.throws(() => read(whole.subarray(0, length)), Bzip2.Bzip2Error)
    }
  })

  it("never gives another text for one bit changed, and fails of nothing else", () => {
    const whole = fromHex(python.runs)
    const expected = text(whole)
    let same = 0
    for (let bit = 0; bit < whole.length * 8; bit++) {
      const changed = whole.slice()
      changed[bit >> 3]! ^= 1 << (bit & 7)
      try {
        // Some bits say nothing: a smaller block would have done, or a code that no symbol has is longer.
        assert.strictEqual(text(changed), expected)
        same++
      } catch (error) {
        assert.instanceOf(error, Bzip2.Bzip2Error)
      }
    }
    assert.isBelow(same, whole.length)
  })

  it("refuses noise behind a good beginning, whatever it is", () => {
    const { below } = Random.random(1)
    const begin = fromHex(python.hello).subarray(0, 14)
    for (let round = 0; round < 2000; round++) {
      const noise = Uint8Array.from({ length: 200 }, () => below(256))
      assert.throws(() => read(Uint8Array.of(...begin, ...noise)), Bzip2.Bzip2Error)
    }
  })
})
