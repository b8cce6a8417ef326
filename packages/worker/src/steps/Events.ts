/**
 * The step that tells the world (celery/worker/consumer/events.py). Requires the connection, and the logical clock of the
 * worker; the steps that run tasks require it, so that it sends what they said last.
 */
export { layer, type Options } from "../events/EventDispatcher.ts"
