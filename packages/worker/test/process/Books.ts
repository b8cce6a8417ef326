/** What a worker process under test is told to do, and what it says when it ends. */
export interface Script {
  readonly seed?: number
  /** Sent before the worker starts. Default 100. */
  readonly tasks?: number
  /** Keep sending for as long as the process lives. */
  readonly flow?: boolean
  /** Of those sent before the start: due in 60 days. */
  readonly eta?: number
  /** How long a task takes, in milliseconds. Default 0 to 50. */
  readonly wait?: readonly [least: number, most: number]
  /** Or one of these. */
  readonly waits?: ReadonlyArray<number>
  /** That time begins when the worker has begun to shut down: no task is through before, however late the signal is. */
  readonly held?: boolean
  /** The share of tasks that are acknowledged early. */
  readonly early?: number
  /** Tasks cannot be interrupted. */
  readonly stubborn?: boolean
  /** Say of each task that it has finished. */
  readonly aloud?: boolean
  readonly concurrency?: number
  readonly fetch?: "prefetch" | "exact"
  readonly profile?: "durable" | "celery" | "fast"
  readonly delay?: "broker" | "worker" | undefined
  /** Milliseconds. */
  readonly softTimeout?: number
  readonly remapSigterm?: "SIGQUIT"
  /** What the worker needs takes so long to start, in milliseconds. */
  readonly startup?: number
  /** What the worker needs fails to start, and says so. */
  readonly fails?: string
  /** Ends itself by remote control, as soon as all slots are taken. */
  readonly remote?: boolean
  /** Leaves a timer behind that keeps the process, in milliseconds. */
  readonly lingers?: number
  /** It takes tasks, and is never ready. */
  readonly unready?: boolean
}

export interface Books {
  readonly code: number
  readonly sent: number
  /** How many runs began. */
  readonly started: number
  readonly finished: number
  /** In the queue at the end. */
  readonly givenBack: number
  /** The ids of what was accepted, has no effect, and is not in the queue. */
  readonly lost: ReadonlyArray<string>
  readonly dup: number
  readonly unknown: ReadonlyArray<string>
  readonly interrupted: ReadonlyArray<string>
  readonly startedAfterSignal: ReadonlyArray<string>
  /** Of the scopes of the runs. */
  readonly finalizers: { readonly opened: number; readonly closed: number }
  /** Delivered and neither settled nor given back, when the worker was through. */
  readonly unsettled: number
  /** Of those in the queue: how many the broker counts as delivered before. */
  readonly counted: number
  readonly mostUnsettled: number
  /** What ran when the first signal came would have taken so long, in milliseconds. */
  readonly longest: number
  /** From the first signal to the exit, in milliseconds. */
  readonly took: number
}
