/**
 * URLs of brokers and result backends, as people write them: how one may be shown, and what is wrong with one.
 */
import * as MaskedUrl from "@apium/worker/control/MaskedUrl"
import { nearest } from "@apium/protocol/Suggest"

/** As kombu shows a URL: the password is two stars. Too much is hidden rather than too little: one may contain `@` and `/`. */
export const mask = (url: string): string =>
  // What is shown goes to a terminal.
  MaskedUrl.mask(url).replaceAll(/\p{Cc}/gu, "?")

/** Any text that a URL may have got into. */
export const maskWithin = (text: string): string => text.replaceAll(/[a-z][a-z\d+.-]{0,30}:\/\/[^\s"'`]*/gi, mask)

/** `memory` of `memory://`; nothing for what is no URL. */
export const schemeOf = (url: string): string | undefined => /^([a-z][a-z\d+.-]*):\/\//i.exec(url)?.[1]?.toLowerCase()

/**
 * What is wrong with a URL whose scheme is none of `supported`, and what to do. `where` is what said so: a variable or a flag.
 * The password is not in it.
 */
export const refusal = (
  url: string,
  where: string,
  supported: Iterable<string>,
  what: "transport" | "result backend" = "transport"
): string => {
  const shown = mask(url)
  const known = [...supported]
  const meant = (scheme: string) => {
    const found = nearest(scheme, known)
    return found === undefined ? "" : ` Did you mean ${found}://?`
  }
  const today = `Supported today: ${known.map((one) => `${one}://`).join(", ")}. In memory means inside of this process.`
  const scheme = schemeOf(url)
  if (scheme === undefined) {
    const named = /^[a-z]*/i.exec(url)![0].toLowerCase()
    return `${where} is ${shown}: a URL begins with its ${what}.${meant(named)}\n${today}`
  }
  return `${where} is ${shown}: there is no ${what} named ${scheme}.${meant(scheme)}\n${today}`
}
