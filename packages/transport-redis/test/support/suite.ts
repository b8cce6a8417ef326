/** The transport's own suite, on Redis however it is found. */
import type { Transport } from "@apium/hub/Transport"
import * as TransportSuite from "@apium/hub/testing/TransportSuite"
import type { Layer } from "effect"

const priorities = "every queue of kombu on Redis has priorities"
const known = "bindings are known, so it is returned here too; only of the nameless exchange nobody can know"
const age = "kombu keeps no time with a message: `expiration` is carried, and not kept"
const fanout = "a fanout exchange of kombu on Redis reaches who consumes at that moment, and keeps nothing for later"

export const suite = (name: string, layer: Layer.Layer<Transport>): void =>
  TransportSuite.suite(name, layer, {
    timeout: "2 minutes",
    skip: {
      "a queue without priorities ignores them": priorities,
      "a mandatory message that an exchange routes nowhere fails with Returned": known,
      "a message whose time to live is over is not delivered": age,
      "a message whose time is over goes to the dead-letter exchange": age,
      "a message that would be dead-lettered in a circle by its age alone is dropped": age,
      "x-death counts how often a message died in the same queue, the newest death first": fanout,
      "a fanout exchange routes to all queues, whatever the key": fanout,
      "an unbound queue gets no more, and unbinding what is not bound is no error": fanout,
      "a queue deleted and declared again is empty and bound to nothing": fanout,
      "a deleted exchange routes no more, and deleting it again is no error": fanout
    }
  })
