/**
 * vitest's `globalSetup` of projects whose tests use `Python`: its packages are there before any of them runs. A file that began while
 * another one's `apt-get` was unpacking them would find the folder it looks for, and half of what belongs there.
 */
import { Effect } from "effect"
import * as Python from "../Python.ts"

/** Where they cannot be installed, the tests that need them say so. */
export const setup = (): Promise<void> => Effect.runPromise(Effect.ignore(Python.installed))
