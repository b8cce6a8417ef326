/**
 * A producer sends values of one type: the schema writes them, the serializer turns them into bytes, the connection
 * publishes them (kombu/messaging.py `Producer`). It declares what it was told to declare once per link.
 */
import type * as Content from "@apium/protocol/kombu/Content"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Schema from "effect/Schema"
import { Connection } from "./Connection.ts"
import { type Arguments, defaultExchange, type Exchange } from "./Exchange.ts"
import type { HubError } from "./HubError.ts"
import type { Message, Properties, Route } from "./Message.ts"
import type { Queue } from "./Queue.ts"
import * as Serializer from "./Serializer.ts"

/** Per publish; what is left out is the producer's. What the content is, its serializer says. */
export type PublishOptions = Partial<
  Route & Omit<Properties, "contentType" | "contentEncoding"> & { readonly headers: Arguments }
>

export interface Options {
  /** Default: the nameless exchange, whose routing key is a queue's name. */
  readonly exchange?: Exchange | undefined
  readonly routingKey?: string | undefined
  /** Default `json`. */
  readonly serializer?: string | undefined
  readonly compression?: string | undefined
  /** Queues, with their bindings, to declare before the first publish on each link. */
  readonly declare?: ReadonlyArray<Queue> | undefined
  /**
   * Messages without a queue fail with `Returned`. Default: `true` to the nameless exchange, where the routing key is meant to
   * be a queue's name; `false` to others, as in AMQP.
   */
  readonly mandatory?: boolean | undefined
}

export interface Producer<in A> {
  readonly publish: (value: A, options?: PublishOptions) => Effect.Effect<void, HubError | Schema.SchemaError>
  /** One pipelined batch, one wait for all. */
  readonly publishAll: (
    values: ReadonlyArray<A>,
    options?: PublishOptions
  ) => Effect.Effect<void, HubError | Schema.SchemaError>
}

export const make = <A, I>(
  schema: Schema.Codec<A, I>,
  options: Options = {}
): Effect.Effect<Producer<A>, never, Connection> =>
  Effect.map(Connection, (connection) => {
    const encode = Schema.encodeEffect(schema)
    const topology = {
      exchanges: options.exchange === undefined || options.exchange.name === "" ? [] : [options.exchange],
      queues: options.declare ?? []
    }

    const message = (
      registry: Content.Registry,
      value: A,
      publish: PublishOptions | undefined
    ): Effect.Effect<Message, HubError | Schema.SchemaError> => {
      const encodeOptions = publish === undefined ? plain : optionsOf(publish)
      return atOnce(encode(value), (encoded) => Serializer.encodeWith(registry, encoded, encodeOptions))
    }

    const optionsOf = (publish: PublishOptions): Serializer.EncodeOptions => {
      const {
        exchange: _,
        routingKey: _key,
        mandatory: _mandatory,
        confirm: _confirm,
        wait: _wait,
        notBefore: _notBefore,
        headers,
        ...properties
      } = publish
      return {
        serializer: options.serializer,
        compression: options.compression,
        properties: { deliveryMode: "persistent", ...properties },
        headers
      }
    }
    const plain = optionsOf({})

    const route = (publish: PublishOptions): Route => {
      const exchange = publish.exchange ?? (options.exchange ?? defaultExchange).name
      return {
        exchange,
        routingKey: publish.routingKey ?? options.routingKey ?? "",
        mandatory: publish.mandatory ?? options.mandatory ?? exchange === "",
        confirm: publish.confirm,
        wait: publish.wait,
        notBefore: publish.notBefore
      }
    }

    const plainRoute = route({})

    return {
      publish: (value, publish) =>
        Effect.flatMap(Serializer.Serializers, (registry) =>
          atOnce(message(registry, value, publish), (message) =>
            connection.publish(message, publish === undefined ? plainRoute : route(publish), topology)
          )
        ),
      publishAll: (values, publish) =>
        Effect.flatMap(Serializer.Serializers, (registry) =>
          Effect.flatMap(
            Effect.forEach(values, (value) => message(registry, value, publish)),
            (messages) => {
              const to = publish === undefined ? plainRoute : route(publish)
              return connection.publishAll(
                messages.map((message) => [message, to] as const),
                topology
              )
            }
          )
        )
    }
  })

/** `flatMap` that costs nothing where the value is there: most schemas encode at once. */
const atOnce = <A, B, E, F>(
  effect: Effect.Effect<A, E>,
  next: (value: A) => Effect.Effect<B, F>
): Effect.Effect<B, E | F> =>
  Exit.isExit(effect) && Exit.isSuccess(effect) ? next(effect.value as A) : Effect.flatMap(effect, next)
