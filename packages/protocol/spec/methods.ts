/**
 * Every method of AMQP 0-9-1 and of RabbitMQ's extensions: the numbers, who may send it, what answers it, its fields in their order. Written from the
 * specification and RabbitMQ's documentation; `generate.ts` makes `src/amqp/Method.ts` of it.
 *
 * A field is `name:type`, or `:type` where it is reserved: written as zero or empty, read and forgotten. Bits that follow each other share an octet.
 */
export type FieldType =
  | "octet"
  | "short"
  | "long"
  | "longlong"
  | "bit"
  | "shortstr"
  | "longtext"
  | "longbytes"
  | "table"

export interface MethodSpec {
  readonly id: number
  readonly name: string
  readonly sentBy: "client" | "server" | "both"
  readonly fields: string
  /** Names of the methods of the same class that answer it. */
  readonly replies?: ReadonlyArray<string>
  /** Followed by a content header and a body. */
  readonly content?: true
  readonly doc: string
}

export interface ClassSpec {
  readonly id: number
  readonly name: string
  readonly methods: ReadonlyArray<MethodSpec>
}

const method = (
  id: number,
  name: string,
  sentBy: MethodSpec["sentBy"],
  fields: string,
  doc: string,
  replies?: ReadonlyArray<string>
): MethodSpec => ({ id, name, sentBy, fields, doc, ...(replies === undefined ? {} : { replies }) })

const withContent = (spec: MethodSpec): MethodSpec => ({ ...spec, content: true })

const close = "replyCode:short replyText:shortstr classId:short methodId:short"

export const classes: ReadonlyArray<ClassSpec> = [
  {
    id: 60,
    name: "basic",
    methods: [
      method(
        60,
        "deliver",
        "server",
        "consumerTag:shortstr deliveryTag:longlong redelivered:bit exchange:shortstr routingKey:shortstr",
        "A message for a consumer."
      ),
      method(
        40,
        "publish",
        "client",
        ":short exchange:shortstr routingKey:shortstr mandatory:bit immediate:bit",
        "A message for an exchange."
      ),
      method(
        80,
        "ack",
        "both",
        "deliveryTag:longlong multiple:bit",
        "Deliveries are done; from a server, publishes are confirmed."
      ),
      method(
        120,
        "nack",
        "both",
        "deliveryTag:longlong multiple:bit requeue:bit",
        "RabbitMQ's: deliveries are refused; from a server, publishes are lost."
      ),
      method(90, "reject", "client", "deliveryTag:longlong requeue:bit", "One delivery is refused."),
      method(
        50,
        "return",
        "server",
        "replyCode:short replyText:shortstr exchange:shortstr routingKey:shortstr",
        "A mandatory message that no queue takes."
      ),
      method(
        10,
        "qos",
        "client",
        "prefetchSize:long prefetchCount:short global:bit",
        "How many deliveries may be unacknowledged.",
        ["qos-ok"]
      ),
      method(11, "qos-ok", "server", "", "Answers basic.qos."),
      method(
        20,
        "consume",
        "client",
        ":short queue:shortstr consumerTag:shortstr noLocal:bit noAck:bit exclusive:bit nowait:bit arguments:table",
        "Starts a consumer.",
        ["consume-ok"]
      ),
      method(21, "consume-ok", "server", "consumerTag:shortstr", "Answers basic.consume."),
      method(
        30,
        "cancel",
        "both",
        "consumerTag:shortstr nowait:bit",
        "Ends a consumer; from a server, it has ended (consumer_cancel_notify).",
        ["cancel-ok"]
      ),
      method(31, "cancel-ok", "both", "consumerTag:shortstr", "Answers basic.cancel."),
      method(70, "get", "client", ":short queue:shortstr noAck:bit", "One message, now.", ["get-ok", "get-empty"]),
      method(
        71,
        "get-ok",
        "server",
        "deliveryTag:longlong redelivered:bit exchange:shortstr routingKey:shortstr messageCount:long",
        "Answers basic.get."
      ),
      method(72, "get-empty", "server", ":shortstr", "Answers basic.get: there is none."),
      method(100, "recover-async", "client", "requeue:bit", "Deprecated: basic.recover that nobody answers."),
      method(110, "recover", "client", "requeue:bit", "Unacknowledged deliveries are to come again.", ["recover-ok"]),
      method(111, "recover-ok", "server", "", "Answers basic.recover.")
    ].map((spec) => (["deliver", "publish", "return", "get-ok"].includes(spec.name) ? withContent(spec) : spec))
  },
  {
    id: 10,
    name: "connection",
    methods: [
      method(
        10,
        "start",
        "server",
        "versionMajor:octet versionMinor:octet serverProperties:table mechanisms:longtext locales:longtext",
        "The first thing a server says. Mechanisms and locales are separated by blanks.",
        ["start-ok"]
      ),
      method(
        11,
        "start-ok",
        "client",
        "clientProperties:table mechanism:shortstr response:longbytes locale:shortstr",
        "Answers connection.start. The response holds the credentials."
      ),
      method(20, "secure", "server", "challenge:longbytes", "A further step of the mechanism.", ["secure-ok"]),
      method(21, "secure-ok", "client", "response:longbytes", "Answers connection.secure. A secret."),
      method(
        30,
        "tune",
        "server",
        "channelMax:short frameMax:long heartbeat:short",
        "The server's limits; the heartbeat is in seconds; 0 is no limit.",
        ["tune-ok"]
      ),
      method(
        31,
        "tune-ok",
        "client",
        "channelMax:short frameMax:long heartbeat:short",
        "The limits of this connection."
      ),
      method(40, "open", "client", "virtualHost:shortstr :shortstr :bit", "Enters a virtual host.", ["open-ok"]),
      method(41, "open-ok", "server", ":shortstr", "Answers connection.open."),
      method(50, "close", "both", close, "The connection ends, and why.", ["close-ok"]),
      method(51, "close-ok", "both", "", "Answers connection.close: the last frame."),
      method(60, "blocked", "both", "reason:shortstr", "RabbitMQ's: publishers have to wait (memory or disk)."),
      method(61, "unblocked", "both", "", "RabbitMQ's: publishers may go on."),
      method(
        70,
        "update-secret",
        "client",
        "newSecret:longbytes reason:shortstr",
        "RabbitMQ's: a fresh token for this connection.",
        ["update-secret-ok"]
      ),
      method(71, "update-secret-ok", "server", "", "Answers connection.update-secret.")
    ]
  },
  {
    id: 20,
    name: "channel",
    methods: [
      method(10, "open", "client", ":shortstr", "Opens a channel.", ["open-ok"]),
      method(11, "open-ok", "server", ":longbytes", "Answers channel.open."),
      method(20, "flow", "both", "active:bit", "The peer is to send content, or to stop.", ["flow-ok"]),
      method(21, "flow-ok", "both", "active:bit", "Answers channel.flow."),
      method(40, "close", "both", close, "The channel ends, and why.", ["close-ok"]),
      method(41, "close-ok", "both", "", "Answers channel.close: the number is free.")
    ]
  },
  {
    id: 30,
    name: "access",
    methods: [
      method(
        10,
        "request",
        "client",
        "realm:shortstr exclusive:bit passive:bit active:bit write:bit read:bit",
        "Of AMQP 0-8; RabbitMQ still answers it.",
        ["request-ok"]
      ),
      method(11, "request-ok", "server", "ticket:short", "Answers access.request.")
    ]
  },
  {
    id: 40,
    name: "exchange",
    methods: [
      method(
        10,
        "declare",
        "client",
        ":short exchange:shortstr type:shortstr passive:bit durable:bit autoDelete:bit internal:bit nowait:bit arguments:table",
        "Makes an exchange, or asks whether there is one.",
        ["declare-ok"]
      ),
      method(11, "declare-ok", "server", "", "Answers exchange.declare."),
      method(20, "delete", "client", ":short exchange:shortstr ifUnused:bit nowait:bit", "Deletes an exchange.", [
        "delete-ok"
      ]),
      method(21, "delete-ok", "server", "", "Answers exchange.delete."),
      method(
        30,
        "bind",
        "client",
        ":short destination:shortstr source:shortstr routingKey:shortstr nowait:bit arguments:table",
        "RabbitMQ's: binds an exchange to an exchange.",
        ["bind-ok"]
      ),
      method(31, "bind-ok", "server", "", "Answers exchange.bind."),
      method(
        40,
        "unbind",
        "client",
        ":short destination:shortstr source:shortstr routingKey:shortstr nowait:bit arguments:table",
        "RabbitMQ's: takes such a binding away.",
        ["unbind-ok"]
      ),
      method(51, "unbind-ok", "server", "", "Answers exchange.unbind.")
    ]
  },
  {
    id: 50,
    name: "queue",
    methods: [
      method(
        10,
        "declare",
        "client",
        ":short queue:shortstr passive:bit durable:bit exclusive:bit autoDelete:bit nowait:bit arguments:table",
        "Makes a queue, or asks whether there is one. Without a name the server makes one.",
        ["declare-ok"]
      ),
      method(
        11,
        "declare-ok",
        "server",
        "queue:shortstr messageCount:long consumerCount:long",
        "Answers queue.declare."
      ),
      method(
        20,
        "bind",
        "client",
        ":short queue:shortstr exchange:shortstr routingKey:shortstr nowait:bit arguments:table",
        "Binds a queue to an exchange.",
        ["bind-ok"]
      ),
      method(21, "bind-ok", "server", "", "Answers queue.bind."),
      method(30, "purge", "client", ":short queue:shortstr nowait:bit", "Drops what waits in a queue.", ["purge-ok"]),
      method(31, "purge-ok", "server", "messageCount:long", "Answers queue.purge."),
      method(40, "delete", "client", ":short queue:shortstr ifUnused:bit ifEmpty:bit nowait:bit", "Deletes a queue.", [
        "delete-ok"
      ]),
      method(41, "delete-ok", "server", "messageCount:long", "Answers queue.delete."),
      method(
        50,
        "unbind",
        "client",
        ":short queue:shortstr exchange:shortstr routingKey:shortstr arguments:table",
        "Takes a binding away.",
        ["unbind-ok"]
      ),
      method(51, "unbind-ok", "server", "", "Answers queue.unbind.")
    ]
  },
  {
    id: 85,
    name: "confirm",
    methods: [
      method(10, "select", "client", "nowait:bit", "RabbitMQ's: publishes on this channel are to be confirmed.", [
        "select-ok"
      ]),
      method(11, "select-ok", "server", "", "Answers confirm.select.")
    ]
  },
  {
    id: 90,
    name: "tx",
    methods: [
      method(10, "select", "client", "", "Makes the channel transactional.", ["select-ok"]),
      method(11, "select-ok", "server", "", "Answers tx.select."),
      method(20, "commit", "client", "", "Ends the transaction: it happened.", ["commit-ok"]),
      method(21, "commit-ok", "server", "", "Answers tx.commit."),
      method(30, "rollback", "client", "", "Ends the transaction: it did not happen.", ["rollback-ok"]),
      method(31, "rollback-ok", "server", "", "Answers tx.rollback.")
    ]
  }
]
