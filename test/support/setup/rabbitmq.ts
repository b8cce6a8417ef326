/** vitest's `globalSetup` of projects whose tests use `RabbitMq.shared`: started for the first of them in a run, stopped after the last. */
import type { TestProject } from "vitest/node"
import * as RabbitMq from "../RabbitMq.ts"
import { shared } from "./shared.ts"

const node = shared("rabbitmq", RabbitMq.start())

export const setup = async ({ provide }: TestProject): Promise<void> => provide("rabbitmq", (await node.acquire()).node)

export const teardown = (): Promise<void> => node.release()
