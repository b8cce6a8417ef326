/** How messages are written and read: `accept_content`, `task_serializer`, `task_compression`, and the keys that sign them. */
import type * as Security from "@apium/hub/Security"
import type * as Serializer from "@apium/hub/Serializer"
import * as Content from "@apium/protocol/kombu/Content"
import { didYouMean } from "@apium/protocol/Suggest"
import * as Kind from "./Kind.ts"

const names = ["json", "msgpack", "yaml", "auth"]

/** By kombu's name, or a content type: who brings the serializer knows whether that is one. */
const serializerOf = (value: unknown): string | undefined => {
  if (typeof value !== "string" || value === "") return undefined
  if (value === "pickle" || value === "application/x-python-serialize") throw new Kind.Wrong(Content.pickleRefused)
  if (value.includes("/") || names.includes(value)) return value
  throw new Kind.Wrong(
    `it names a serializer that there is not.${didYouMean(value, names)} There are ${names.join(", ")}`
  )
}

export const serializer: Kind.Kind<string> = { takes: "the name of a serializer as json", read: serializerOf }

export const accepted: Kind.Kind<ReadonlyArray<string>> = {
  takes: 'a list of serializers, as ["json"]',
  read: (value) => {
    const all = Array.isArray(value) || value instanceof Set ? Array.from(value, serializerOf) : []
    const found = all.filter((name) => name !== undefined)
    return found.length > 0 && found.length === all.length ? found : undefined
  }
}

const written = ["zlib", "gzip", "zstd", "zstandard", "brotli"]

export const compression: Kind.Kind<string> = {
  takes: written.join(", "),
  read: (value) => (typeof value === "string" && written.includes(value) ? value : undefined)
}

/** What was said of all this, by the twins of the keys. */
export interface Said {
  readonly acceptContent?: ReadonlyArray<string> | undefined
  readonly taskSerializer?: string | undefined
  readonly taskCompression?: string | undefined
  readonly securityKey?: string | undefined
  readonly securityCertificate?: string | undefined
  readonly securityCertStore?: string | undefined
  readonly securityDigest?: Security.Digest | undefined
  readonly securityKeyPassword?: Security.Options["keyPassword"]
}

const isAuth = (name: string | undefined): boolean => name === "auth"

/** As `setup_security` has it: signing without verifying is of no use, nor is a key that nothing is signed with. */
export const check = (said: Said, wrong: (key: string, text: string) => void): void => {
  const [writes, reads] = [isAuth(said.taskSerializer), said.acceptContent?.some(isAuth) === true]
  const files = {
    security_key: said.securityKey,
    security_certificate: said.securityCertificate,
    security_cert_store: said.securityCertStore,
    security_key_password: said.securityKeyPassword
  }
  if (writes && !reads) wrong("task_serializer", 'what is signed has to be verified: accept_content is ["auth"] then')
  for (const [key, file] of Object.entries(files)) {
    const wanted = key === "security_cert_store" ? reads : writes && key !== "security_key_password"
    if (wanted && file === undefined) wrong(key, "signed messages (auth) need it")
    if (!writes && !reads && file !== undefined) {
      wrong(key, 'it is for signed messages alone: task_serializer = "auth" and accept_content = ["auth"]')
    }
  }
}

/** Of `Serializer.layer`. */
export type ContentOptions = Pick<Serializer.Options, "accept" | "serializer" | "compression">

export const content = ({ acceptContent, taskCompression, taskSerializer }: Said): ContentOptions => ({
  ...(acceptContent === undefined ? undefined : { accept: acceptContent }),
  ...(taskSerializer === undefined ? undefined : { serializer: taskSerializer }),
  ...(taskCompression === undefined ? undefined : { compression: taskCompression })
})

/** Files of `layerSecurity`; `undefined`: nothing is signed. */
export const security = (said: Said): Security.Files | undefined =>
  said.securityCertStore === undefined
    ? undefined
    : {
        key: said.securityKey,
        certificate: said.securityCertificate,
        certStore: said.securityCertStore,
        digest: said.securityDigest,
        keyPassword: said.securityKeyPassword
      }
