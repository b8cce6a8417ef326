/** The same queues, routes and tasks on both sides: what Python's app says in its configuration, and what ours says. */
import * as Exchange from "@apium/hub/Exchange"
import * as Queue from "@apium/hub/Queue"
import type { SendOptions } from "@apium/worker/client/Client"
import type * as Routes from "@apium/worker/client/Routes"
import { pipe } from "effect"

/** `prefix` keeps the queues of one worker from those of another. */
export const app = (prefix: string): string => `
import json, os, sys
from celery import Celery
from kombu import Exchange, Queue
from kombu.common import Broadcast
from celery.utils.nodenames import worker_direct
app = Celery("routing", broker=os.environ["BROKER"], backend=os.environ["BACKEND"])
P = "${prefix}"
app.conf.task_default_queue = P + "default"
app.conf.task_queues = [
    Queue(P + "default", Exchange(P + "default"), routing_key=P + "default"),
    Queue(P + "mail", Exchange(P + "mails"), routing_key="letter"),
    Queue(P + "feeds", Exchange(P + "fx", "topic"), routing_key="feed.#"),
    Broadcast("reload", routing_key="reload"),
]
app.conf.task_routes = [
    {"r.mail": P + "mail", "r.feeds": {"queue": P + "feeds"}, "r.both": {"queue": P + "feeds", "routing_key": "feed.both"},
     "r.exchange": {"exchange": P + "fx", "routing_key": "feed.there"}, "r.empty": {},
     "r.reload": {"queue": "reload", "exchange": "reload"}, "r.priority": {"priority": 4}},
    [("r.glob.*", {"queue": P + "feeds", "routing_key": "feed.glob"}), ("r.*", {"queue": P + "mail"})],
]
def as_task(name, options):
    @app.task(name=name, bind=True, **options)
    def where(self, *args):
        if args:
            sys.stdout.write("ran %s" % args[0])
        info = self.request.delivery_info
        # A task with a definition has no priority where nobody said one, one by its name has 0.
        return [info["exchange"], info["routing_key"], info["priority"] or 0]
    return where
`

export const queues = (prefix: string): ReadonlyArray<Queue.Queue> => [
  pipe(Queue.make(`${prefix}default`), Queue.bindTo(Exchange.direct(`${prefix}default`), `${prefix}default`)),
  pipe(Queue.make(`${prefix}mail`), Queue.bindTo(Exchange.direct(`${prefix}mails`), "letter")),
  pipe(Queue.make(`${prefix}feeds`), Queue.bindTo(Exchange.topic(`${prefix}fx`), "feed.#")),
  Queue.broadcast("reload", { routingKey: "reload" })
]

export const routes = (prefix: string): Routes.Routes => [
  {
    "r.mail": `${prefix}mail`,
    "r.feeds": { queue: `${prefix}feeds` },
    "r.both": { queue: `${prefix}feeds`, routingKey: "feed.both" },
    "r.exchange": { exchange: `${prefix}fx`, routingKey: "feed.there" },
    "r.empty": {},
    "r.reload": { queue: "reload", exchange: "reload" },
    "r.priority": { priority: 4 }
  },
  [
    ["r.glob.*", { queue: `${prefix}feeds`, routingKey: "feed.glob" }],
    ["r.*", { queue: `${prefix}mail` }]
  ]
]

export interface Case {
  readonly name: string
  /** What the send says. */
  readonly send?: Pick<SendOptions, "exchange" | "routingKey" | "priority"> & { readonly queue?: string }
  /** What the task's definition says. */
  readonly task?: { readonly queue?: string; readonly priority?: number }
}

/** Each of these arrives somewhere. */
export const cases = (p: string): ReadonlyArray<Case> => [
  { name: "none" },
  { name: "r.empty" },
  { name: "r.mail" },
  { name: "r.feeds" },
  { name: "r.both" },
  { name: "r.exchange" },
  { name: "r.priority" },
  { name: "r.glob.any" },
  { name: "r.others" },
  { name: "none", send: { queue: `${p}mail` } },
  { name: "none", send: { queue: `${p}feeds` } },
  { name: "none", send: { queue: `${p}feeds`, routingKey: "feed.said" } },
  { name: "none", send: { exchange: `${p}fx`, routingKey: "feed.said" } },
  { name: "none", send: { exchange: `${p}mails`, routingKey: "letter" } },
  { name: "none", send: { queue: `${p}mail`, exchange: `${p}fx`, routingKey: "feed.said" } },
  { name: "none", task: { queue: `${p}feeds` } },
  { name: "r.mail", task: { queue: `${p}feeds` } },
  { name: "r.mail", task: { queue: `${p}feeds` }, send: { queue: `${p}default` } },
  { name: "r.feeds", send: { queue: `${p}mail` } },
  { name: "r.both", send: { routingKey: "feed.said" } },
  { name: "r.both", send: { queue: `${p}mail` } },
  { name: "r.exchange", send: { queue: `${p}mail` } },
  { name: "r.exchange", task: { queue: `${p}mail` } },
  { name: "r.priority", task: { priority: 7 } },
  { name: "r.priority", task: { priority: 7 }, send: { priority: 2 } },
  { name: "r.glob.any", send: { queue: `${p}default` } }
]

export const python = (cases: ReadonlyArray<Case>): string =>
  JSON.stringify(
    cases.map(({ name, send = {}, task = {} }) => [
      name,
      {
        ...(send.queue === undefined ? {} : { queue: send.queue }),
        ...(send.exchange === undefined ? {} : { exchange: send.exchange }),
        ...(send.routingKey === undefined ? {} : { routing_key: send.routingKey }),
        ...(send.priority === undefined ? {} : { priority: send.priority })
      },
      task
    ])
  )
