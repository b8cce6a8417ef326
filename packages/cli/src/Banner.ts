/** What a worker says when it starts, laid out as Celery's banner (celery/apps/worker.py `startup_info`). */
import type { Queue } from "@apium/hub/Queue"
import * as Shown from "@apium/worker/control/Shown"
import * as os from "node:os"
import { timestamp } from "./Log.ts"
import { printable } from "./Text.ts"
import { version } from "./Version.ts"

export interface Banner {
  readonly nodename: string
  readonly app: string
  readonly transport: string
  readonly results: string
  /** `10`, or `{min=2, max=10}`. */
  readonly concurrency: string
  readonly pool: string
  readonly events: boolean
  readonly queues: ReadonlyArray<Queue>
  readonly tasks: ReadonlyArray<string>
  readonly date: Date
}

const { bun, deno, node } = process.versions

export const runtime = deno !== undefined ? `Deno ${deno}` : bun !== undefined ? `Bun ${bun}` : `Node ${node}`

const queueLine = (queue: Queue): string => {
  const { exchange, name, routing_key } = Shown.queue(queue)
  return `.> ${name.padEnd(16)} exchange=${exchange.name}(${exchange.type}) key=${routing_key}`
}

export const render = (banner: Banner): string =>
  [
    "",
    `${banner.nodename} v${version} (apium)`,
    "",
    `${os.type()}-${os.release()}-${os.arch()} ${runtime} ${timestamp(banner.date)}`,
    "",
    "[config]",
    `.> app:         ${banner.app}`,
    `.> transport:   ${banner.transport}`,
    `.> results:     ${banner.results}`,
    `.> concurrency: ${banner.concurrency} (${banner.pool})`,
    `.> task events: ${banner.events ? "ON" : "OFF (enable -E to monitor tasks in this worker)"}`,
    "",
    "[queues]",
    ...banner.queues.map(queueLine),
    "",
    "[tasks]",
    ...(banner.tasks.length === 0 ? ["  (none)"] : banner.tasks.map((task) => `  . ${task}`)),
    ""
  ]
    .map(printable)
    .join("\n")
