/**
 * What one thing at a time takes: a request and its answer (queue.declare, passive), and a connection with a channel on it (TCP_NODELAY where the client has
 * an option for it; closing is not measured).
 */
import { contestant } from "./amqp/contestant.ts"
import * as Bench from "./Bench.ts"

const peers = ["amqplib", "rabbitmq-client", "cloudamqp"] as const

const latency = (
  title: string,
  unit: string,
  work: "rpc" | "connect",
  operations: number,
  rounds: number,
  claims: ReadonlyArray<Bench.Claim>
): Bench.Compared =>
  Bench.compared({
    title: `amqp-latency: ${title}`,
    unit,
    operations,
    rounds,
    // Programs connect and ask for longer than it takes V8 to compile what they do.
    warmUp: 8,
    contestants: [
      contestant("raw", "raw", work, operations),
      contestant("apium", "apium", work, operations),
      ...peers.map((peer) => contestant(peer, peer, work, operations))
    ],
    claims: [
      ...claims,
      ...peers.map((ours): Bench.Claim => ({ what: `${ours} p50, of raw`, measure: "p50", ours, theirs: "raw" }))
    ]
  })

export default [
  latency("a request and its answer", "requests", "rpc", 1000, 21, [
    { what: "apium p50, of raw", measure: "p50", ours: "apium", theirs: "raw", floor: 1.1, aim: 1.05 },
    { what: "apium p99, of raw", measure: "p99", ours: "apium", theirs: "raw", floor: 1.3, aim: 1.1 }
  ]),
  latency("connection and channel", "connections", "connect", 40, 15, [
    { what: "apium p50, of raw", measure: "p50", ours: "apium", theirs: "raw", floor: 1.15, aim: 1 }
  ])
]
