/**
 * Where the demo's tasks wait. Never in `celery`: over a broker that others use, their tasks stay theirs, and their workers
 * leave these alone.
 */
import * as Queue from "@apium/hub/Queue"

/** Of `demo producer` and `demo worker`. */
export const shared = Queue.make("demo")

/** Of one `demo`, whose results nobody else may have. It outlives a link that is lost, and goes when nobody has come back. */
export const own = (run: string): Queue.Queue => Queue.expires("1 minute")(Queue.make(`demo.${run}`))
