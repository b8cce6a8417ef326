import { build, type Metafile } from "esbuild"
import * as path from "node:path"

const root = path.resolve(import.meta.dirname, "../..")

/** One ES module for workerd and its like, from our sources: no Node.js, and nothing outside it but the runtime's own modules. */
export const bundle = async (
  /** A file, by its path from the root, or the text of a module. */
  entry: { readonly file: string } | { readonly source: string },
  options: { readonly minify?: boolean } = {}
): Promise<{ readonly code: string; readonly metafile: Metafile }> => {
  const { metafile, outputFiles } = await build({
    absWorkingDir: root,
    ...("file" in entry ? { entryPoints: [entry.file] } : { stdin: { contents: entry.source, resolveDir: root } }),
    bundle: true,
    write: false,
    metafile: true,
    minify: options.minify ?? false,
    format: "esm",
    target: "es2024",
    platform: "neutral",
    mainFields: ["module", "main"],
    conditions: ["@apium/source", "workerd", "worker"],
    // An import of a Node.js module is left in the metafile for whoever asks, and does not load in workerd.
    external: ["cloudflare:*", "node:*"],
    logLevel: "silent"
  })
  return { code: outputFiles[0]!.text, metafile }
}
