/** URLs of brokers and result backends as they may be shown. Too much is hidden rather than too little: a password may contain `@` and `/`. */

/**
 * What a secret is called, as an option or in a URL: Celery's `HIDDEN_SETTINGS` (celery/app/utils.py), and what else holds one:
 * `headers.Authorization`, `auth_provider`, `pwd`, a certificate with its key (`pem`, `pfx`), a signed URL's `sig`.
 */
export const secret = /API|TOKEN|KEY|SECRET|PASS|PROFANITIES_LIST|SIG|DATABASE|AUTH|CREDENTIAL|PWD|PEM|PFX/iu

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
          secret.test(key) ? `${mark}${key}=${stars}` : whole
        )
    )
    .join(";")
