import * as TransportSuite from "@apium/hub/testing/TransportSuite"
import * as FakeBroker from "@apium/transport-amqp/testing/FakeBroker"
import { Layer } from "effect"

const skip = {
  "a requeued message goes behind those that wait": "on AMQP it goes back to where it was"
}

TransportSuite.suite("FakeBroker, as RabbitMQ 3.10", Layer.orDie(FakeBroker.layer()), { skip })

TransportSuite.suite("FakeBroker, as RabbitMQ 4.3", Layer.orDie(FakeBroker.layer({ profile: "strict43" })), { skip })
