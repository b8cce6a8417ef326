/**
 * Messages of Kombu and Celery as data: bytes in, values out, and back. Pure: no I/O, no clock, no randomness, no Effect runtime.
 *
 * `kombu/Msgpack` and `kombu/Yaml` are not here: import them from their own paths where they are wanted.
 */
export * as Certificate from "./celery/Certificate.ts"
export * as ControlMessage from "./celery/ControlMessage.ts"
export * as EventMessage from "./celery/EventMessage.ts"
export * as PrivateKey from "./celery/PrivateKey.ts"
export * as PythonRepr from "./celery/PythonRepr.ts"
export * as ResultMessage from "./celery/ResultMessage.ts"
export * as Signature from "./celery/Signature.ts"
export * as SignedMessage from "./celery/SignedMessage.ts"
export * as TaskMessage from "./celery/TaskMessage.ts"
export * as TaskState from "./celery/TaskState.ts"
export * as BrokerHeaders from "./kombu/BrokerHeaders.ts"
export * as Bzip2 from "./kombu/Bzip2.ts"
export * as Content from "./kombu/Content.ts"
export * as Envelope from "./kombu/Envelope.ts"
export * as IsoTime from "./kombu/IsoTime.ts"
export * as Json from "./kombu/Json.ts"
export * as MailboxMessage from "./kombu/MailboxMessage.ts"
export * as RedisKeys from "./kombu/RedisKeys.ts"
export * as Zstd from "./kombu/Zstd.ts"
