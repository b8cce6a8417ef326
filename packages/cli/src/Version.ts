/** The version of this package, and of what `--version` says. */
import { createRequire } from "node:module"

export const { version } = createRequire(import.meta.url)("../package.json") as { readonly version: string }
