#!/usr/bin/env node
/** `apium`. Node.js keeps what it has compiled (in the folder for temporary files): some 450 modules then cost a fifth less. */
import * as module from "node:module"

// Bun and Deno have caches of their own, or none.
module.enableCompileCache?.()
const [{ run }, Apium] = await Promise.all([import("./run.ts"), import("./Apium.ts")])

run(Apium.run)
