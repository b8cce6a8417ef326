/** How a client says who it is: `mechanism` and `response` of `connection.start-ok` (`amqp/sasl.py`). A response is a secret: print none. */
import * as Data from "effect/Data"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import { AmqpError } from "./AmqpError.ts"
import * as Constants from "./Constants.ts"
import * as FieldTable from "./FieldTable.ts"

export type Mechanism = "PLAIN" | "AMQPLAIN" | "EXTERNAL" | "ANONYMOUS"

export interface Credentials {
  readonly username: string
  readonly password: Redacted.Redacted
}

/** None of the mechanisms that the server offers can be answered with what there is. */
export class NoCommonMechanism extends Data.TaggedError("NoCommonMechanism")<{
  readonly message: string
  readonly offered: ReadonlyArray<string>
  readonly wanted: ReadonlyArray<string>
}> {}

const withPassword: ReadonlyArray<Mechanism> = ["PLAIN", "AMQPLAIN"]
const withoutPassword: ReadonlyArray<Mechanism> = ["EXTERNAL", "ANONYMOUS"]

const known = (name: string): name is Mechanism => [...withPassword, ...withoutPassword].includes(name as Mechanism)

/**
 * The first of `wanted` that the server offers; `offered` is `connection.start`'s list. `wanted` left out is PLAIN, then AMQPLAIN, where there are
 * credentials (kombu's order), else EXTERNAL (the certificate of the connection), then ANONYMOUS.
 */
export const choose = (
  offered: string,
  credentials: Credentials | undefined,
  wanted: ReadonlyArray<string> = credentials === undefined ? withoutPassword : withPassword
): Result.Result<Mechanism, NoCommonMechanism> => {
  const names = offered.split(" ").filter((name) => name !== "")
  for (const name of wanted) {
    if (!known(name) || !names.includes(name)) continue
    if (credentials !== undefined || !withPassword.includes(name)) return Result.succeed(name)
  }
  const without = credentials === undefined ? ", without a user name and a password" : ""
  const message = `The server offers ${names.join(", ") || "no mechanism"}, and the client ${wanted.join(", ") || "none"}${without}`
  return Result.fail(new NoCommonMechanism({ message: message.slice(0, 500), offered: names, wanted }))
}

/** The response to `connection.start`. PLAIN and AMQPLAIN carry the credentials, the others nothing. */
export const respond = (mechanism: Mechanism, credentials?: Credentials): Uint8Array => {
  const username = credentials?.username ?? ""
  const password = credentials === undefined ? "" : Redacted.value(credentials.password)
  switch (mechanism) {
    case "PLAIN":
      return new TextEncoder().encode(`\0${username}\0${password}`)
    case "AMQPLAIN":
      // A table without its length.
      return FieldTable.encodeUnsafe({ LOGIN: username, PASSWORD: password }).subarray(4)
    case "EXTERNAL":
    case "ANONYMOUS":
      return new Uint8Array(0)
  }
}

/** The other side: whom a response names; `undefined` for EXTERNAL and ANONYMOUS. Fails with 403 on one that cannot be read, and shows nothing of it. */
export const identify = (
  mechanism: Mechanism,
  response: Uint8Array
): Result.Result<Credentials | undefined, AmqpError> => {
  if (mechanism === "EXTERNAL" || mechanism === "ANONYMOUS") return Result.succeed(undefined)
  const [username, password] = mechanism === "PLAIN" ? plain(response) : amqplain(response)
  if (typeof username !== "string" || typeof password !== "string") {
    const message = `A response to ${mechanism} that names no user and password`
    return Result.fail(
      new AmqpError({ message, replyCode: Constants.accessRefused, channel: 0, classId: 10, methodId: 11 })
    )
  }
  return Result.succeed({ username, password: Redacted.make(password) })
}

const plain = (response: Uint8Array): ReadonlyArray<unknown> => {
  const parts = new TextDecoder("utf-8", { ignoreBOM: true }).decode(response).split("\0")
  return parts.length === 3 ? parts.slice(1) : []
}

const amqplain = (response: Uint8Array): ReadonlyArray<unknown> => {
  const bytes = new Uint8Array(response.length + 4)
  new DataView(bytes.buffer).setUint32(0, response.length)
  bytes.set(response, 4)
  const table = FieldTable.decode(bytes)
  return Result.isSuccess(table) ? [table.success.LOGIN, table.success.PASSWORD] : []
}
