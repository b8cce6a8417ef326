/**
 * What to do with a delivery (celery/worker/strategy.py): run it now, run it later, or settle it at once because it can
 * never be run. Nothing in a message can make this fail: what cannot be understood goes to `<queue>.dead` with its reason,
 * and whoever sent it sees a FAILURE if the message had an id.
 */
import type { Connection } from "@apium/hub/Connection"
import * as DeadLetter from "@apium/hub/DeadLetter"
import * as Delivery from "@apium/hub/Delivery"
import { DecodeFailed, HubError } from "@apium/hub/HubError"
import * as Serializer from "@apium/hub/Serializer"
import * as PythonRepr from "@apium/protocol/celery/PythonRepr"
import type { Failure } from "@apium/protocol/celery/ResultMessage"
import * as TaskMessage from "@apium/protocol/celery/TaskMessage"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Result from "effect/Result"
import type { ResultBackend } from "../client/ResultBackend.ts"
import type { EventDispatcher } from "../events/EventDispatcher.ts"
import * as TaskError from "../task/TaskError.ts"
import type { Registered, Tasks } from "../task/Tasks.ts"
import type { TaskOptions } from "../task/Task.ts"
import * as Callbacks from "./Callbacks.ts"
import type { Discard } from "./Discard.ts"
import * as Fired from "./Fired.ts"
import * as Recount from "./Recount.ts"
import { acksLate, type Request, resultOf } from "./Request.ts"
import type { Results } from "./Results.ts"
import type { Revoked } from "./Revoked.ts"
import * as Settling from "./Settling.ts"

export type Decision =
  | { readonly _tag: "Run"; readonly request: Request }
  /** Not before `until`, in milliseconds since the epoch. */
  | { readonly _tag: "Wait"; readonly request: Request; readonly until: number }
  /** Acknowledged or rejected already. */
  | { readonly _tag: "Settled" }

const defaultMaxDeliveries = 20

/** For a task strategy that has settled the delivery itself. */
export const settled: Decision = { _tag: "Settled" }

export type Strategy = (delivery: Delivery.Delivery) => Effect.Effect<Decision, HubError>

/**
 * A task type's own (Celery's `Task.Strategy`), given to `Tasks.handle`: it sees each readable request before anything is
 * decided. `next` decides as for all others: revoked, given back too often, expired, not due.
 */
export type TaskStrategy = (
  request: Request,
  next: Effect.Effect<Decision, HubError>
) => Effect.Effect<Decision, HubError>

export const make = (dependencies: {
  readonly connection: Connection["Service"]
  readonly tasks: Tasks["Service"]
  readonly results: Results
  readonly events: EventDispatcher["Service"]
  readonly discard: Discard
  readonly revoked: Revoked
  readonly callbacks: Callbacks.Callbacks
  /** Of tasks whose definition says nothing. */
  readonly defaults: Pick<TaskOptions, "acksLate" | "timeLimit" | "softTimeLimit">
  readonly noAck: boolean
  readonly serializers: Serializer.Registry
  readonly backend: ResultBackend["Service"]
}): Strategy => {
  const { connection, tasks, results, events, discard, revoked, callbacks, defaults, noAck, serializers } = dependencies
  const { backend } = dependencies

  /** No task at all, or one nobody can read. */
  const undecodable = (delivery: Delivery.Delivery, text: string, id: string | undefined, failure: Failure) =>
    Effect.gen(function* () {
      yield* Effect.logWarning("Dead-lettered a message that is no readable task", {
        queue: delivery.queue,
        id,
        reason: text
      })
      // Where messages are signed, what was not is not believed in its id either: it may be that of another's task.
      if (id !== undefined && serializers.signed !== true) {
        const of = { id }
        results.address?.(of, delivery.message.properties)
        yield* results.failure(of, failure, null)
      }
      yield* DeadLetter.send(connection, delivery, "undecodable", text)
      return settled
    })

  const invalid = (delivery: Delivery.Delivery, error: TaskMessage.InvalidTask | TaskMessage.UnknownMessage) =>
    undecodable(delivery, error.message, error._tag === "InvalidTask" ? error.id : undefined, {
      excType: error._tag,
      excMessage: [error.message],
      excModule: "celery.exceptions"
    })

  const unreadable = (delivery: Delivery.Delivery, id: string | undefined, error: HubError) =>
    undecodable(delivery, error.message, id, {
      excType: error.reason._tag === "ContentDisallowed" ? "ContentDisallowed" : "DecodeError",
      excMessage: [error.message],
      excModule: "kombu.exceptions"
    })

  /** What was to be called when the task fails is called, though it never ran. */
  const failed = (message: Callbacks.Ended, failure: Failure) =>
    Callbacks.onFailure(message.embed)
      ? Effect.catch(callbacks.onFailure(message, failure, null), (error) =>
          Effect.logWarning("The errbacks of a task could not be sent", {
            id: message.headers.id,
            reason: error.message
          })
        )
      : Effect.void

  /** Who cannot run a task may still read its errbacks. */
  const embedOf = (delivery: Delivery.Delivery, headers: TaskMessage.TaskHeaders): Effect.Effect<TaskMessage.Embed> =>
    Effect.match(
      Effect.flatMap(Serializer.decodeWith(serializers, delivery.message), (payload) =>
        Effect.fromResult(
          Array.isArray(payload) ? decodeBody(headers, payload) : TaskMessage.decode(delivery.message.headers, payload)
        )
      ),
      { onFailure: () => TaskMessage.emptyEmbed, onSuccess: ({ embed }) => embed }
    )

  /** Visible to the sender, as in Celery; and where Celery drops the message, a deployment that lags behind can have it back. */
  const notRegistered = (delivery: Delivery.Delivery, headers: TaskMessage.TaskHeaders) =>
    Effect.gen(function* () {
      yield* Effect.logError("Received a task that is not registered", { task: headers.task, id: headers.id })
      const failure = TaskError.notRegistered(headers.task)
      results.address?.(headers, delivery.message.properties)
      yield* results.failure(headers, failure, null)
      const { replyTo } = delivery.message.properties
      yield* failed({ headers, embed: yield* embedOf(delivery, headers), replyTo }, failure)
      yield* DeadLetter.send(connection, delivery, "unregistered", `no handler for ${headers.task}`)
      if (events.enabled()) {
        const exception = PythonRepr.exceptionRepr(failure.excType, failure.excMessage)
        events.send("task-failed", { uuid: headers.id, exception })
      }
      return settled
    })

  /** Poison: no run of it ever came to an end. */
  const poisonous = (request: Request, deliveries: number) =>
    Effect.gen(function* () {
      const { delivery, message } = request
      const { task, id } = message.headers
      const failure = TaskError.tooManyDeliveries(deliveries)
      yield* Effect.logError("Dead-lettered a task that was given back too often", { task, id, deliveries })
      yield* results.failure(resultOf(request), failure, null)
      yield* failed(Callbacks.endedOf(request), failure)
      yield* DeadLetter.send(connection, delivery, "deliveries", `given back ${deliveries} times`)
      if (events.enabled()) {
        events.send("task-failed", {
          uuid: id,
          exception: PythonRepr.exceptionRepr(failure.excType, failure.excMessage)
        })
      }
      return settled
    })

  const read = (delivery: Delivery.Delivery): Effect.Effect<Decision, HubError> => {
    const { unreadable: broken } = delivery
    if (broken !== undefined) return unreadable(delivery, undefined, headersOf(broken.text))
    const { headers } = delivery.message
    if (TaskMessage.version(headers) !== 2) return readWhole(delivery)
    const decoded = TaskMessage.decodeHeaders(headers)
    if (Result.isFailure(decoded)) return invalid(delivery, decoded.failure)
    // Who cannot run it need not read it, unless it has to be verified.
    return tasks.find(decoded.success.task) === undefined && serializers.signed !== true
      ? notRegistered(delivery, decoded.success)
      : readWhole(delivery, decoded.success)
  }

  const readWhole = (
    delivery: Delivery.Delivery,
    headers?: TaskMessage.TaskHeaders
  ): Effect.Effect<Decision, HubError> => {
    const onSuccess = (payload: unknown) => readPayload(delivery, headers, payload)
    const body = Serializer.decodeWith(serializers, delivery.message)
    // Without decompression it is read by now.
    return Exit.isExit(body) && Exit.isSuccess(body)
      ? onSuccess(body.value)
      : Effect.matchEffect(body, { onFailure: (error) => unreadable(delivery, headers?.id, error), onSuccess })
  }

  const readPayload = (
    delivery: Delivery.Delivery,
    headers: TaskMessage.TaskHeaders | undefined,
    payload: unknown
  ): Effect.Effect<Decision, HubError> => {
    const decoded =
      headers !== undefined && Array.isArray(payload)
        ? decodeBody(headers, payload)
        : TaskMessage.decode(delivery.message.headers, payload)
    return Result.isFailure(decoded) ? invalid(delivery, decoded.failure) : decide(delivery, decoded.success)
  }

  const withDefaults = (registered: Registered): Registered => {
    const known = defaulted.get(registered)
    if (known !== undefined) return known
    const { options } = registered.task
    const {
      acksLate = defaults.acksLate,
      timeLimit = defaults.timeLimit,
      softTimeLimit = defaults.softTimeLimit
    } = options
    const made: Registered = {
      ...registered,
      task: { ...registered.task, options: { ...options, acksLate, timeLimit, softTimeLimit } }
    }
    defaulted.set(registered, made)
    return made
  }
  const counting = Recount.counting(connection)
  let received = 0
  const defaulted = new WeakMap<Registered, Registered>()

  const decide = (delivery: Delivery.Delivery, message: TaskMessage.TaskMessage): Effect.Effect<Decision, HubError> => {
    const { headers } = message
    const found = tasks.find(headers.task)
    if (found === undefined) return notRegistered(delivery, headers)
    const registered = withDefaults(found)
    const request: Request = { delivery, registered, message, sequence: ++received, noAck }
    results.address?.(headers, delivery.message.properties)
    results.describe?.(message, delivery.route.routingKey)
    const begins = Fired.begins(backend, headers)
    return begins === undefined
      ? accept(request)
      : Effect.flatMap(begins, (first) => (first ? accept(request) : repeated(request)))
  }

  /** Of the messages of one body of a chord one counts; whatever would become of this one, it is not told of. */
  const repeated = (request: Request): Effect.Effect<Decision> =>
    Effect.logInfo("A chord's body was sent twice: this message of it is passed over", Settling.about(request)).pipe(
      Effect.andThen(noAck ? Effect.void : Settling.late(request.delivery.ack)),
      Effect.as(settled)
    )

  const accept = (request: Request): Effect.Effect<Decision, HubError> =>
    request.registered.strategy === undefined
      ? judge(request)
      : Effect.flatMap(
          request.registered.strategy(
            request,
            Effect.suspend(() => judge(request))
          ),
          (decision) =>
            // It may have taken its time.
            decision._tag !== "Settled" && revoked.has(request.message.headers)
              ? Effect.as(discard(request, "revoked"), settled)
              : Effect.succeed(decision)
        )

  /** Where the counting is ours, what counts is how often it had a run: the run it was counted for is still to come while it is new. */
  const condemned = (delivery: Delivery.Delivery): boolean =>
    !counting || (delivery.redelivered && Delivery.counted(delivery) !== undefined)

  const judge = (request: Request): Effect.Effect<Decision, HubError> => {
    const { delivery, registered, message } = request
    const { headers } = message
    if (revoked.has(headers)) return Effect.as(discard(request, "revoked"), settled)
    const deliveries = Delivery.deliveries(delivery)
    if (deliveries > 0) {
      const most = registered.task.options.maxDeliveries ?? defaultMaxDeliveries
      if (deliveries >= most && condemned(delivery)) return poisonous(request, deliveries)
      request.suspect = !noAck && acksLate(request) && deliveries >= Math.ceil(most / 2)
    }
    if (headers.eta === null && headers.expires === null) return Effect.succeed({ _tag: "Run", request })
    return Effect.flatMap(Clock.currentTimeMillis, (now) => {
      const until = headers.eta === null ? Result.succeed(now) : TaskMessage.parseEta(headers.eta)
      const expires =
        headers.expires === null ? Result.succeed(Number.POSITIVE_INFINITY) : TaskMessage.parseEta(headers.expires)
      if (Result.isFailure(until)) return invalid(delivery, notATime("eta", headers, until.failure))
      if (Result.isFailure(expires)) return invalid(delivery, notATime("expires", headers, expires.failure))
      const timed: Request = { ...request, expiresAt: expires.success }
      if (expires.success <= now) return Effect.as(discard(timed, "expired"), settled)
      return Effect.succeed<Decision>(
        until.success > now ? { _tag: "Wait", request: timed, until: until.success } : { _tag: "Run", request: timed }
      )
    })
  }

  return read
}

const headersOf = (text: string) =>
  new HubError({ reason: new DecodeFailed({ what: "the headers of a message", text }) })

/** The headers have been read: once is enough. */
const decodeBody = (headers: TaskMessage.TaskHeaders, payload: unknown) =>
  Result.try({
    try: () => TaskMessage.decodeBodyUnsafe(headers, payload),
    catch: (error) => error as TaskMessage.InvalidTask
  })

const notATime = (where: string, { task, id }: TaskMessage.TaskHeaders, error: TaskMessage.InvalidEta) =>
  new TaskMessage.InvalidTask({ message: `headers.${where}: ${error.message}`, where: `headers.${where}`, task, id })
