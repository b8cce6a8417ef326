/** What a node of a Redis Cluster says about who has what (https://redis.io/docs/latest/commands/cluster-slots/). */
import type { Address } from "../RedisUri.ts"
import type { Client } from "./client.ts"

/** The slot of a hash tag: CRC16 (XMODEM: polynomial 0x1021, from 0) modulo 16,384, after the Cluster specification, appendix A. */
export const slotOf = (hashTag: string): number => {
  let crc = 0
  for (const octet of new TextEncoder().encode(hashTag)) {
    crc ^= octet << 8
    for (let bit = 0; bit < 8; bit++) crc = ((crc << 1) ^ ((crc & 0x8000) === 0 ? 0 : 0x1021)) & 0xffff
  }
  return crc % 16_384
}

/** The master of this slot, as the node at `seed` sees it, which leaves its own host out where it does not know it. */
export const ownerOf = async (client: Client, slot: number, seed: Address): Promise<Address> => {
  const reply: unknown = await client.sendCommand(["CLUSTER", "SLOTS"])
  for (const range of Array.isArray(reply) ? (reply as ReadonlyArray<unknown>) : []) {
    const [first, last, master] = Array.isArray(range) ? (range as ReadonlyArray<unknown>) : []
    if (!(Number(first) <= slot && slot <= Number(last))) continue
    const [host, port] = Array.isArray(master) ? (master as ReadonlyArray<unknown>) : []
    if (!(Number(port) > 0)) break
    const own = "path" in seed ? "" : seed.host
    return { host: typeof host === "string" && host !== "" && host !== "?" ? host : own, port: Number(port) }
  }
  throw new Error(`it knows no node for slot ${slot}`)
}
