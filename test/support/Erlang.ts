/** What `RabbitMq` says to a node: Erlang, for RabbitMQ 3.10. */

/** A binary of Erlang's. */
export const text = (value: string): string => `<<${[...Buffer.from(value)].join(",")}>>`

/** Who is said to have done it. */
export const self = `<<"test">>`

export const permit = (user: string, vhost: string, may: ReadonlyArray<string>) =>
  `rabbit_auth_backend_internal:set_permissions(${[user, vhost, ...may].map(text).join(", ")}, ${self})`

// Without a password: EXTERNAL is its only way in.
export const externalUser = `
  rabbit_auth_backend_internal:add_user(<<"apium">>, <<>>, ${self}),
  rabbit_auth_backend_internal:clear_password(<<"apium">>, ${self}),
  ${permit("apium", "/", [".*", ".*", ".*"])}, ok`

// A quorum queue tells others how many messages it has every five seconds; its state machine knows now.
export const queuesOf = (vhost: string) => `
  lists:map(fun(Q) ->
    Name = element(4, amqqueue:get_name(Q)),
    case amqqueue:get_type(Q) of
      rabbit_quorum_queue ->
        {ok, {_, State}, _} = ra:leader_query(amqqueue:get_pid(Q), fun rabbit_fifo:overview/1),
        #{name => Name, type => quorum, ready => maps:get(num_ready_messages, State),
          unacked => maps:get(num_checked_out, State), consumers => maps:get(num_consumers, State)};
      _ ->
        [{_, Type}, {_, Ready}, {_, Unacked}, {_, Consumers}] =
          rabbit_amqqueue:info(Q, [type, messages_ready, messages_unacknowledged, consumers]),
        #{name => Name, type => Type, ready => Ready, unacked => Unacked, consumers => Consumers}
    end
  end, rabbit_amqqueue:list(${vhost}))`

// The expressions see one another's variables and nobody else's; base64, because `erl_call` cuts and escapes what it prints.
export const inJson = (erlang: string): string => `
  Answer = (fun() -> ${erlang} end)(),
  binary_to_list(base64:encode(iolist_to_binary(rabbit_json:encode(Answer)))).
`
