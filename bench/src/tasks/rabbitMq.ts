/** A RabbitMQ for all benchmarks of one run: a virtual host for each contestant. */
import type { Channel } from "@apium/hub/Channel"
import type { Message, Route } from "@apium/hub/Message"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import * as Erlang from "../../../test/support/Erlang.ts"
import * as RabbitMq from "../../../test/support/RabbitMq.ts"
import * as Bench from "../Bench.ts"
import { open } from "./channel.ts"
import type { Line } from "./place.ts"
import { queue } from "./work.ts"

/**
 * Asked inside of the node every 2 ms: a command for each question would take 20, and the machine's time. Acknowledged, too, which no method of AMQP
 * tells. Two minutes are enough for all.
 */
const drained = (vhost: string) => `
  {ok, Queue} = rabbit_amqqueue:lookup(rabbit_misc:r(${Erlang.text(vhost)}, queue, ${Erlang.text(queue)})),
  Wait = fun Wait(Left) ->
    case rabbit_amqqueue:info(Queue, [messages]) of
      [{messages, 0}] -> 0;
      [{messages, Count}] when Left =:= 0 -> Count;
      _ -> timer:sleep(2), Wait(Left - 1)
    end
  end,
  Wait(60000)`

const start = async () => {
  const scope = Scope.makeUnsafe()
  Bench.atEnd(() => Effect.runPromise(Scope.close(scope, Exit.void)))
  const within = <A, E>(effect: Effect.Effect<A, E, Scope.Scope>) => Effect.runPromise(Scope.provide(effect, scope))
  const { node } = await within(
    RabbitMq.start({
      // Publishers are to wait for confirms, and not for memory.
      config: ["vm_memory_high_watermark.absolute = 2GB", "vm_memory_high_watermark_paging_ratio = 0.9"]
    })
  )
  let taken = 0
  return async (): Promise<Line> => {
    const vhost = `bench-${++taken}`
    await within(RabbitMq.access(node, "/").addVhost(vhost))
    const rabbit = RabbitMq.access(node, vhost)
    const state = Effect.map(rabbit.queues, (queues) => queues.find(({ name }) => name === queue))
    let opened: Promise<Channel> | undefined
    const withChannel = async <A, E>(work: (channel: Channel) => Effect.Effect<A, E>): Promise<A> =>
      Effect.runPromise(work(await (opened ??= open(rabbit.url()))))
    const kept: Array<readonly [Message, Route]> = []
    return {
      url: rabbit.url(),
      waiting: () => Effect.runPromise(Effect.map(state, (found) => found?.ready ?? 0)),
      drained: async () => {
        const left = await Effect.runPromise(rabbit.evaluate(drained(vhost)))
        if (left !== 0) throw new Error(`${String(left)} messages are left after two minutes`)
      },
      // What is not there yet is empty.
      purge: async () => {
        if ((await Effect.runPromise(state)) !== undefined) await withChannel((channel) => channel.queuePurge(queue))
      },
      keep: () =>
        withChannel((channel) =>
          Effect.gen(function* () {
            for (;;) {
              const taken = yield* channel.get(queue)
              if (Option.isNone(taken)) return
              kept.push([taken.value.message, { exchange: "", routingKey: queue }])
              yield* taken.value.ack
            }
          })
        ),
      refill: () => withChannel((channel) => channel.publishAll(kept))
    }
  }
}

let started: ReturnType<typeof start> | undefined

export const line = async (): Promise<Line> => (await (started ??= start()))()
