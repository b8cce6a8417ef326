/**
 * What may be said of a task that is sent, and the message it makes (celery/app/task.py `apply_async`, celery/app/amqp.py
 * `as_task_v2`).
 */
import type { Arguments } from "@apium/hub/Exchange"
import type { Queue } from "@apium/hub/Queue"
import * as PythonRepr from "@apium/protocol/celery/PythonRepr"
import type { Signature as WireSignature } from "@apium/protocol/celery/Signature"
import * as TaskMessage from "@apium/protocol/celery/TaskMessage"
import type { KombuJson } from "@apium/protocol/kombu/Json"
import * as Duration from "effect/Duration"
import * as Countdown from "../task/Countdown.ts"
import type { TaskOptions } from "../task/Task.ts"
import type { TaskContext } from "../task/TaskContext.ts"
import type { Outgoing } from "./Outgoing.ts"
import * as PublishRetry from "./PublishRetry.ts"
import type { Router } from "./Router.ts"
import type * as Signature from "./Signature.ts"

export interface SendOptions {
  /** Default: a new UUID. */
  readonly taskId?: string | undefined
  /** Not before this much time has passed. */
  readonly countdown?: Countdown.Countdown | undefined
  /** Not before this time. */
  readonly eta?: Date | undefined
  /** Revoked if nobody started it by then; a duration also lets the broker drop the message, in the profiles that say so. */
  readonly expires?: Countdown.Countdown | Date | undefined
  /** By its name or its alias, or one that need not be described elsewhere (`Queue.workerDirect`). */
  readonly queue?: string | Queue | undefined
  /** With `routingKey`: published there as it is, and nothing is declared. Without one, the key is that of the queue described there. */
  readonly exchange?: string | undefined
  /** Of a queue that is bound to a topic, instead of the queue's own. */
  readonly routingKey?: string | undefined
  readonly priority?: number | undefined
  /** Headers of your own; they travel at the top level, next to Celery's, and through retries. */
  readonly headers?: Arguments | undefined
  /** A name to show instead of the task's. */
  readonly shadow?: string | undefined
  readonly ignoreResult?: boolean | undefined
  readonly serializer?: string | undefined
  readonly compression?: string | undefined
  /** Callbacks: sent by the worker when the task has succeeded, with its result (`task.partial`, `task.si`). */
  readonly link?: Signature.Any | ReadonlyArray<Signature.Any> | undefined
  /** Errbacks: sent when the task has failed, with its id as the first argument. */
  readonly linkError?: Signature.Any | ReadonlyArray<Signature.Any> | undefined
  /** The hard limit of this one run, instead of the task's own. */
  readonly timeLimit?: Countdown.Countdown | undefined
  readonly softTimeLimit?: Countdown.Countdown | undefined
  /** `false`: a publish that fails is not tried again, and waits for no link. Default: the client's `publishRetry`. */
  readonly retry?: boolean | undefined
  readonly retryPolicy?: PublishRetry.Policy | undefined
}

/** When, inside of which task, and with which callbacks something is sent. */
export interface Moment {
  /** Where a backend listens that gets results as messages. */
  readonly replyTo: string | undefined
  readonly now: number
  readonly parent: TaskContext["Service"] | undefined
  /** The headers of the trace that it goes on in. */
  readonly trace: Arguments | undefined
  readonly link: ReadonlyArray<WireSignature> | null
  readonly linkError: ReadonlyArray<WireSignature> | null
}

/** The client: what its tasks say of it, and where they go. */
export interface Sender {
  readonly client: string
  readonly router: Router
  readonly origin: string
  readonly publishRetry: PublishRetry.PublishRetry | undefined
}

export interface Call {
  readonly args: ReadonlyArray<KombuJson>
  readonly kwargs: Readonly<Record<string, KombuJson>>
}

/** One task. Throws for a time that is none, for options that contradict each other, and what the router throws. */
export const outgoingUnsafe = (
  name: string,
  call: Call,
  task: TaskOptions,
  send: SendOptions,
  { now, parent, trace, replyTo, link, linkError }: Moment,
  { client, origin, publishRetry, router }: Sender
): Outgoing => {
  const id = send.taskId ?? newId()
  const route = router.route(name, call, send, task)
  const to = router.destination(send, task.queue, route)
  if (send.routingKey !== undefined && to.routingKey !== send.routingKey) {
    throw new RangeError("routingKey is of an exchange: name it, or a queue that is bound to a topic")
  }
  if (id === "") throw new RangeError("taskId is empty: leave it out, and the task gets one")
  const eta = send.countdown === undefined ? send.eta?.getTime() : now + Duration.toMillis(send.countdown)
  const expires = send.expires ?? task.expires ?? route?.expires
  const headers = send.headers ?? route?.headers
  const waits = expires === undefined || expires instanceof Date ? undefined : Duration.toMillis(expires)
  const expiresAt = expires instanceof Date ? expires.getTime() : waits === undefined ? undefined : now + waits
  return {
    task: {
      headers: TaskMessage.makeHeaders({
        task: name,
        id,
        shadow: send.shadow ?? null,
        eta: eta === undefined ? null : timeOf("eta", eta),
        expires: expiresAt === undefined ? null : timeOf("expires", expiresAt),
        argsrepr: PythonRepr.argsRepr(call.args),
        kwargsrepr: PythonRepr.kwargsRepr(call.kwargs),
        origin,
        ignoreResult: send.ignoreResult ?? task.ignoreResult,
        timelimit:
          send.timeLimit === undefined && send.softTimeLimit === undefined
            ? undefined
            : [Countdown.toSeconds(send.timeLimit), Countdown.toSeconds(send.softTimeLimit)],
        rootId: parent?.rootId,
        parentId: parent?.id,
        extra: headers === undefined && trace === undefined ? undefined : { ...trace, ...headers }
      }),
      args: call.args,
      kwargs: call.kwargs,
      embed:
        link === null && linkError === null
          ? TaskMessage.emptyEmbed
          : { ...TaskMessage.emptyEmbed, callbacks: link, errbacks: linkError }
    },
    to,
    priority: send.priority ?? task.priority ?? route?.priority ?? 0,
    replyTo: replyTo ?? client,
    // A broker refuses the whole channel for a negative one.
    expiration: waits === undefined ? undefined : Math.max(0, Math.ceil(waits)),
    notBefore: eta,
    serializer: send.serializer ?? route?.serializer,
    compression: send.compression ?? route?.compression,
    publishRetry:
      send.retry === undefined && send.retryPolicy === undefined
        ? undefined
        : PublishRetry.over(publishRetry ?? true, send)
  }
}

/** In one piece: V8 keeps the 17 pieces it makes an UUID of, 480 bytes instead of 56, until somebody has to look inside. */
const newId = (): string => crypto.randomUUID().toLowerCase()

/** Throws for an invalid Date, and for a time Python cannot hold. */
const timeOf = (option: "eta" | "expires", epochMillis: number): string => {
  try {
    return TaskMessage.formatEta(epochMillis)
  } catch (error) {
    throw new RangeError(`${option} is no time a message can carry: ${(error as RangeError).message}`)
  }
}
