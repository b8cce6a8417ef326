import * as TransportSuite from "@apium/hub/testing/TransportSuite"
import * as FakeBroker from "@apium/transport-amqp/testing/FakeBroker"
import { Layer } from "effect"

const options = {
  timeout: "3 minutes",
  skip: { "a requeued message goes behind those that wait": "on AMQP it goes back to where it was" }
} as const

TransportSuite.suite("FakeBroker, as RabbitMQ 3.10", Layer.orDie(FakeBroker.layer()), options)

TransportSuite.suite("FakeBroker, as RabbitMQ 4.3", Layer.orDie(FakeBroker.layer({ profile: "strict43" })), options)
