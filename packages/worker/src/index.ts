/**
 * Celery for TypeScript. Each module is a namespace here, or its one class, and a subpath of its own
 * (`@apium/worker/task/Task`), which keeps bundles small.
 *
 * @module
 */
export * as Beat from "./beat/Beat.ts"
export * as Schedule from "./beat/Schedule.ts"
export * as AsyncResult from "./client/AsyncResult.ts"
export * as Blueprint from "./Blueprint.ts"
export { Client } from "./client/Client.ts"
export * as MemoryBackend from "./client/backends/MemoryBackend.ts"
export { ResultBackend } from "./client/ResultBackend.ts"
export * as Signature from "./client/Signature.ts"
export * as Control from "./control/Control.ts"
export { Panel } from "./control/Panel.ts"
export * as EventDispatcher from "./events/EventDispatcher.ts"
export * as EventReceiver from "./events/EventReceiver.ts"
export { LogicalClock } from "./events/LogicalClock.ts"
export { Pool } from "./execution/Pool.ts"
export * as ChildPool from "./execution/pools/ChildPool.ts"
export * as FiberPool from "./execution/pools/FiberPool.ts"
export * as InlinePool from "./execution/pools/InlinePool.ts"
export { Requests } from "./execution/Requests.ts"
export * as Profile from "./Profile.ts"
export * as Shutdown from "./Shutdown.ts"
export * as Retry from "./task/Retry.ts"
export * as Task from "./task/Task.ts"
export { TaskContext } from "./task/TaskContext.ts"
export * as TaskError from "./task/TaskError.ts"
export { Tasks } from "./task/Tasks.ts"
export * as Worker from "./Worker.ts"
