/** vitest's `globalSetup` of projects whose tests use `Redis.shared`. */
import type { TestProject } from "vitest/node"
import * as Redis from "../Redis.ts"
import { shared } from "./shared.ts"

const node = shared("redis", Redis.start())

export const setup = async ({ provide }: TestProject): Promise<void> => provide("redis", (await node.acquire()).node)

export const teardown = (): Promise<void> => node.release()
