/**
 * The text below a folder: what a person would read there. Links are not followed, so a walk always ends; what is left out is
 * counted, so that nothing is missing in silence.
 */
import { NoInput } from "@apium/cli/Errors"
import { nearest } from "@apium/protocol/Suggest"
import * as Array from "effect/Array"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import * as Order from "effect/Order"
import * as Path from "effect/Path"
import type { PlatformError } from "effect/PlatformError"
import { plural, printable } from "./text.ts"

export interface File {
  readonly path: string
  /** Relative to the folder. */
  readonly name: string
}

/** Why something is left out. */
export type Reason = "machine" | "empty" | "large" | "binary" | "special" | "closed"

export interface Corpus {
  readonly folder: string
  readonly files: ReadonlyArray<File>
  readonly skipped: ReadonlyMap<Reason, number>
  /** There was more than a demo should read. */
  readonly capped: boolean
}

export const maxBytes = 1024 * 1024

/** More would take longer than a demo should. */
const defaults = { files: 2000, entries: 50_000 }

/** Written by machines. Hidden folders are passed over as well. */
const skippedFolders: ReadonlySet<string> = new Set(["node_modules", "dist", "build", "coverage", "fixtures", "target"])
const skippedFiles = /^(?:pnpm-lock\.yaml|package-lock\.json|.*\.lock|.*\.map|.*\.min\.\w+)$/

/** As git has it: text has no zero byte in its beginning. */
const sniffed = 8000

/** A whole project: from `apps/demo/src` up. */
const home = new URL("../../../", import.meta.url)

const why = ({ reason }: PlatformError): string => {
  switch (reason._tag) {
    case "NotFound":
      return "there is no such file or folder"
    case "PermissionDenied":
      return "permission denied"
    default:
      return reason._tag
  }
}

/** Left out `folder`: this project. A file is a corpus of one. */
export const read = Effect.fnUntraced(function* (folder: Option.Option<string>, limits = defaults) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const root = path.resolve(Option.isSome(folder) ? folder.value : yield* Effect.orDie(path.fromFileUrl(home)))
  const files: Array<File> = []
  const skipped = new Map<Reason, number>()
  const skip = (why: Reason): void => void skipped.set(why, (skipped.get(why) ?? 0) + 1)
  let entries = 0
  const full = (): boolean => files.length >= limits.files || entries >= limits.entries

  const isText = (file: string) =>
    Effect.scoped(
      Effect.flatMap(fs.open(file), (opened) =>
        Effect.map(opened.readAlloc(sniffed), (head) => !Option.exists(head, (bytes) => bytes.includes(0)))
      )
    )

  /** Why not to send a task for it. What cannot be looked at is sent: its task fails, and says why. */
  const objection = (file: string): Effect.Effect<Reason | undefined> =>
    Effect.gen(function* () {
      if (skippedFiles.test(path.basename(file))) return "machine"
      const { size } = yield* fs.stat(file)
      if (size === 0n) return "empty"
      if (size > maxBytes) return "large"
      return (yield* isText(file)) ? undefined : "binary"
    }).pipe(Effect.catch(() => Effect.undefined))

  const addAll = Effect.fnUntraced(function* (paths: ReadonlyArray<string>) {
    const objections = yield* Effect.forEach(paths, objection, { concurrency: 16 })
    for (const [index, file] of paths.entries()) {
      const why = objections[index]
      if (why !== undefined) skip(why)
      else if (files.length < limits.files)
        files.push({ path: file, name: path.relative(root, file) || path.basename(file) })
      else return
    }
  })

  const walk = (folder: string): Effect.Effect<void, PlatformError> =>
    Effect.gen(function* () {
      const found = Array.sortWith(yield* fs.readDirectoryEntries(folder), ({ name }) => name, Order.String)
      entries += found.length
      const of = (wanted: FileSystem.File.Type) =>
        found.filter(({ type }) => type === wanted).map(({ name }) => path.join(folder, name))
      for (const { type } of found) if (type !== "File" && type !== "Directory") skip("special")
      yield* addAll(of("File"))
      for (const inner of of("Directory")) {
        if (full()) return
        const name = path.basename(inner)
        if (name.startsWith(".") || skippedFolders.has(name)) continue
        yield* Effect.catch(walk(inner), () => Effect.sync(() => skip("closed")))
      }
    })

  const info = yield* fs.stat(root).pipe(Effect.mapError((error) => refused(folder, root, error)))
  yield* info.type === "Directory"
    ? walk(root).pipe(Effect.mapError((error) => refused(folder, root, error)))
    : addAll([root])
  return { folder: root, files, skipped, capped: full() } satisfies Corpus
})

const refused = (folder: Option.Option<string>, root: string, error: PlatformError) => {
  const asked = Option.getOrElse(folder, () => root)
  const command = nearest(asked, ["worker", "producer", "monitor"])
  return new NoInput({
    text:
      `Cannot read ${printable(asked)}: ${why(error)}.` +
      (command === undefined ? "" : ` Did you mean the command ${command}?`)
  })
}

const phrases: Readonly<Record<Reason, (count: number) => string>> = {
  machine: (count) => plural(count, "generated file"),
  empty: (count) => plural(count, "empty file"),
  large: (count) => `${plural(count, "file")} over 1 MiB`,
  binary: (count) => plural(count, "binary file"),
  special: (count) => plural(count, "link"),
  closed: (count) => plural(count, "unreadable folder")
}

/** `2 binary files, 1 link`; empty when nothing was left out. */
export const leftOut = ({ skipped }: Corpus): string =>
  [...skipped].map(([why, count]) => phrases[why](count)).join(", ")
