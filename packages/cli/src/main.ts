#!/usr/bin/env node
/** `apium`. */
import * as Apium from "./Apium.ts"
import { run } from "./run.ts"

run(Apium.run)
