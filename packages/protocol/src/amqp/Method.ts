/**
 * The methods of AMQP 0-9-1 and of RabbitMQ's extensions, both directions. Generated from `spec/methods.ts` by `spec/generate.ts`: change those.
 *
 * A method is an object with its name in `_tag` and all of its fields; the functions make one with what is left out being zero, empty or false. Delivery
 * tags and counts are numbers: beyond 2^53 they are refused.
 */
import * as Result from "effect/Result"
import { ByteReader } from "../internal/byteReader.ts"
import { ByteWriter } from "../internal/byteWriter.ts"
import { readTable, writeTable } from "../internal/table.ts"
import { AmqpError, type InvalidValue } from "./AmqpError.ts"
import * as Constants from "./Constants.ts"
import type { FieldTable } from "./FieldTable.ts"

type Fields<M> = { readonly [K in keyof Omit<M, "_tag">]?: M[K] | undefined }

const noOctets = new Uint8Array(0)

// ------------------------------------------------------------------ methods

/** A message for a consumer. */
export interface BasicDeliver {
  readonly _tag: "basic.deliver"
  readonly consumerTag: string
  readonly deliveryTag: number
  readonly redelivered: boolean
  readonly exchange: string
  readonly routingKey: string
}

export const basicDeliver = (fields: Fields<BasicDeliver> = {}): BasicDeliver => ({
  _tag: "basic.deliver",
  consumerTag: fields.consumerTag ?? "",
  deliveryTag: fields.deliveryTag ?? 0,
  redelivered: fields.redelivered ?? false,
  exchange: fields.exchange ?? "",
  routingKey: fields.routingKey ?? ""
})

/** A message for an exchange. */
export interface BasicPublish {
  readonly _tag: "basic.publish"
  readonly exchange: string
  readonly routingKey: string
  readonly mandatory: boolean
  readonly immediate: boolean
}

export const basicPublish = (fields: Fields<BasicPublish> = {}): BasicPublish => ({
  _tag: "basic.publish",
  exchange: fields.exchange ?? "",
  routingKey: fields.routingKey ?? "",
  mandatory: fields.mandatory ?? false,
  immediate: fields.immediate ?? false
})

/** Deliveries are done; from a server, publishes are confirmed. */
export interface BasicAck {
  readonly _tag: "basic.ack"
  readonly deliveryTag: number
  readonly multiple: boolean
}

export const basicAck = (fields: Fields<BasicAck> = {}): BasicAck => ({
  _tag: "basic.ack",
  deliveryTag: fields.deliveryTag ?? 0,
  multiple: fields.multiple ?? false
})

/** RabbitMQ's: deliveries are refused; from a server, publishes are lost. */
export interface BasicNack {
  readonly _tag: "basic.nack"
  readonly deliveryTag: number
  readonly multiple: boolean
  readonly requeue: boolean
}

export const basicNack = (fields: Fields<BasicNack> = {}): BasicNack => ({
  _tag: "basic.nack",
  deliveryTag: fields.deliveryTag ?? 0,
  multiple: fields.multiple ?? false,
  requeue: fields.requeue ?? false
})

/** One delivery is refused. */
export interface BasicReject {
  readonly _tag: "basic.reject"
  readonly deliveryTag: number
  readonly requeue: boolean
}

export const basicReject = (fields: Fields<BasicReject> = {}): BasicReject => ({
  _tag: "basic.reject",
  deliveryTag: fields.deliveryTag ?? 0,
  requeue: fields.requeue ?? false
})

/** A mandatory message that no queue takes. */
export interface BasicReturn {
  readonly _tag: "basic.return"
  readonly replyCode: number
  readonly replyText: string
  readonly exchange: string
  readonly routingKey: string
}

export const basicReturn = (fields: Fields<BasicReturn> = {}): BasicReturn => ({
  _tag: "basic.return",
  replyCode: fields.replyCode ?? 0,
  replyText: fields.replyText ?? "",
  exchange: fields.exchange ?? "",
  routingKey: fields.routingKey ?? ""
})

/** How many deliveries may be unacknowledged. */
export interface BasicQos {
  readonly _tag: "basic.qos"
  readonly prefetchSize: number
  readonly prefetchCount: number
  readonly global: boolean
}

export const basicQos = (fields: Fields<BasicQos> = {}): BasicQos => ({
  _tag: "basic.qos",
  prefetchSize: fields.prefetchSize ?? 0,
  prefetchCount: fields.prefetchCount ?? 0,
  global: fields.global ?? false
})

/** Answers basic.qos. */
export interface BasicQosOk {
  readonly _tag: "basic.qos-ok"
}

export const basicQosOk: BasicQosOk = { _tag: "basic.qos-ok" }

/** Starts a consumer. */
export interface BasicConsume {
  readonly _tag: "basic.consume"
  readonly queue: string
  readonly consumerTag: string
  readonly noLocal: boolean
  readonly noAck: boolean
  readonly exclusive: boolean
  readonly nowait: boolean
  readonly arguments: FieldTable
}

export const basicConsume = (fields: Fields<BasicConsume> = {}): BasicConsume => ({
  _tag: "basic.consume",
  queue: fields.queue ?? "",
  consumerTag: fields.consumerTag ?? "",
  noLocal: fields.noLocal ?? false,
  noAck: fields.noAck ?? false,
  exclusive: fields.exclusive ?? false,
  nowait: fields.nowait ?? false,
  arguments: fields.arguments ?? {}
})

/** Answers basic.consume. */
export interface BasicConsumeOk {
  readonly _tag: "basic.consume-ok"
  readonly consumerTag: string
}

export const basicConsumeOk = (fields: Fields<BasicConsumeOk> = {}): BasicConsumeOk => ({
  _tag: "basic.consume-ok",
  consumerTag: fields.consumerTag ?? ""
})

/** Ends a consumer; from a server, it has ended (consumer_cancel_notify). */
export interface BasicCancel {
  readonly _tag: "basic.cancel"
  readonly consumerTag: string
  readonly nowait: boolean
}

export const basicCancel = (fields: Fields<BasicCancel> = {}): BasicCancel => ({
  _tag: "basic.cancel",
  consumerTag: fields.consumerTag ?? "",
  nowait: fields.nowait ?? false
})

/** Answers basic.cancel. */
export interface BasicCancelOk {
  readonly _tag: "basic.cancel-ok"
  readonly consumerTag: string
}

export const basicCancelOk = (fields: Fields<BasicCancelOk> = {}): BasicCancelOk => ({
  _tag: "basic.cancel-ok",
  consumerTag: fields.consumerTag ?? ""
})

/** One message, now. */
export interface BasicGet {
  readonly _tag: "basic.get"
  readonly queue: string
  readonly noAck: boolean
}

export const basicGet = (fields: Fields<BasicGet> = {}): BasicGet => ({
  _tag: "basic.get",
  queue: fields.queue ?? "",
  noAck: fields.noAck ?? false
})

/** Answers basic.get. */
export interface BasicGetOk {
  readonly _tag: "basic.get-ok"
  readonly deliveryTag: number
  readonly redelivered: boolean
  readonly exchange: string
  readonly routingKey: string
  readonly messageCount: number
}

export const basicGetOk = (fields: Fields<BasicGetOk> = {}): BasicGetOk => ({
  _tag: "basic.get-ok",
  deliveryTag: fields.deliveryTag ?? 0,
  redelivered: fields.redelivered ?? false,
  exchange: fields.exchange ?? "",
  routingKey: fields.routingKey ?? "",
  messageCount: fields.messageCount ?? 0
})

/** Answers basic.get: there is none. */
export interface BasicGetEmpty {
  readonly _tag: "basic.get-empty"
}

export const basicGetEmpty: BasicGetEmpty = { _tag: "basic.get-empty" }

/** Deprecated: basic.recover that nobody answers. */
export interface BasicRecoverAsync {
  readonly _tag: "basic.recover-async"
  readonly requeue: boolean
}

export const basicRecoverAsync = (fields: Fields<BasicRecoverAsync> = {}): BasicRecoverAsync => ({
  _tag: "basic.recover-async",
  requeue: fields.requeue ?? false
})

/** Unacknowledged deliveries are to come again. */
export interface BasicRecover {
  readonly _tag: "basic.recover"
  readonly requeue: boolean
}

export const basicRecover = (fields: Fields<BasicRecover> = {}): BasicRecover => ({
  _tag: "basic.recover",
  requeue: fields.requeue ?? false
})

/** Answers basic.recover. */
export interface BasicRecoverOk {
  readonly _tag: "basic.recover-ok"
}

export const basicRecoverOk: BasicRecoverOk = { _tag: "basic.recover-ok" }

/** The first thing a server says. Mechanisms and locales are separated by blanks. */
export interface ConnectionStart {
  readonly _tag: "connection.start"
  readonly versionMajor: number
  readonly versionMinor: number
  readonly serverProperties: FieldTable
  readonly mechanisms: string
  readonly locales: string
}

export const connectionStart = (fields: Fields<ConnectionStart> = {}): ConnectionStart => ({
  _tag: "connection.start",
  versionMajor: fields.versionMajor ?? 0,
  versionMinor: fields.versionMinor ?? 0,
  serverProperties: fields.serverProperties ?? {},
  mechanisms: fields.mechanisms ?? "",
  locales: fields.locales ?? ""
})

/** Answers connection.start. The response holds the credentials. */
export interface ConnectionStartOk {
  readonly _tag: "connection.start-ok"
  readonly clientProperties: FieldTable
  readonly mechanism: string
  readonly response: Uint8Array
  readonly locale: string
}

export const connectionStartOk = (fields: Fields<ConnectionStartOk> = {}): ConnectionStartOk => ({
  _tag: "connection.start-ok",
  clientProperties: fields.clientProperties ?? {},
  mechanism: fields.mechanism ?? "",
  response: fields.response ?? noOctets,
  locale: fields.locale ?? ""
})

/** A further step of the mechanism. */
export interface ConnectionSecure {
  readonly _tag: "connection.secure"
  readonly challenge: Uint8Array
}

export const connectionSecure = (fields: Fields<ConnectionSecure> = {}): ConnectionSecure => ({
  _tag: "connection.secure",
  challenge: fields.challenge ?? noOctets
})

/** Answers connection.secure. A secret. */
export interface ConnectionSecureOk {
  readonly _tag: "connection.secure-ok"
  readonly response: Uint8Array
}

export const connectionSecureOk = (fields: Fields<ConnectionSecureOk> = {}): ConnectionSecureOk => ({
  _tag: "connection.secure-ok",
  response: fields.response ?? noOctets
})

/** The server's limits; the heartbeat is in seconds; 0 is no limit. */
export interface ConnectionTune {
  readonly _tag: "connection.tune"
  readonly channelMax: number
  readonly frameMax: number
  readonly heartbeat: number
}

export const connectionTune = (fields: Fields<ConnectionTune> = {}): ConnectionTune => ({
  _tag: "connection.tune",
  channelMax: fields.channelMax ?? 0,
  frameMax: fields.frameMax ?? 0,
  heartbeat: fields.heartbeat ?? 0
})

/** The limits of this connection. */
export interface ConnectionTuneOk {
  readonly _tag: "connection.tune-ok"
  readonly channelMax: number
  readonly frameMax: number
  readonly heartbeat: number
}

export const connectionTuneOk = (fields: Fields<ConnectionTuneOk> = {}): ConnectionTuneOk => ({
  _tag: "connection.tune-ok",
  channelMax: fields.channelMax ?? 0,
  frameMax: fields.frameMax ?? 0,
  heartbeat: fields.heartbeat ?? 0
})

/** Enters a virtual host. */
export interface ConnectionOpen {
  readonly _tag: "connection.open"
  readonly virtualHost: string
}

export const connectionOpen = (fields: Fields<ConnectionOpen> = {}): ConnectionOpen => ({
  _tag: "connection.open",
  virtualHost: fields.virtualHost ?? ""
})

/** Answers connection.open. */
export interface ConnectionOpenOk {
  readonly _tag: "connection.open-ok"
}

export const connectionOpenOk: ConnectionOpenOk = { _tag: "connection.open-ok" }

/** The connection ends, and why. */
export interface ConnectionClose {
  readonly _tag: "connection.close"
  readonly replyCode: number
  readonly replyText: string
  readonly classId: number
  readonly methodId: number
}

export const connectionClose = (fields: Fields<ConnectionClose> = {}): ConnectionClose => ({
  _tag: "connection.close",
  replyCode: fields.replyCode ?? 0,
  replyText: fields.replyText ?? "",
  classId: fields.classId ?? 0,
  methodId: fields.methodId ?? 0
})

/** Answers connection.close: the last frame. */
export interface ConnectionCloseOk {
  readonly _tag: "connection.close-ok"
}

export const connectionCloseOk: ConnectionCloseOk = { _tag: "connection.close-ok" }

/** RabbitMQ's: publishers have to wait (memory or disk). */
export interface ConnectionBlocked {
  readonly _tag: "connection.blocked"
  readonly reason: string
}

export const connectionBlocked = (fields: Fields<ConnectionBlocked> = {}): ConnectionBlocked => ({
  _tag: "connection.blocked",
  reason: fields.reason ?? ""
})

/** RabbitMQ's: publishers may go on. */
export interface ConnectionUnblocked {
  readonly _tag: "connection.unblocked"
}

export const connectionUnblocked: ConnectionUnblocked = { _tag: "connection.unblocked" }

/** RabbitMQ's: a fresh token for this connection. */
export interface ConnectionUpdateSecret {
  readonly _tag: "connection.update-secret"
  readonly newSecret: Uint8Array
  readonly reason: string
}

export const connectionUpdateSecret = (fields: Fields<ConnectionUpdateSecret> = {}): ConnectionUpdateSecret => ({
  _tag: "connection.update-secret",
  newSecret: fields.newSecret ?? noOctets,
  reason: fields.reason ?? ""
})

/** Answers connection.update-secret. */
export interface ConnectionUpdateSecretOk {
  readonly _tag: "connection.update-secret-ok"
}

export const connectionUpdateSecretOk: ConnectionUpdateSecretOk = { _tag: "connection.update-secret-ok" }

/** Opens a channel. */
export interface ChannelOpen {
  readonly _tag: "channel.open"
}

export const channelOpen: ChannelOpen = { _tag: "channel.open" }

/** Answers channel.open. */
export interface ChannelOpenOk {
  readonly _tag: "channel.open-ok"
}

export const channelOpenOk: ChannelOpenOk = { _tag: "channel.open-ok" }

/** The peer is to send content, or to stop. */
export interface ChannelFlow {
  readonly _tag: "channel.flow"
  readonly active: boolean
}

export const channelFlow = (fields: Fields<ChannelFlow> = {}): ChannelFlow => ({
  _tag: "channel.flow",
  active: fields.active ?? false
})

/** Answers channel.flow. */
export interface ChannelFlowOk {
  readonly _tag: "channel.flow-ok"
  readonly active: boolean
}

export const channelFlowOk = (fields: Fields<ChannelFlowOk> = {}): ChannelFlowOk => ({
  _tag: "channel.flow-ok",
  active: fields.active ?? false
})

/** The channel ends, and why. */
export interface ChannelClose {
  readonly _tag: "channel.close"
  readonly replyCode: number
  readonly replyText: string
  readonly classId: number
  readonly methodId: number
}

export const channelClose = (fields: Fields<ChannelClose> = {}): ChannelClose => ({
  _tag: "channel.close",
  replyCode: fields.replyCode ?? 0,
  replyText: fields.replyText ?? "",
  classId: fields.classId ?? 0,
  methodId: fields.methodId ?? 0
})

/** Answers channel.close: the number is free. */
export interface ChannelCloseOk {
  readonly _tag: "channel.close-ok"
}

export const channelCloseOk: ChannelCloseOk = { _tag: "channel.close-ok" }

/** Of AMQP 0-8; RabbitMQ still answers it. */
export interface AccessRequest {
  readonly _tag: "access.request"
  readonly realm: string
  readonly exclusive: boolean
  readonly passive: boolean
  readonly active: boolean
  readonly write: boolean
  readonly read: boolean
}

export const accessRequest = (fields: Fields<AccessRequest> = {}): AccessRequest => ({
  _tag: "access.request",
  realm: fields.realm ?? "",
  exclusive: fields.exclusive ?? false,
  passive: fields.passive ?? false,
  active: fields.active ?? false,
  write: fields.write ?? false,
  read: fields.read ?? false
})

/** Answers access.request. */
export interface AccessRequestOk {
  readonly _tag: "access.request-ok"
  readonly ticket: number
}

export const accessRequestOk = (fields: Fields<AccessRequestOk> = {}): AccessRequestOk => ({
  _tag: "access.request-ok",
  ticket: fields.ticket ?? 0
})

/** Makes an exchange, or asks whether there is one. */
export interface ExchangeDeclare {
  readonly _tag: "exchange.declare"
  readonly exchange: string
  readonly type: string
  readonly passive: boolean
  readonly durable: boolean
  readonly autoDelete: boolean
  readonly internal: boolean
  readonly nowait: boolean
  readonly arguments: FieldTable
}

export const exchangeDeclare = (fields: Fields<ExchangeDeclare> = {}): ExchangeDeclare => ({
  _tag: "exchange.declare",
  exchange: fields.exchange ?? "",
  type: fields.type ?? "",
  passive: fields.passive ?? false,
  durable: fields.durable ?? false,
  autoDelete: fields.autoDelete ?? false,
  internal: fields.internal ?? false,
  nowait: fields.nowait ?? false,
  arguments: fields.arguments ?? {}
})

/** Answers exchange.declare. */
export interface ExchangeDeclareOk {
  readonly _tag: "exchange.declare-ok"
}

export const exchangeDeclareOk: ExchangeDeclareOk = { _tag: "exchange.declare-ok" }

/** Deletes an exchange. */
export interface ExchangeDelete {
  readonly _tag: "exchange.delete"
  readonly exchange: string
  readonly ifUnused: boolean
  readonly nowait: boolean
}

export const exchangeDelete = (fields: Fields<ExchangeDelete> = {}): ExchangeDelete => ({
  _tag: "exchange.delete",
  exchange: fields.exchange ?? "",
  ifUnused: fields.ifUnused ?? false,
  nowait: fields.nowait ?? false
})

/** Answers exchange.delete. */
export interface ExchangeDeleteOk {
  readonly _tag: "exchange.delete-ok"
}

export const exchangeDeleteOk: ExchangeDeleteOk = { _tag: "exchange.delete-ok" }

/** RabbitMQ's: binds an exchange to an exchange. */
export interface ExchangeBind {
  readonly _tag: "exchange.bind"
  readonly destination: string
  readonly source: string
  readonly routingKey: string
  readonly nowait: boolean
  readonly arguments: FieldTable
}

export const exchangeBind = (fields: Fields<ExchangeBind> = {}): ExchangeBind => ({
  _tag: "exchange.bind",
  destination: fields.destination ?? "",
  source: fields.source ?? "",
  routingKey: fields.routingKey ?? "",
  nowait: fields.nowait ?? false,
  arguments: fields.arguments ?? {}
})

/** Answers exchange.bind. */
export interface ExchangeBindOk {
  readonly _tag: "exchange.bind-ok"
}

export const exchangeBindOk: ExchangeBindOk = { _tag: "exchange.bind-ok" }

/** RabbitMQ's: takes such a binding away. */
export interface ExchangeUnbind {
  readonly _tag: "exchange.unbind"
  readonly destination: string
  readonly source: string
  readonly routingKey: string
  readonly nowait: boolean
  readonly arguments: FieldTable
}

export const exchangeUnbind = (fields: Fields<ExchangeUnbind> = {}): ExchangeUnbind => ({
  _tag: "exchange.unbind",
  destination: fields.destination ?? "",
  source: fields.source ?? "",
  routingKey: fields.routingKey ?? "",
  nowait: fields.nowait ?? false,
  arguments: fields.arguments ?? {}
})

/** Answers exchange.unbind. */
export interface ExchangeUnbindOk {
  readonly _tag: "exchange.unbind-ok"
}

export const exchangeUnbindOk: ExchangeUnbindOk = { _tag: "exchange.unbind-ok" }

/** Makes a queue, or asks whether there is one. Without a name the server makes one. */
export interface QueueDeclare {
  readonly _tag: "queue.declare"
  readonly queue: string
  readonly passive: boolean
  readonly durable: boolean
  readonly exclusive: boolean
  readonly autoDelete: boolean
  readonly nowait: boolean
  readonly arguments: FieldTable
}

export const queueDeclare = (fields: Fields<QueueDeclare> = {}): QueueDeclare => ({
  _tag: "queue.declare",
  queue: fields.queue ?? "",
  passive: fields.passive ?? false,
  durable: fields.durable ?? false,
  exclusive: fields.exclusive ?? false,
  autoDelete: fields.autoDelete ?? false,
  nowait: fields.nowait ?? false,
  arguments: fields.arguments ?? {}
})

/** Answers queue.declare. */
export interface QueueDeclareOk {
  readonly _tag: "queue.declare-ok"
  readonly queue: string
  readonly messageCount: number
  readonly consumerCount: number
}

export const queueDeclareOk = (fields: Fields<QueueDeclareOk> = {}): QueueDeclareOk => ({
  _tag: "queue.declare-ok",
  queue: fields.queue ?? "",
  messageCount: fields.messageCount ?? 0,
  consumerCount: fields.consumerCount ?? 0
})

/** Binds a queue to an exchange. */
export interface QueueBind {
  readonly _tag: "queue.bind"
  readonly queue: string
  readonly exchange: string
  readonly routingKey: string
  readonly nowait: boolean
  readonly arguments: FieldTable
}

export const queueBind = (fields: Fields<QueueBind> = {}): QueueBind => ({
  _tag: "queue.bind",
  queue: fields.queue ?? "",
  exchange: fields.exchange ?? "",
  routingKey: fields.routingKey ?? "",
  nowait: fields.nowait ?? false,
  arguments: fields.arguments ?? {}
})

/** Answers queue.bind. */
export interface QueueBindOk {
  readonly _tag: "queue.bind-ok"
}

export const queueBindOk: QueueBindOk = { _tag: "queue.bind-ok" }

/** Drops what waits in a queue. */
export interface QueuePurge {
  readonly _tag: "queue.purge"
  readonly queue: string
  readonly nowait: boolean
}

export const queuePurge = (fields: Fields<QueuePurge> = {}): QueuePurge => ({
  _tag: "queue.purge",
  queue: fields.queue ?? "",
  nowait: fields.nowait ?? false
})

/** Answers queue.purge. */
export interface QueuePurgeOk {
  readonly _tag: "queue.purge-ok"
  readonly messageCount: number
}

export const queuePurgeOk = (fields: Fields<QueuePurgeOk> = {}): QueuePurgeOk => ({
  _tag: "queue.purge-ok",
  messageCount: fields.messageCount ?? 0
})

/** Deletes a queue. */
export interface QueueDelete {
  readonly _tag: "queue.delete"
  readonly queue: string
  readonly ifUnused: boolean
  readonly ifEmpty: boolean
  readonly nowait: boolean
}

export const queueDelete = (fields: Fields<QueueDelete> = {}): QueueDelete => ({
  _tag: "queue.delete",
  queue: fields.queue ?? "",
  ifUnused: fields.ifUnused ?? false,
  ifEmpty: fields.ifEmpty ?? false,
  nowait: fields.nowait ?? false
})

/** Answers queue.delete. */
export interface QueueDeleteOk {
  readonly _tag: "queue.delete-ok"
  readonly messageCount: number
}

export const queueDeleteOk = (fields: Fields<QueueDeleteOk> = {}): QueueDeleteOk => ({
  _tag: "queue.delete-ok",
  messageCount: fields.messageCount ?? 0
})

/** Takes a binding away. */
export interface QueueUnbind {
  readonly _tag: "queue.unbind"
  readonly queue: string
  readonly exchange: string
  readonly routingKey: string
  readonly arguments: FieldTable
}

export const queueUnbind = (fields: Fields<QueueUnbind> = {}): QueueUnbind => ({
  _tag: "queue.unbind",
  queue: fields.queue ?? "",
  exchange: fields.exchange ?? "",
  routingKey: fields.routingKey ?? "",
  arguments: fields.arguments ?? {}
})

/** Answers queue.unbind. */
export interface QueueUnbindOk {
  readonly _tag: "queue.unbind-ok"
}

export const queueUnbindOk: QueueUnbindOk = { _tag: "queue.unbind-ok" }

/** RabbitMQ's: publishes on this channel are to be confirmed. */
export interface ConfirmSelect {
  readonly _tag: "confirm.select"
  readonly nowait: boolean
}

export const confirmSelect = (fields: Fields<ConfirmSelect> = {}): ConfirmSelect => ({
  _tag: "confirm.select",
  nowait: fields.nowait ?? false
})

/** Answers confirm.select. */
export interface ConfirmSelectOk {
  readonly _tag: "confirm.select-ok"
}

export const confirmSelectOk: ConfirmSelectOk = { _tag: "confirm.select-ok" }

/** Makes the channel transactional. */
export interface TxSelect {
  readonly _tag: "tx.select"
}

export const txSelect: TxSelect = { _tag: "tx.select" }

/** Answers tx.select. */
export interface TxSelectOk {
  readonly _tag: "tx.select-ok"
}

export const txSelectOk: TxSelectOk = { _tag: "tx.select-ok" }

/** Ends the transaction: it happened. */
export interface TxCommit {
  readonly _tag: "tx.commit"
}

export const txCommit: TxCommit = { _tag: "tx.commit" }

/** Answers tx.commit. */
export interface TxCommitOk {
  readonly _tag: "tx.commit-ok"
}

export const txCommitOk: TxCommitOk = { _tag: "tx.commit-ok" }

/** Ends the transaction: it did not happen. */
export interface TxRollback {
  readonly _tag: "tx.rollback"
}

export const txRollback: TxRollback = { _tag: "tx.rollback" }

/** Answers tx.rollback. */
export interface TxRollbackOk {
  readonly _tag: "tx.rollback-ok"
}

export const txRollbackOk: TxRollbackOk = { _tag: "tx.rollback-ok" }

export type Method =
  | BasicDeliver
  | BasicPublish
  | BasicAck
  | BasicNack
  | BasicReject
  | BasicReturn
  | BasicQos
  | BasicQosOk
  | BasicConsume
  | BasicConsumeOk
  | BasicCancel
  | BasicCancelOk
  | BasicGet
  | BasicGetOk
  | BasicGetEmpty
  | BasicRecoverAsync
  | BasicRecover
  | BasicRecoverOk
  | ConnectionStart
  | ConnectionStartOk
  | ConnectionSecure
  | ConnectionSecureOk
  | ConnectionTune
  | ConnectionTuneOk
  | ConnectionOpen
  | ConnectionOpenOk
  | ConnectionClose
  | ConnectionCloseOk
  | ConnectionBlocked
  | ConnectionUnblocked
  | ConnectionUpdateSecret
  | ConnectionUpdateSecretOk
  | ChannelOpen
  | ChannelOpenOk
  | ChannelFlow
  | ChannelFlowOk
  | ChannelClose
  | ChannelCloseOk
  | AccessRequest
  | AccessRequestOk
  | ExchangeDeclare
  | ExchangeDeclareOk
  | ExchangeDelete
  | ExchangeDeleteOk
  | ExchangeBind
  | ExchangeBindOk
  | ExchangeUnbind
  | ExchangeUnbindOk
  | QueueDeclare
  | QueueDeclareOk
  | QueueBind
  | QueueBindOk
  | QueuePurge
  | QueuePurgeOk
  | QueueDelete
  | QueueDeleteOk
  | QueueUnbind
  | QueueUnbindOk
  | ConfirmSelect
  | ConfirmSelectOk
  | TxSelect
  | TxSelectOk
  | TxCommit
  | TxCommitOk
  | TxRollback
  | TxRollbackOk

export type Tag = Method["_tag"]

/** Who may send a method. */
export type Sender = "client" | "server" | "both"

export interface Info {
  readonly classId: number
  readonly methodId: number
  readonly sentBy: Sender
  /** Followed by a content header and a body. */
  readonly content: boolean
  /** What answers it; empty where nothing does. */
  readonly replies: ReadonlyArray<Tag>
}

/** Every method, by its name. */
export const infos: { readonly [T in Tag]: Info } = {
  "basic.deliver": { classId: 60, methodId: 60, sentBy: "server", content: true, replies: [] },
  "basic.publish": { classId: 60, methodId: 40, sentBy: "client", content: true, replies: [] },
  "basic.ack": { classId: 60, methodId: 80, sentBy: "both", content: false, replies: [] },
  "basic.nack": { classId: 60, methodId: 120, sentBy: "both", content: false, replies: [] },
  "basic.reject": { classId: 60, methodId: 90, sentBy: "client", content: false, replies: [] },
  "basic.return": { classId: 60, methodId: 50, sentBy: "server", content: true, replies: [] },
  "basic.qos": { classId: 60, methodId: 10, sentBy: "client", content: false, replies: ["basic.qos-ok"] },
  "basic.qos-ok": { classId: 60, methodId: 11, sentBy: "server", content: false, replies: [] },
  "basic.consume": { classId: 60, methodId: 20, sentBy: "client", content: false, replies: ["basic.consume-ok"] },
  "basic.consume-ok": { classId: 60, methodId: 21, sentBy: "server", content: false, replies: [] },
  "basic.cancel": { classId: 60, methodId: 30, sentBy: "both", content: false, replies: ["basic.cancel-ok"] },
  "basic.cancel-ok": { classId: 60, methodId: 31, sentBy: "both", content: false, replies: [] },
  "basic.get": {
    classId: 60,
    methodId: 70,
    sentBy: "client",
    content: false,
    replies: ["basic.get-ok", "basic.get-empty"]
  },
  "basic.get-ok": { classId: 60, methodId: 71, sentBy: "server", content: true, replies: [] },
  "basic.get-empty": { classId: 60, methodId: 72, sentBy: "server", content: false, replies: [] },
  "basic.recover-async": { classId: 60, methodId: 100, sentBy: "client", content: false, replies: [] },
  "basic.recover": { classId: 60, methodId: 110, sentBy: "client", content: false, replies: ["basic.recover-ok"] },
  "basic.recover-ok": { classId: 60, methodId: 111, sentBy: "server", content: false, replies: [] },
  "connection.start": { classId: 10, methodId: 10, sentBy: "server", content: false, replies: ["connection.start-ok"] },
  "connection.start-ok": { classId: 10, methodId: 11, sentBy: "client", content: false, replies: [] },
  "connection.secure": {
    classId: 10,
    methodId: 20,
    sentBy: "server",
    content: false,
    replies: ["connection.secure-ok"]
  },
  "connection.secure-ok": { classId: 10, methodId: 21, sentBy: "client", content: false, replies: [] },
  "connection.tune": { classId: 10, methodId: 30, sentBy: "server", content: false, replies: ["connection.tune-ok"] },
  "connection.tune-ok": { classId: 10, methodId: 31, sentBy: "client", content: false, replies: [] },
  "connection.open": { classId: 10, methodId: 40, sentBy: "client", content: false, replies: ["connection.open-ok"] },
  "connection.open-ok": { classId: 10, methodId: 41, sentBy: "server", content: false, replies: [] },
  "connection.close": { classId: 10, methodId: 50, sentBy: "both", content: false, replies: ["connection.close-ok"] },
  "connection.close-ok": { classId: 10, methodId: 51, sentBy: "both", content: false, replies: [] },
  "connection.blocked": { classId: 10, methodId: 60, sentBy: "both", content: false, replies: [] },
  "connection.unblocked": { classId: 10, methodId: 61, sentBy: "both", content: false, replies: [] },
  "connection.update-secret": {
    classId: 10,
    methodId: 70,
    sentBy: "client",
    content: false,
    replies: ["connection.update-secret-ok"]
  },
  "connection.update-secret-ok": { classId: 10, methodId: 71, sentBy: "server", content: false, replies: [] },
  "channel.open": { classId: 20, methodId: 10, sentBy: "client", content: false, replies: ["channel.open-ok"] },
  "channel.open-ok": { classId: 20, methodId: 11, sentBy: "server", content: false, replies: [] },
  "channel.flow": { classId: 20, methodId: 20, sentBy: "both", content: false, replies: ["channel.flow-ok"] },
  "channel.flow-ok": { classId: 20, methodId: 21, sentBy: "both", content: false, replies: [] },
  "channel.close": { classId: 20, methodId: 40, sentBy: "both", content: false, replies: ["channel.close-ok"] },
  "channel.close-ok": { classId: 20, methodId: 41, sentBy: "both", content: false, replies: [] },
  "access.request": { classId: 30, methodId: 10, sentBy: "client", content: false, replies: ["access.request-ok"] },
  "access.request-ok": { classId: 30, methodId: 11, sentBy: "server", content: false, replies: [] },
  "exchange.declare": { classId: 40, methodId: 10, sentBy: "client", content: false, replies: ["exchange.declare-ok"] },
  "exchange.declare-ok": { classId: 40, methodId: 11, sentBy: "server", content: false, replies: [] },
  "exchange.delete": { classId: 40, methodId: 20, sentBy: "client", content: false, replies: ["exchange.delete-ok"] },
  "exchange.delete-ok": { classId: 40, methodId: 21, sentBy: "server", content: false, replies: [] },
  "exchange.bind": { classId: 40, methodId: 30, sentBy: "client", content: false, replies: ["exchange.bind-ok"] },
  "exchange.bind-ok": { classId: 40, methodId: 31, sentBy: "server", content: false, replies: [] },
  "exchange.unbind": { classId: 40, methodId: 40, sentBy: "client", content: false, replies: ["exchange.unbind-ok"] },
  "exchange.unbind-ok": { classId: 40, methodId: 51, sentBy: "server", content: false, replies: [] },
  "queue.declare": { classId: 50, methodId: 10, sentBy: "client", content: false, replies: ["queue.declare-ok"] },
  "queue.declare-ok": { classId: 50, methodId: 11, sentBy: "server", content: false, replies: [] },
  "queue.bind": { classId: 50, methodId: 20, sentBy: "client", content: false, replies: ["queue.bind-ok"] },
  "queue.bind-ok": { classId: 50, methodId: 21, sentBy: "server", content: false, replies: [] },
  "queue.purge": { classId: 50, methodId: 30, sentBy: "client", content: false, replies: ["queue.purge-ok"] },
  "queue.purge-ok": { classId: 50, methodId: 31, sentBy: "server", content: false, replies: [] },
  "queue.delete": { classId: 50, methodId: 40, sentBy: "client", content: false, replies: ["queue.delete-ok"] },
  "queue.delete-ok": { classId: 50, methodId: 41, sentBy: "server", content: false, replies: [] },
  "queue.unbind": { classId: 50, methodId: 50, sentBy: "client", content: false, replies: ["queue.unbind-ok"] },
  "queue.unbind-ok": { classId: 50, methodId: 51, sentBy: "server", content: false, replies: [] },
  "confirm.select": { classId: 85, methodId: 10, sentBy: "client", content: false, replies: ["confirm.select-ok"] },
  "confirm.select-ok": { classId: 85, methodId: 11, sentBy: "server", content: false, replies: [] },
  "tx.select": { classId: 90, methodId: 10, sentBy: "client", content: false, replies: ["tx.select-ok"] },
  "tx.select-ok": { classId: 90, methodId: 11, sentBy: "server", content: false, replies: [] },
  "tx.commit": { classId: 90, methodId: 20, sentBy: "client", content: false, replies: ["tx.commit-ok"] },
  "tx.commit-ok": { classId: 90, methodId: 21, sentBy: "server", content: false, replies: [] },
  "tx.rollback": { classId: 90, methodId: 30, sentBy: "client", content: false, replies: ["tx.rollback-ok"] },
  "tx.rollback-ok": { classId: 90, methodId: 31, sentBy: "server", content: false, replies: [] }
}

const names = new Map(Object.entries(infos).map(([tag, info]) => [info.classId * 0x1_0000 + info.methodId, tag]))

/** `queue.declare` for 50 and 10, as `channel.close` names what failed; `50.99` for what is none. */
export const nameOf = (classId: number, methodId: number): string =>
  names.get(classId * 0x1_0000 + methodId) ?? `${classId}.${methodId}`

// ------------------------------------------------------------------ reading

const readBasicDeliver = (reader: ByteReader): BasicDeliver => {
  const consumerTag = reader.shortstr()
  const deliveryTag = reader.longlong()
  const bits = reader.octet()
  const redelivered = (bits & 1) !== 0
  const exchange = reader.shortstr()
  const routingKey = reader.shortstr()
  return { _tag: "basic.deliver", consumerTag, deliveryTag, redelivered, exchange, routingKey }
}

const readBasicPublish = (reader: ByteReader): BasicPublish => {
  reader.short()
  const exchange = reader.shortstr()
  const routingKey = reader.shortstr()
  const bits = reader.octet()
  const mandatory = (bits & 1) !== 0
  const immediate = (bits & 2) !== 0
  return { _tag: "basic.publish", exchange, routingKey, mandatory, immediate }
}

const readBasicAck = (reader: ByteReader): BasicAck => {
  const deliveryTag = reader.longlong()
  const bits = reader.octet()
  const multiple = (bits & 1) !== 0
  return { _tag: "basic.ack", deliveryTag, multiple }
}

const readBasicNack = (reader: ByteReader): BasicNack => {
  const deliveryTag = reader.longlong()
  const bits = reader.octet()
  const multiple = (bits & 1) !== 0
  const requeue = (bits & 2) !== 0
  return { _tag: "basic.nack", deliveryTag, multiple, requeue }
}

const readBasicReject = (reader: ByteReader): BasicReject => {
  const deliveryTag = reader.longlong()
  const bits = reader.octet()
  const requeue = (bits & 1) !== 0
  return { _tag: "basic.reject", deliveryTag, requeue }
}

const readBasicReturn = (reader: ByteReader): BasicReturn => {
  const replyCode = reader.short()
  const replyText = reader.shortstr()
  const exchange = reader.shortstr()
  const routingKey = reader.shortstr()
  return { _tag: "basic.return", replyCode, replyText, exchange, routingKey }
}

const readBasicQos = (reader: ByteReader): BasicQos => {
  const prefetchSize = reader.long()
  const prefetchCount = reader.short()
  const bits = reader.octet()
  const global = (bits & 1) !== 0
  return { _tag: "basic.qos", prefetchSize, prefetchCount, global }
}

const readBasicConsume = (reader: ByteReader): BasicConsume => {
  reader.short()
  const queue = reader.shortstr()
  const consumerTag = reader.shortstr()
  const bits = reader.octet()
  const noLocal = (bits & 1) !== 0
  const noAck = (bits & 2) !== 0
  const exclusive = (bits & 4) !== 0
  const nowait = (bits & 8) !== 0
  const table = readTable(reader)
  return { _tag: "basic.consume", queue, consumerTag, noLocal, noAck, exclusive, nowait, arguments: table }
}

const readBasicConsumeOk = (reader: ByteReader): BasicConsumeOk => {
  const consumerTag = reader.shortstr()
  return { _tag: "basic.consume-ok", consumerTag }
}

const readBasicCancel = (reader: ByteReader): BasicCancel => {
  const consumerTag = reader.shortstr()
  const bits = reader.octet()
  const nowait = (bits & 1) !== 0
  return { _tag: "basic.cancel", consumerTag, nowait }
}

const readBasicCancelOk = (reader: ByteReader): BasicCancelOk => {
  const consumerTag = reader.shortstr()
  return { _tag: "basic.cancel-ok", consumerTag }
}

const readBasicGet = (reader: ByteReader): BasicGet => {
  reader.short()
  const queue = reader.shortstr()
  const bits = reader.octet()
  const noAck = (bits & 1) !== 0
  return { _tag: "basic.get", queue, noAck }
}

const readBasicGetOk = (reader: ByteReader): BasicGetOk => {
  const deliveryTag = reader.longlong()
  const bits = reader.octet()
  const redelivered = (bits & 1) !== 0
  const exchange = reader.shortstr()
  const routingKey = reader.shortstr()
  const messageCount = reader.long()
  return { _tag: "basic.get-ok", deliveryTag, redelivered, exchange, routingKey, messageCount }
}

const readBasicGetEmpty = (reader: ByteReader): BasicGetEmpty => {
  reader.shortstr()
  return basicGetEmpty
}

const readBasicRecoverAsync = (reader: ByteReader): BasicRecoverAsync => {
  const bits = reader.octet()
  const requeue = (bits & 1) !== 0
  return { _tag: "basic.recover-async", requeue }
}

const readBasicRecover = (reader: ByteReader): BasicRecover => {
  const bits = reader.octet()
  const requeue = (bits & 1) !== 0
  return { _tag: "basic.recover", requeue }
}

const readConnectionStart = (reader: ByteReader): ConnectionStart => {
  const versionMajor = reader.octet()
  const versionMinor = reader.octet()
  const serverProperties = readTable(reader)
  const mechanisms = reader.longtext()
  const locales = reader.longtext()
  return { _tag: "connection.start", versionMajor, versionMinor, serverProperties, mechanisms, locales }
}

const readConnectionStartOk = (reader: ByteReader): ConnectionStartOk => {
  const clientProperties = readTable(reader)
  const mechanism = reader.shortstr()
  const response = reader.longbytes()
  const locale = reader.shortstr()
  return { _tag: "connection.start-ok", clientProperties, mechanism, response, locale }
}

const readConnectionSecure = (reader: ByteReader): ConnectionSecure => {
  const challenge = reader.longbytes()
  return { _tag: "connection.secure", challenge }
}

const readConnectionSecureOk = (reader: ByteReader): ConnectionSecureOk => {
  const response = reader.longbytes()
  return { _tag: "connection.secure-ok", response }
}

const readConnectionTune = (reader: ByteReader): ConnectionTune => {
  const channelMax = reader.short()
  const frameMax = reader.long()
  const heartbeat = reader.short()
  return { _tag: "connection.tune", channelMax, frameMax, heartbeat }
}

const readConnectionTuneOk = (reader: ByteReader): ConnectionTuneOk => {
  const channelMax = reader.short()
  const frameMax = reader.long()
  const heartbeat = reader.short()
  return { _tag: "connection.tune-ok", channelMax, frameMax, heartbeat }
}

const readConnectionOpen = (reader: ByteReader): ConnectionOpen => {
  const virtualHost = reader.shortstr()
  reader.shortstr()
  reader.octet()
  return { _tag: "connection.open", virtualHost }
}

const readConnectionOpenOk = (reader: ByteReader): ConnectionOpenOk => {
  reader.shortstr()
  return connectionOpenOk
}

const readConnectionClose = (reader: ByteReader): ConnectionClose => {
  const replyCode = reader.short()
  const replyText = reader.shortstr()
  const classId = reader.short()
  const methodId = reader.short()
  return { _tag: "connection.close", replyCode, replyText, classId, methodId }
}

const readConnectionBlocked = (reader: ByteReader): ConnectionBlocked => {
  const reason = reader.shortstr()
  return { _tag: "connection.blocked", reason }
}

const readConnectionUpdateSecret = (reader: ByteReader): ConnectionUpdateSecret => {
  const newSecret = reader.longbytes()
  const reason = reader.shortstr()
  return { _tag: "connection.update-secret", newSecret, reason }
}

const readChannelOpen = (reader: ByteReader): ChannelOpen => {
  reader.shortstr()
  return channelOpen
}

const readChannelOpenOk = (reader: ByteReader): ChannelOpenOk => {
  reader.longbytes()
  return channelOpenOk
}

const readChannelFlow = (reader: ByteReader): ChannelFlow => {
  const bits = reader.octet()
  const active = (bits & 1) !== 0
  return { _tag: "channel.flow", active }
}

const readChannelFlowOk = (reader: ByteReader): ChannelFlowOk => {
  const bits = reader.octet()
  const active = (bits & 1) !== 0
  return { _tag: "channel.flow-ok", active }
}

const readChannelClose = (reader: ByteReader): ChannelClose => {
  const replyCode = reader.short()
  const replyText = reader.shortstr()
  const classId = reader.short()
  const methodId = reader.short()
  return { _tag: "channel.close", replyCode, replyText, classId, methodId }
}

const readAccessRequest = (reader: ByteReader): AccessRequest => {
  const realm = reader.shortstr()
  const bits = reader.octet()
  const exclusive = (bits & 1) !== 0
  const passive = (bits & 2) !== 0
  const active = (bits & 4) !== 0
  const write = (bits & 8) !== 0
  const read = (bits & 16) !== 0
  return { _tag: "access.request", realm, exclusive, passive, active, write, read }
}

const readAccessRequestOk = (reader: ByteReader): AccessRequestOk => {
  const ticket = reader.short()
  return { _tag: "access.request-ok", ticket }
}

const readExchangeDeclare = (reader: ByteReader): ExchangeDeclare => {
  reader.short()
  const exchange = reader.shortstr()
  const type = reader.shortstr()
  const bits = reader.octet()
  const passive = (bits & 1) !== 0
  const durable = (bits & 2) !== 0
  const autoDelete = (bits & 4) !== 0
  const internal = (bits & 8) !== 0
  const nowait = (bits & 16) !== 0
  const table = readTable(reader)
  return { _tag: "exchange.declare", exchange, type, passive, durable, autoDelete, internal, nowait, arguments: table }
}

const readExchangeDelete = (reader: ByteReader): ExchangeDelete => {
  reader.short()
  const exchange = reader.shortstr()
  const bits = reader.octet()
  const ifUnused = (bits & 1) !== 0
  const nowait = (bits & 2) !== 0
  return { _tag: "exchange.delete", exchange, ifUnused, nowait }
}

const readExchangeBind = (reader: ByteReader): ExchangeBind => {
  reader.short()
  const destination = reader.shortstr()
  const source = reader.shortstr()
  const routingKey = reader.shortstr()
  const bits = reader.octet()
  const nowait = (bits & 1) !== 0
  const table = readTable(reader)
  return { _tag: "exchange.bind", destination, source, routingKey, nowait, arguments: table }
}

const readExchangeUnbind = (reader: ByteReader): ExchangeUnbind => {
  reader.short()
  const destination = reader.shortstr()
  const source = reader.shortstr()
  const routingKey = reader.shortstr()
  const bits = reader.octet()
  const nowait = (bits & 1) !== 0
  const table = readTable(reader)
  return { _tag: "exchange.unbind", destination, source, routingKey, nowait, arguments: table }
}

const readQueueDeclare = (reader: ByteReader): QueueDeclare => {
  reader.short()
  const queue = reader.shortstr()
  const bits = reader.octet()
  const passive = (bits & 1) !== 0
  const durable = (bits & 2) !== 0
  const exclusive = (bits & 4) !== 0
  const autoDelete = (bits & 8) !== 0
  const nowait = (bits & 16) !== 0
  const table = readTable(reader)
  return { _tag: "queue.declare", queue, passive, durable, exclusive, autoDelete, nowait, arguments: table }
}

const readQueueDeclareOk = (reader: ByteReader): QueueDeclareOk => {
  const queue = reader.shortstr()
  const messageCount = reader.long()
  const consumerCount = reader.long()
  return { _tag: "queue.declare-ok", queue, messageCount, consumerCount }
}

const readQueueBind = (reader: ByteReader): QueueBind => {
  reader.short()
  const queue = reader.shortstr()
  const exchange = reader.shortstr()
  const routingKey = reader.shortstr()
  const bits = reader.octet()
  const nowait = (bits & 1) !== 0
  const table = readTable(reader)
  return { _tag: "queue.bind", queue, exchange, routingKey, nowait, arguments: table }
}

const readQueuePurge = (reader: ByteReader): QueuePurge => {
  reader.short()
  const queue = reader.shortstr()
  const bits = reader.octet()
  const nowait = (bits & 1) !== 0
  return { _tag: "queue.purge", queue, nowait }
}

const readQueuePurgeOk = (reader: ByteReader): QueuePurgeOk => {
  const messageCount = reader.long()
  return { _tag: "queue.purge-ok", messageCount }
}

const readQueueDelete = (reader: ByteReader): QueueDelete => {
  reader.short()
  const queue = reader.shortstr()
  const bits = reader.octet()
  const ifUnused = (bits & 1) !== 0
  const ifEmpty = (bits & 2) !== 0
  const nowait = (bits & 4) !== 0
  return { _tag: "queue.delete", queue, ifUnused, ifEmpty, nowait }
}

const readQueueDeleteOk = (reader: ByteReader): QueueDeleteOk => {
  const messageCount = reader.long()
  return { _tag: "queue.delete-ok", messageCount }
}

const readQueueUnbind = (reader: ByteReader): QueueUnbind => {
  reader.short()
  const queue = reader.shortstr()
  const exchange = reader.shortstr()
  const routingKey = reader.shortstr()
  const table = readTable(reader)
  return { _tag: "queue.unbind", queue, exchange, routingKey, arguments: table }
}

const readConfirmSelect = (reader: ByteReader): ConfirmSelect => {
  const bits = reader.octet()
  const nowait = (bits & 1) !== 0
  return { _tag: "confirm.select", nowait }
}

/** @internal Class, method and arguments; the reader stands behind them. */
export const read = (reader: ByteReader): Method => {
  const classId = reader.short()
  const methodId = reader.short()
  switch (classId) {
    case 60:
      switch (methodId) {
        case 60:
          return readBasicDeliver(reader)
        case 40:
          return readBasicPublish(reader)
        case 80:
          return readBasicAck(reader)
        case 120:
          return readBasicNack(reader)
        case 90:
          return readBasicReject(reader)
        case 50:
          return readBasicReturn(reader)
        case 10:
          return readBasicQos(reader)
        case 11:
          return basicQosOk
        case 20:
          return readBasicConsume(reader)
        case 21:
          return readBasicConsumeOk(reader)
        case 30:
          return readBasicCancel(reader)
        case 31:
          return readBasicCancelOk(reader)
        case 70:
          return readBasicGet(reader)
        case 71:
          return readBasicGetOk(reader)
        case 72:
          return readBasicGetEmpty(reader)
        case 100:
          return readBasicRecoverAsync(reader)
        case 110:
          return readBasicRecover(reader)
        case 111:
          return basicRecoverOk
      }
      break
    case 10:
      switch (methodId) {
        case 10:
          return readConnectionStart(reader)
        case 11:
          return readConnectionStartOk(reader)
        case 20:
          return readConnectionSecure(reader)
        case 21:
          return readConnectionSecureOk(reader)
        case 30:
          return readConnectionTune(reader)
        case 31:
          return readConnectionTuneOk(reader)
        case 40:
          return readConnectionOpen(reader)
        case 41:
          return readConnectionOpenOk(reader)
        case 50:
          return readConnectionClose(reader)
        case 51:
          return connectionCloseOk
        case 60:
          return readConnectionBlocked(reader)
        case 61:
          return connectionUnblocked
        case 70:
          return readConnectionUpdateSecret(reader)
        case 71:
          return connectionUpdateSecretOk
      }
      break
    case 20:
      switch (methodId) {
        case 10:
          return readChannelOpen(reader)
        case 11:
          return readChannelOpenOk(reader)
        case 20:
          return readChannelFlow(reader)
        case 21:
          return readChannelFlowOk(reader)
        case 40:
          return readChannelClose(reader)
        case 41:
          return channelCloseOk
      }
      break
    case 30:
      switch (methodId) {
        case 10:
          return readAccessRequest(reader)
        case 11:
          return readAccessRequestOk(reader)
      }
      break
    case 40:
      switch (methodId) {
        case 10:
          return readExchangeDeclare(reader)
        case 11:
          return exchangeDeclareOk
        case 20:
          return readExchangeDelete(reader)
        case 21:
          return exchangeDeleteOk
        case 30:
          return readExchangeBind(reader)
        case 31:
          return exchangeBindOk
        case 40:
          return readExchangeUnbind(reader)
        case 51:
          return exchangeUnbindOk
      }
      break
    case 50:
      switch (methodId) {
        case 10:
          return readQueueDeclare(reader)
        case 11:
          return readQueueDeclareOk(reader)
        case 20:
          return readQueueBind(reader)
        case 21:
          return queueBindOk
        case 30:
          return readQueuePurge(reader)
        case 31:
          return readQueuePurgeOk(reader)
        case 40:
          return readQueueDelete(reader)
        case 41:
          return readQueueDeleteOk(reader)
        case 50:
          return readQueueUnbind(reader)
        case 51:
          return queueUnbindOk
      }
      break
    case 85:
      switch (methodId) {
        case 10:
          return readConfirmSelect(reader)
        case 11:
          return confirmSelectOk
      }
      break
    case 90:
      switch (methodId) {
        case 10:
          return txSelect
        case 11:
          return txSelectOk
        case 20:
          return txCommit
        case 21:
          return txCommitOk
        case 30:
          return txRollback
        case 31:
          return txRollbackOk
      }
      break
  }
  throw new AmqpError({
    message: `There is no method ${methodId} of class ${classId}`,
    replyCode: Constants.notImplemented,
    classId,
    methodId
  })
}

/** Reads the payload of a method frame; throws {@link AmqpError}. */
export const decodeUnsafe = (payload: Uint8Array): Method => {
  const reader = new ByteReader(payload)
  const method = read(reader)
  if (reader.at !== reader.end) throw reader.error(`${reader.end - reader.at} octets behind ${method._tag}`)
  return method
}

/** Reads the payload of a method frame. */
export const decode = (payload: Uint8Array): Result.Result<Method, AmqpError> =>
  Result.try({ try: () => decodeUnsafe(payload), catch: (error) => error as AmqpError })

// ------------------------------------------------------------------ writing

/** @internal */
export const writeBasicDeliver = (writer: ByteWriter, method: BasicDeliver): void => {
  writer.int(0x003c003c)
  writer.shortstr(method.consumerTag, "consumerTag")
  writer.longlong(method.deliveryTag, "deliveryTag")
  writer.octet(method.redelivered ? 1 : 0, "bits")
  writer.shortstr(method.exchange, "exchange")
  writer.shortstr(method.routingKey, "routingKey")
}

/** @internal */
export const writeBasicPublish = (writer: ByteWriter, method: BasicPublish): void => {
  writer.int(0x003c0028)
  writer.short(0, "reserved")
  writer.shortstr(method.exchange, "exchange")
  writer.shortstr(method.routingKey, "routingKey")
  writer.octet((method.mandatory ? 1 : 0) | (method.immediate ? 2 : 0), "bits")
}

/** @internal */
export const writeBasicAck = (writer: ByteWriter, method: BasicAck): void => {
  writer.int(0x003c0050)
  writer.longlong(method.deliveryTag, "deliveryTag")
  writer.octet(method.multiple ? 1 : 0, "bits")
}

/** @internal */
export const writeBasicNack = (writer: ByteWriter, method: BasicNack): void => {
  writer.int(0x003c0078)
  writer.longlong(method.deliveryTag, "deliveryTag")
  writer.octet((method.multiple ? 1 : 0) | (method.requeue ? 2 : 0), "bits")
}

/** @internal */
export const writeBasicReject = (writer: ByteWriter, method: BasicReject): void => {
  writer.int(0x003c005a)
  writer.longlong(method.deliveryTag, "deliveryTag")
  writer.octet(method.requeue ? 1 : 0, "bits")
}

/** @internal */
export const writeBasicReturn = (writer: ByteWriter, method: BasicReturn): void => {
  writer.int(0x003c0032)
  writer.short(method.replyCode, "replyCode")
  writer.shortstr(method.replyText, "replyText")
  writer.shortstr(method.exchange, "exchange")
  writer.shortstr(method.routingKey, "routingKey")
}

/** @internal */
export const writeBasicQos = (writer: ByteWriter, method: BasicQos): void => {
  writer.int(0x003c000a)
  writer.long(method.prefetchSize, "prefetchSize")
  writer.short(method.prefetchCount, "prefetchCount")
  writer.octet(method.global ? 1 : 0, "bits")
}

/** @internal */
export const writeBasicQosOk = (writer: ByteWriter, _method: BasicQosOk): void => {
  writer.int(0x003c000b)
}

/** @internal */
export const writeBasicConsume = (writer: ByteWriter, method: BasicConsume): void => {
  writer.int(0x003c0014)
  writer.short(0, "reserved")
  writer.shortstr(method.queue, "queue")
  writer.shortstr(method.consumerTag, "consumerTag")
  writer.octet(
    (method.noLocal ? 1 : 0) | (method.noAck ? 2 : 0) | (method.exclusive ? 4 : 0) | (method.nowait ? 8 : 0),
    "bits"
  )
  writeTable(writer, method.arguments, "arguments")
}

/** @internal */
export const writeBasicConsumeOk = (writer: ByteWriter, method: BasicConsumeOk): void => {
  writer.int(0x003c0015)
  writer.shortstr(method.consumerTag, "consumerTag")
}

/** @internal */
export const writeBasicCancel = (writer: ByteWriter, method: BasicCancel): void => {
  writer.int(0x003c001e)
  writer.shortstr(method.consumerTag, "consumerTag")
  writer.octet(method.nowait ? 1 : 0, "bits")
}

/** @internal */
export const writeBasicCancelOk = (writer: ByteWriter, method: BasicCancelOk): void => {
  writer.int(0x003c001f)
  writer.shortstr(method.consumerTag, "consumerTag")
}

/** @internal */
export const writeBasicGet = (writer: ByteWriter, method: BasicGet): void => {
  writer.int(0x003c0046)
  writer.short(0, "reserved")
  writer.shortstr(method.queue, "queue")
  writer.octet(method.noAck ? 1 : 0, "bits")
}

/** @internal */
export const writeBasicGetOk = (writer: ByteWriter, method: BasicGetOk): void => {
  writer.int(0x003c0047)
  writer.longlong(method.deliveryTag, "deliveryTag")
  writer.octet(method.redelivered ? 1 : 0, "bits")
  writer.shortstr(method.exchange, "exchange")
  writer.shortstr(method.routingKey, "routingKey")
  writer.long(method.messageCount, "messageCount")
}

/** @internal */
export const writeBasicGetEmpty = (writer: ByteWriter, _method: BasicGetEmpty): void => {
  writer.int(0x003c0048)
  writer.shortstr("", "reserved")
}

/** @internal */
export const writeBasicRecoverAsync = (writer: ByteWriter, method: BasicRecoverAsync): void => {
  writer.int(0x003c0064)
  writer.octet(method.requeue ? 1 : 0, "bits")
}

/** @internal */
export const writeBasicRecover = (writer: ByteWriter, method: BasicRecover): void => {
  writer.int(0x003c006e)
  writer.octet(method.requeue ? 1 : 0, "bits")
}

/** @internal */
export const writeBasicRecoverOk = (writer: ByteWriter, _method: BasicRecoverOk): void => {
  writer.int(0x003c006f)
}

/** @internal */
export const writeConnectionStart = (writer: ByteWriter, method: ConnectionStart): void => {
  writer.int(0x000a000a)
  writer.octet(method.versionMajor, "versionMajor")
  writer.octet(method.versionMinor, "versionMinor")
  writeTable(writer, method.serverProperties, "serverProperties")
  writer.longstr(method.mechanisms)
  writer.longstr(method.locales)
}

/** @internal */
export const writeConnectionStartOk = (writer: ByteWriter, method: ConnectionStartOk): void => {
  writer.int(0x000a000b)
  writeTable(writer, method.clientProperties, "clientProperties")
  writer.shortstr(method.mechanism, "mechanism")
  writer.longbytes(method.response)
  writer.shortstr(method.locale, "locale")
}

/** @internal */
export const writeConnectionSecure = (writer: ByteWriter, method: ConnectionSecure): void => {
  writer.int(0x000a0014)
  writer.longbytes(method.challenge)
}

/** @internal */
export const writeConnectionSecureOk = (writer: ByteWriter, method: ConnectionSecureOk): void => {
  writer.int(0x000a0015)
  writer.longbytes(method.response)
}

/** @internal */
export const writeConnectionTune = (writer: ByteWriter, method: ConnectionTune): void => {
  writer.int(0x000a001e)
  writer.short(method.channelMax, "channelMax")
  writer.long(method.frameMax, "frameMax")
  writer.short(method.heartbeat, "heartbeat")
}

/** @internal */
export const writeConnectionTuneOk = (writer: ByteWriter, method: ConnectionTuneOk): void => {
  writer.int(0x000a001f)
  writer.short(method.channelMax, "channelMax")
  writer.long(method.frameMax, "frameMax")
  writer.short(method.heartbeat, "heartbeat")
}

/** @internal */
export const writeConnectionOpen = (writer: ByteWriter, method: ConnectionOpen): void => {
  writer.int(0x000a0028)
  writer.shortstr(method.virtualHost, "virtualHost")
  writer.shortstr("", "reserved")
  writer.octet(0, "bits")
}

/** @internal */
export const writeConnectionOpenOk = (writer: ByteWriter, _method: ConnectionOpenOk): void => {
  writer.int(0x000a0029)
  writer.shortstr("", "reserved")
}

/** @internal */
export const writeConnectionClose = (writer: ByteWriter, method: ConnectionClose): void => {
  writer.int(0x000a0032)
  writer.short(method.replyCode, "replyCode")
  writer.shortstr(method.replyText, "replyText")
  writer.short(method.classId, "classId")
  writer.short(method.methodId, "methodId")
}

/** @internal */
export const writeConnectionCloseOk = (writer: ByteWriter, _method: ConnectionCloseOk): void => {
  writer.int(0x000a0033)
}

/** @internal */
export const writeConnectionBlocked = (writer: ByteWriter, method: ConnectionBlocked): void => {
  writer.int(0x000a003c)
  writer.shortstr(method.reason, "reason")
}

/** @internal */
export const writeConnectionUnblocked = (writer: ByteWriter, _method: ConnectionUnblocked): void => {
  writer.int(0x000a003d)
}

/** @internal */
export const writeConnectionUpdateSecret = (writer: ByteWriter, method: ConnectionUpdateSecret): void => {
  writer.int(0x000a0046)
  writer.longbytes(method.newSecret)
  writer.shortstr(method.reason, "reason")
}

/** @internal */
export const writeConnectionUpdateSecretOk = (writer: ByteWriter, _method: ConnectionUpdateSecretOk): void => {
  writer.int(0x000a0047)
}

/** @internal */
export const writeChannelOpen = (writer: ByteWriter, _method: ChannelOpen): void => {
  writer.int(0x0014000a)
  writer.shortstr("", "reserved")
}

/** @internal */
export const writeChannelOpenOk = (writer: ByteWriter, _method: ChannelOpenOk): void => {
  writer.int(0x0014000b)
  writer.longbytes(noOctets)
}

/** @internal */
export const writeChannelFlow = (writer: ByteWriter, method: ChannelFlow): void => {
  writer.int(0x00140014)
  writer.octet(method.active ? 1 : 0, "bits")
}

/** @internal */
export const writeChannelFlowOk = (writer: ByteWriter, method: ChannelFlowOk): void => {
  writer.int(0x00140015)
  writer.octet(method.active ? 1 : 0, "bits")
}

/** @internal */
export const writeChannelClose = (writer: ByteWriter, method: ChannelClose): void => {
  writer.int(0x00140028)
  writer.short(method.replyCode, "replyCode")
  writer.shortstr(method.replyText, "replyText")
  writer.short(method.classId, "classId")
  writer.short(method.methodId, "methodId")
}

/** @internal */
export const writeChannelCloseOk = (writer: ByteWriter, _method: ChannelCloseOk): void => {
  writer.int(0x00140029)
}

/** @internal */
export const writeAccessRequest = (writer: ByteWriter, method: AccessRequest): void => {
  writer.int(0x001e000a)
  writer.shortstr(method.realm, "realm")
  writer.octet(
    (method.exclusive ? 1 : 0) |
      (method.passive ? 2 : 0) |
      (method.active ? 4 : 0) |
      (method.write ? 8 : 0) |
      (method.read ? 16 : 0),
    "bits"
  )
}

/** @internal */
export const writeAccessRequestOk = (writer: ByteWriter, method: AccessRequestOk): void => {
  writer.int(0x001e000b)
  writer.short(method.ticket, "ticket")
}

/** @internal */
export const writeExchangeDeclare = (writer: ByteWriter, method: ExchangeDeclare): void => {
  writer.int(0x0028000a)
  writer.short(0, "reserved")
  writer.shortstr(method.exchange, "exchange")
  writer.shortstr(method.type, "type")
  writer.octet(
    (method.passive ? 1 : 0) |
      (method.durable ? 2 : 0) |
      (method.autoDelete ? 4 : 0) |
      (method.internal ? 8 : 0) |
      (method.nowait ? 16 : 0),
    "bits"
  )
  writeTable(writer, method.arguments, "arguments")
}

/** @internal */
export const writeExchangeDeclareOk = (writer: ByteWriter, _method: ExchangeDeclareOk): void => {
  writer.int(0x0028000b)
}

/** @internal */
export const writeExchangeDelete = (writer: ByteWriter, method: ExchangeDelete): void => {
  writer.int(0x00280014)
  writer.short(0, "reserved")
  writer.shortstr(method.exchange, "exchange")
  writer.octet((method.ifUnused ? 1 : 0) | (method.nowait ? 2 : 0), "bits")
}

/** @internal */
export const writeExchangeDeleteOk = (writer: ByteWriter, _method: ExchangeDeleteOk): void => {
  writer.int(0x00280015)
}

/** @internal */
export const writeExchangeBind = (writer: ByteWriter, method: ExchangeBind): void => {
  writer.int(0x0028001e)
  writer.short(0, "reserved")
  writer.shortstr(method.destination, "destination")
  writer.shortstr(method.source, "source")
  writer.shortstr(method.routingKey, "routingKey")
  writer.octet(method.nowait ? 1 : 0, "bits")
  writeTable(writer, method.arguments, "arguments")
}

/** @internal */
export const writeExchangeBindOk = (writer: ByteWriter, _method: ExchangeBindOk): void => {
  writer.int(0x0028001f)
}

/** @internal */
export const writeExchangeUnbind = (writer: ByteWriter, method: ExchangeUnbind): void => {
  writer.int(0x00280028)
  writer.short(0, "reserved")
  writer.shortstr(method.destination, "destination")
  writer.shortstr(method.source, "source")
  writer.shortstr(method.routingKey, "routingKey")
  writer.octet(method.nowait ? 1 : 0, "bits")
  writeTable(writer, method.arguments, "arguments")
}

/** @internal */
export const writeExchangeUnbindOk = (writer: ByteWriter, _method: ExchangeUnbindOk): void => {
  writer.int(0x00280033)
}

/** @internal */
export const writeQueueDeclare = (writer: ByteWriter, method: QueueDeclare): void => {
  writer.int(0x0032000a)
  writer.short(0, "reserved")
  writer.shortstr(method.queue, "queue")
  writer.octet(
    (method.passive ? 1 : 0) |
      (method.durable ? 2 : 0) |
      (method.exclusive ? 4 : 0) |
      (method.autoDelete ? 8 : 0) |
      (method.nowait ? 16 : 0),
    "bits"
  )
  writeTable(writer, method.arguments, "arguments")
}

/** @internal */
export const writeQueueDeclareOk = (writer: ByteWriter, method: QueueDeclareOk): void => {
  writer.int(0x0032000b)
  writer.shortstr(method.queue, "queue")
  writer.long(method.messageCount, "messageCount")
  writer.long(method.consumerCount, "consumerCount")
}

/** @internal */
export const writeQueueBind = (writer: ByteWriter, method: QueueBind): void => {
  writer.int(0x00320014)
  writer.short(0, "reserved")
  writer.shortstr(method.queue, "queue")
  writer.shortstr(method.exchange, "exchange")
  writer.shortstr(method.routingKey, "routingKey")
  writer.octet(method.nowait ? 1 : 0, "bits")
  writeTable(writer, method.arguments, "arguments")
}

/** @internal */
export const writeQueueBindOk = (writer: ByteWriter, _method: QueueBindOk): void => {
  writer.int(0x00320015)
}

/** @internal */
export const writeQueuePurge = (writer: ByteWriter, method: QueuePurge): void => {
  writer.int(0x0032001e)
  writer.short(0, "reserved")
  writer.shortstr(method.queue, "queue")
  writer.octet(method.nowait ? 1 : 0, "bits")
}

/** @internal */
export const writeQueuePurgeOk = (writer: ByteWriter, method: QueuePurgeOk): void => {
  writer.int(0x0032001f)
  writer.long(method.messageCount, "messageCount")
}

/** @internal */
export const writeQueueDelete = (writer: ByteWriter, method: QueueDelete): void => {
  writer.int(0x00320028)
  writer.short(0, "reserved")
  writer.shortstr(method.queue, "queue")
  writer.octet((method.ifUnused ? 1 : 0) | (method.ifEmpty ? 2 : 0) | (method.nowait ? 4 : 0), "bits")
}

/** @internal */
export const writeQueueDeleteOk = (writer: ByteWriter, method: QueueDeleteOk): void => {
  writer.int(0x00320029)
  writer.long(method.messageCount, "messageCount")
}

/** @internal */
export const writeQueueUnbind = (writer: ByteWriter, method: QueueUnbind): void => {
  writer.int(0x00320032)
  writer.short(0, "reserved")
  writer.shortstr(method.queue, "queue")
  writer.shortstr(method.exchange, "exchange")
  writer.shortstr(method.routingKey, "routingKey")
  writeTable(writer, method.arguments, "arguments")
}

/** @internal */
export const writeQueueUnbindOk = (writer: ByteWriter, _method: QueueUnbindOk): void => {
  writer.int(0x00320033)
}

/** @internal */
export const writeConfirmSelect = (writer: ByteWriter, method: ConfirmSelect): void => {
  writer.int(0x0055000a)
  writer.octet(method.nowait ? 1 : 0, "bits")
}

/** @internal */
export const writeConfirmSelectOk = (writer: ByteWriter, _method: ConfirmSelectOk): void => {
  writer.int(0x0055000b)
}

/** @internal */
export const writeTxSelect = (writer: ByteWriter, _method: TxSelect): void => {
  writer.int(0x005a000a)
}

/** @internal */
export const writeTxSelectOk = (writer: ByteWriter, _method: TxSelectOk): void => {
  writer.int(0x005a000b)
}

/** @internal */
export const writeTxCommit = (writer: ByteWriter, _method: TxCommit): void => {
  writer.int(0x005a0014)
}

/** @internal */
export const writeTxCommitOk = (writer: ByteWriter, _method: TxCommitOk): void => {
  writer.int(0x005a0015)
}

/** @internal */
export const writeTxRollback = (writer: ByteWriter, _method: TxRollback): void => {
  writer.int(0x005a001e)
}

/** @internal */
export const writeTxRollbackOk = (writer: ByteWriter, _method: TxRollbackOk): void => {
  writer.int(0x005a001f)
}

/** @internal Class, method and arguments. */
export const write = (writer: ByteWriter, method: Method): void => {
  switch (method._tag) {
    case "basic.deliver":
      return writeBasicDeliver(writer, method)
    case "basic.publish":
      return writeBasicPublish(writer, method)
    case "basic.ack":
      return writeBasicAck(writer, method)
    case "basic.nack":
      return writeBasicNack(writer, method)
    case "basic.reject":
      return writeBasicReject(writer, method)
    case "basic.return":
      return writeBasicReturn(writer, method)
    case "basic.qos":
      return writeBasicQos(writer, method)
    case "basic.qos-ok":
      return writeBasicQosOk(writer, method)
    case "basic.consume":
      return writeBasicConsume(writer, method)
    case "basic.consume-ok":
      return writeBasicConsumeOk(writer, method)
    case "basic.cancel":
      return writeBasicCancel(writer, method)
    case "basic.cancel-ok":
      return writeBasicCancelOk(writer, method)
    case "basic.get":
      return writeBasicGet(writer, method)
    case "basic.get-ok":
      return writeBasicGetOk(writer, method)
    case "basic.get-empty":
      return writeBasicGetEmpty(writer, method)
    case "basic.recover-async":
      return writeBasicRecoverAsync(writer, method)
    case "basic.recover":
      return writeBasicRecover(writer, method)
    case "basic.recover-ok":
      return writeBasicRecoverOk(writer, method)
    case "connection.start":
      return writeConnectionStart(writer, method)
    case "connection.start-ok":
      return writeConnectionStartOk(writer, method)
    case "connection.secure":
      return writeConnectionSecure(writer, method)
    case "connection.secure-ok":
      return writeConnectionSecureOk(writer, method)
    case "connection.tune":
      return writeConnectionTune(writer, method)
    case "connection.tune-ok":
      return writeConnectionTuneOk(writer, method)
    case "connection.open":
      return writeConnectionOpen(writer, method)
    case "connection.open-ok":
      return writeConnectionOpenOk(writer, method)
    case "connection.close":
      return writeConnectionClose(writer, method)
    case "connection.close-ok":
      return writeConnectionCloseOk(writer, method)
    case "connection.blocked":
      return writeConnectionBlocked(writer, method)
    case "connection.unblocked":
      return writeConnectionUnblocked(writer, method)
    case "connection.update-secret":
      return writeConnectionUpdateSecret(writer, method)
    case "connection.update-secret-ok":
      return writeConnectionUpdateSecretOk(writer, method)
    case "channel.open":
      return writeChannelOpen(writer, method)
    case "channel.open-ok":
      return writeChannelOpenOk(writer, method)
    case "channel.flow":
      return writeChannelFlow(writer, method)
    case "channel.flow-ok":
      return writeChannelFlowOk(writer, method)
    case "channel.close":
      return writeChannelClose(writer, method)
    case "channel.close-ok":
      return writeChannelCloseOk(writer, method)
    case "access.request":
      return writeAccessRequest(writer, method)
    case "access.request-ok":
      return writeAccessRequestOk(writer, method)
    case "exchange.declare":
      return writeExchangeDeclare(writer, method)
    case "exchange.declare-ok":
      return writeExchangeDeclareOk(writer, method)
    case "exchange.delete":
      return writeExchangeDelete(writer, method)
    case "exchange.delete-ok":
      return writeExchangeDeleteOk(writer, method)
    case "exchange.bind":
      return writeExchangeBind(writer, method)
    case "exchange.bind-ok":
      return writeExchangeBindOk(writer, method)
    case "exchange.unbind":
      return writeExchangeUnbind(writer, method)
    case "exchange.unbind-ok":
      return writeExchangeUnbindOk(writer, method)
    case "queue.declare":
      return writeQueueDeclare(writer, method)
    case "queue.declare-ok":
      return writeQueueDeclareOk(writer, method)
    case "queue.bind":
      return writeQueueBind(writer, method)
    case "queue.bind-ok":
      return writeQueueBindOk(writer, method)
    case "queue.purge":
      return writeQueuePurge(writer, method)
    case "queue.purge-ok":
      return writeQueuePurgeOk(writer, method)
    case "queue.delete":
      return writeQueueDelete(writer, method)
    case "queue.delete-ok":
      return writeQueueDeleteOk(writer, method)
    case "queue.unbind":
      return writeQueueUnbind(writer, method)
    case "queue.unbind-ok":
      return writeQueueUnbindOk(writer, method)
    case "confirm.select":
      return writeConfirmSelect(writer, method)
    case "confirm.select-ok":
      return writeConfirmSelectOk(writer, method)
    case "tx.select":
      return writeTxSelect(writer, method)
    case "tx.select-ok":
      return writeTxSelectOk(writer, method)
    case "tx.commit":
      return writeTxCommit(writer, method)
    case "tx.commit-ok":
      return writeTxCommitOk(writer, method)
    case "tx.rollback":
      return writeTxRollback(writer, method)
    case "tx.rollback-ok":
      return writeTxRollbackOk(writer, method)
  }
}

/** The payload of a method frame; throws {@link InvalidValue}. */
export const encodeUnsafe = (method: Method): Uint8Array => {
  const writer = new ByteWriter(256)
  write(writer, method)
  return writer.take()
}

/** The payload of a method frame. */
export const encode = (method: Method): Result.Result<Uint8Array, InvalidValue> =>
  Result.try({ try: () => encodeUnsafe(method), catch: (error) => error as InvalidValue })
