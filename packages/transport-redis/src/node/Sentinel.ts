/** What Sentinel says (https://redis.io/docs/latest/develop/reference/sentinel-clients/). */
import type { Address } from "../RedisUri.ts"
import type { Client } from "./client.ts"

/** The master of this name; while a failover is on its way, the replica that was chosen as soon as it is promoted. */
export const masterOf = async (client: Client, masterName: string): Promise<Address> => {
  const reply: unknown = await client.sendCommand(["SENTINEL", "GET-MASTER-ADDR-BY-NAME", masterName])
  if (reply === null) throw new Error(`it knows no master ${JSON.stringify(masterName)}`)
  const [host, port] = Array.isArray(reply) ? (reply as ReadonlyArray<unknown>) : []
  if (typeof host !== "string" || host === "" || !(Number(port) > 0)) throw new Error("it is no Sentinel")
  return { host, port: Number(port) }
}
