/** What to do about what Redis, its client or the kernel says, for who meets it for the first time. */
const advices: ReadonlyArray<readonly [said: RegExp, todo: string]> = [
  [/\bECONNREFUSED\b/, "nobody listens there; is Redis running, and is this its port?"],
  [/\b(?:ENOTFOUND|EAI_AGAIN)\b/, "the host has no address; is its name right?"],
  [/\bENOENT\b/, "there is no such socket; `unixsocket` in redis.conf says where it is"],
  [/\bEACCES\b/, "this user may not open it; `unixsocketperm` in redis.conf says who may"],
  [/^Socket closed unexpectedly$|\bECONNRESET\b/, "it hung up at once; does it ask for TLS (rediss://)?"],
  [/^NOAUTH/, "it asks for a password, and the URL has none; user:password@ stands in front of its host"],
  [/^WRONGPASS|^ERR (?:AUTH|invalid password)/, "the URL names no user and password that it knows"],
  [/^NOPERM/, "its ACL is narrower than what docs/redis.md says that Apium needs"],
  [/^ERR DB index/, "`databases` in its redis.conf says how many there are"],
  [/^ERR SELECT is not allowed/, "a Cluster has database 0 alone"],
  [/^READONLY/, "it is a replica; name its master, or the sentinels that know it (sentinel://)"],
  [/^CROSSSLOT/, "it is a node of a Cluster; its URL is redis+cluster://"],
  [/wrong version number|packet length too long/i, "it does not speak TLS; redis:// is without"]
]

/** The text, and what to do about it where that is known. */
export const advised = (text: string): string => {
  const found = advices.find(([said]) => said.test(text))
  if (found === undefined) return text
  // Of HELLO it says in 170 characters how to log in by hand.
  const said = text.startsWith("NOAUTH") ? "NOAUTH" : text.replace(/\.$/, "")
  return `${said}: ${found[1]}`
}

/**
 * Who answered, of a client that could not read the answer: `Unknown RESP type 72 "H"` is how it says that HTTP came. `undefined` for any
 * other failure.
 */
export const stranger = (text: string): string | undefined => {
  const first = /^Unknown RESP type \d+ "(.)"/su.exec(text)?.[1]
  if (first === undefined) return undefined
  return first === "H" ? "HTTP" : first === "A" ? "AMQP" : `something that begins with ${JSON.stringify(first)}`
}
