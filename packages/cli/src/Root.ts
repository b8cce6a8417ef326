/**
 * `apium` and the flags that all its commands share; they may stand before a command, as Celery's have to, and behind it.
 */
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"

export const root = Command.make("apium").pipe(
  Command.withSharedFlags({
    app: Flag.String("app").pipe(
      Flag.withAlias("A"),
      Flag.withMetavar("module"),
      Flag.withDescription("A module whose default export is the layer of handlers: ./tasks.ts"),
      Flag.optional
    ),
    broker: Flag.Redacted("broker").pipe(
      Flag.withAlias("b"),
      Flag.withMetavar("url"),
      Flag.withDescription("Where tasks wait; default: APIUM_BROKER_URL, else memory://"),
      Flag.optional
    ),
    resultBackend: Flag.Redacted("result-backend").pipe(
      Flag.withMetavar("url"),
      Flag.withDescription("Where results are kept; default: APIUM_RESULT_BACKEND, else the broker if it is a Redis"),
      Flag.optional
    ),
    brokerTransportOptions: Flag.Redacted("broker-transport-options").pipe(
      Flag.withMetavar("json"),
      Flag.withDescription("Kombu's options of a Redis; default: APIUM_BROKER_TRANSPORT_OPTIONS"),
      Flag.optional
    ),
    resultBackendTransportOptions: Flag.Redacted("result-backend-transport-options").pipe(
      Flag.withMetavar("json"),
      Flag.withDescription("The same of the result backend; default: APIUM_RESULT_BACKEND_TRANSPORT_OPTIONS"),
      Flag.optional
    )
  })
)
