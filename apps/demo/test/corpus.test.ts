import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { symlinkSync } from "node:fs"
import { basename, join } from "node:path"
import * as Corpus from "#demo/corpus"
import { Folder } from "./support.ts"

const folderOf = (files?: ConstructorParameters<typeof Folder>[0]) =>
  Effect.acquireRelease(
    Effect.sync(() => new Folder(files)),
    (folder) => Effect.sync(() => folder[Symbol.dispose]())
  )

const read = (path: string) => Corpus.read(Option.some(path))

const names = ({ files }: Corpus.Corpus) => files.map(({ name }) => name.replaceAll("\\", "/"))

layer(NodeServices.layer)("a corpus", (it) => {
  it.effect("is the text below a folder, in order", () =>
    Effect.gen(function* () {
      const folder = yield* folderOf({ "b.md": "b", "a file.txt": "a", "sub/ünï空.ts": "c", "sub/a/d": "d" })
      const corpus = yield* read(folder.path)
      assert.deepStrictEqual(names(corpus), ["a file.txt", "b.md", "sub/ünï空.ts", "sub/a/d"])
      assert.strictEqual(Corpus.leftOut(corpus), "")
      assert.isFalse(corpus.capped)
    })
  )

  it.effect("is not what machines wrote or keep hidden", () =>
    Effect.gen(function* () {
      const folder = yield* folderOf({
        "keep.md": "k",
        "node_modules/a.js": "x",
        "dist/a.js": "x",
        ".git/HEAD": "x",
        "pnpm-lock.yaml": "x",
        "a.min.js": "x"
      })
      const corpus = yield* read(folder.path)
      assert.deepStrictEqual(names(corpus), ["keep.md"])
      assert.strictEqual(Corpus.leftOut(corpus), "2 generated files")
    })
  )

  it.effect("is neither binary, empty, nor large, and says what was left out", () =>
    Effect.gen(function* () {
      const folder = yield* folderOf({
        "text.txt": "t",
        "latin1.txt": Uint8Array.of(0x63, 0xe9),
        "image.bin": Uint8Array.of(1, 0, 2),
        "empty.txt": "",
        "large.txt": "x".repeat(Corpus.maxBytes + 1),
        "limit.txt": "x".repeat(Corpus.maxBytes)
      })
      const corpus = yield* read(folder.path)
      assert.deepStrictEqual(names(corpus), ["latin1.txt", "limit.txt", "text.txt"])
      const leftOut = Corpus.leftOut(corpus)
      for (const text of ["1 binary file", "1 empty file", "1 file over 1 MiB"]) assert.include(leftOut, text)
    })
  )

  it.effect("does not follow links, so a loop ends", () =>
    Effect.gen(function* () {
      const folder = yield* folderOf({ "a.txt": "a" })
      symlinkSync(folder.path, join(folder.path, "loop"), "dir")
      const corpus = yield* read(folder.path)
      assert.deepStrictEqual(names(corpus), ["a.txt"])
      assert.strictEqual(Corpus.leftOut(corpus), "1 link")
    })
  )

  it.effect("has an end, and says that there is more", () =>
    Effect.gen(function* () {
      const folder = yield* folderOf({ "a.txt": "a", "b.txt": "b", "c.txt": "c", "d/e.txt": "e" })
      const corpus = yield* Corpus.read(Option.some(folder.path), { files: 2, entries: 100 })
      assert.deepStrictEqual(names(corpus), ["a.txt", "b.txt"])
      assert.isTrue(corpus.capped)
    })
  )

  it.effect("is one file when asked for one", () =>
    Effect.gen(function* () {
      const folder = yield* folderOf({ "a.txt": "a", "b.txt": "b" })
      assert.deepStrictEqual(names(yield* read(join(folder.path, "a.txt"))), ["a.txt"])
    })
  )

  it.effect("by default is this project", () =>
    Effect.gen(function* () {
      const corpus = yield* Corpus.read(Option.none())
      assert.include(names(corpus), "apps/demo/src/corpus.ts")
      assert.include(names(corpus), "README.md")
      assert.isFalse(corpus.capped)
    })
  )

  it.effect("of a folder that is not there is refused by its name", () =>
    Effect.gen(function* () {
      const folder = yield* folderOf()
      const path = join(folder.path, "missing")
      const error = yield* Effect.flip(read(path))
      assert.strictEqual(error.message, `Cannot read ${path}: there is no such file or folder.`)
      assert.strictEqual(basename(path), "missing")
    })
  )
})
