/** A certificate authority of a test's own, by openssl. Its certificates are for `localhost` and 127.0.0.1, on elliptic curves: 20 ms each. */
import { Effect } from "effect"
import { writeFileSync } from "node:fs"
import * as path from "node:path"
import * as Commands from "./Commands.ts"

/** Paths of PEM files. */
export interface Certificate {
  readonly certificate: string
  readonly key: string
}

export interface Certificates {
  /** The path of the authority's own certificate. */
  readonly authority: string
  readonly server: Certificate
  /** Its common name is `apium`. */
  readonly client: Certificate
}

type Made<A> = Effect.Effect<A, Commands.CommandFailed | Commands.MissingCommand>

export const make = (folder: string): Made<Certificates> =>
  Effect.gen(function* () {
    yield* Commands.require({ openssl: "openssl" })
    const authority = path.join(folder, "authority.pem")
    yield* openssl("req -x509 -days 2", [
      ...key(path.join(folder, "authority.key")),
      "-out",
      authority,
      "-subj",
      // Not a client's name: to Erlang, one that differs in case alone has signed itself.
      "/CN=Authority of a test"
    ])
    const server = yield* issue(folder, "localhost")
    const client = yield* issue(folder, "apium")
    return { authority, server, client }
  })

/** One more of the authority in that folder. `names` are its alternative names; `-1` days have passed already. */
export const issue = (
  folder: string,
  commonName: string,
  { names = "DNS:localhost,IP:127.0.0.1", days = 2 }: { readonly names?: string; readonly days?: number } = {}
): Made<Certificate> =>
  Effect.gen(function* () {
    const file = (ending: string) => path.join(folder, `${commonName}.${ending}`)
    yield* openssl("req", [...key(file("key")), "-out", file("csr"), "-subj", `/CN=${commonName}`])
    writeFileSync(file("ext"), `subjectAltName=${names}\nbasicConstraints=CA:FALSE\n`)
    const [authority, authorityKey] = [path.join(folder, "authority.pem"), path.join(folder, "authority.key")]
    const signed = [
      "-CA",
      authority,
      "-CAkey",
      authorityKey,
      "-in",
      file("csr"),
      "-out",
      file("pem"),
      "-extfile",
      file("ext")
    ]
    yield* openssl(`x509 -req -CAcreateserial -days ${days}`, signed)
    return { certificate: file("pem"), key: file("key") }
  })

/** One that signed itself, with a key of RSA, as those who sign messages have: 50 to 500 ms. Days as for {@link issue}. */
export const selfSigned = (
  folder: string,
  name: string,
  {
    algorithm = "rsa:2048",
    days = 2,
    subject = `/O=Signers of a test/CN=${name}`
  }: { readonly algorithm?: string; readonly days?: number; readonly subject?: string } = {}
): Made<Certificate> =>
  Effect.gen(function* () {
    yield* Commands.require({ openssl: "openssl" })
    const file = (ending: string) => path.join(folder, `${name}.${ending}`)
    yield* openssl(`req -utf8 -nodes -newkey ${algorithm}`, [
      "-keyout",
      file("key"),
      "-out",
      file("csr"),
      "-subj",
      subject
    ])
    yield* openssl(`x509 -req -days ${days}`, ["-in", file("csr"), "-signkey", file("key"), "-out", file("pem")])
    return { certificate: file("pem"), key: file("key") }
  })

const openssl = (options: string, more: ReadonlyArray<string>) =>
  Commands.run(["openssl", ...options.split(" "), ...more])

const key = (file: string) => [..."-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout".split(" "), file]
