/** URLs of brokers and result backends as they may be shown. Too much is hidden rather than too little: a password may contain `@` and `/`. */

/** Each of those that `;` parts, its password and what is called like one covered by `stars`. */
export const mask = (url: string, stars = "**"): string =>
  url
    .split(/;(?=[a-z][a-z\d+.-]*:\/\/)/i)
    .map((one) =>
      one
        .replace(/^((?:[^:]*:\/\/)?[^:]*:)(?!\/\/).*@/su, `$1${stars}@`)
        // An `@` that was forgotten: what stands where the port should be is no port.
        .replace(/^([^:]*:\/\/[^:@/[]*:)(?!\d*(?:[/?#]|$))[^@]*$/u, `$1${stars}`)
        .replaceAll(/([?&])([^=&?]*)=[^&]*/gu, (whole, mark: string, key: string) =>
          /password|token|secret/iu.test(key) ? `${mark}${key}=${stars}` : whole
        )
    )
    .join(";")
