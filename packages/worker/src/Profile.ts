/**
 * How much a message is worth: three sets of plain options (Celery has the second). Each can be changed by itself:
 * `profile: { ...Profile.durable, delay: "worker" }`.
 *
 * | | `durable` | `celery` | `fast` |
 * | --- | --- | --- | --- |
 * | a worker that dies | loses nothing, its tasks run again | loses what ran | loses what it held |
 * | a publish that returned | is in a queue | was sent | was sent |
 * | a task that is not due | waits in the broker | waits in a worker | waits in a worker |
 * | a task that is too late | is REVOKED by a worker | is dropped by the broker | is dropped by the broker |
 */
export interface Profile {
  /** The default of tasks that do not say themselves: acknowledge after the run, or before it. */
  readonly acksLate: boolean
  /** Consume without acknowledgements: at most once. */
  readonly noAck: boolean
  /** Wait until the broker has taken a task. */
  readonly confirm: boolean
  /** A task that no queue takes is an error. */
  readonly mandatory: boolean
  /** Who keeps a task until it is due: the broker, where it can. */
  readonly delay: "broker" | "worker"
  /**
   * Who drops a task that nobody started in time. The broker does so without a word (`expiration`, as Celery sends it), and who
   * waits for it waits for ever; a worker stores REVOKED.
   */
  readonly expiry: "broker" | "worker"
}

/** The default: nothing that was accepted is lost. */
export const durable: Profile = {
  acksLate: true,
  noAck: false,
  confirm: true,
  mandatory: true,
  delay: "broker",
  expiry: "worker"
}

/** What Celery 5 does unless told otherwise: early acknowledgement, no confirms, the worker holds what is not due. */
export const celery: Profile = {
  acksLate: false,
  noAck: false,
  confirm: false,
  mandatory: false,
  delay: "worker",
  expiry: "broker"
}

/** At most once, and nobody waits for the broker. */
export const fast: Profile = {
  acksLate: false,
  noAck: true,
  confirm: false,
  mandatory: false,
  delay: "worker",
  expiry: "broker"
}
