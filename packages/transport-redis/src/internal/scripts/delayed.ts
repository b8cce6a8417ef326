/**
 * What is not due yet, in Redis: a sorted set beside each queue, by the millisecond at which it is due by Redis' own clock, and one of all
 * queues that have such a set, by their earliest. A member is `step:number:text`: the priority's list, the number of the delivery, so that
 * what is due together comes in the order in which it was taken, and the message as it was in its list, to the byte.
 *
 * As of the other scripts (`scripts.ts`): keys are named, what could fail comes first, and so does a write, for `maxmemory`.
 */
import * as Redis from "effect/persistence/Redis"

const now = `
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + tonumber(time[2]) / 1000
`

export interface Postponed {
  readonly tag: string
  readonly queue: string
  /** Of its priority's list. */
  readonly step: number
  /** Milliseconds since the epoch. */
  readonly due: number
}

/**
 * From `unacked` to the sets of their queues, which are `sets[queue]`, unless somebody has given them back meanwhile. How many. `clock` is
 * the time by the clock that their times are of: where Redis' differs by more than 250 ms, they become times of Redis'.
 */
export const park = Redis.script(
  (
    unacked: string,
    index: string,
    registry: string,
    sets: ReadonlyMap<string, string>,
    clock: number,
    postponed: ReadonlyArray<Postponed>
  ) => {
    const queues = [...sets.keys()]
    return [
      unacked,
      index,
      registry,
      ...sets.values(),
      clock,
      ...queues,
      ...postponed.flatMap(({ tag, queue, step, due }) => [tag, queues.indexOf(queue) + 1, step, due])
    ]
  },
  {
    numberOfKeys: (_unacked, _index, _registry, sets) => 3 + sets.size,
    lua: `${now}
local sets = #KEYS - 3
local skew = now - tonumber(ARGV[1])
if math.abs(skew) < 250 then skew = 0 end
redis.call('ZREM', KEYS[3], '')
for i = 1, sets do redis.call('ZREM', KEYS[3 + i], '') end
local count, earliest = 0, {}
for i = sets + 2, #ARGV, 4 do
  local tag, at = ARGV[i], tonumber(ARGV[i + 1])
  local entry = redis.call('HGET', KEYS[1], tag)
  if entry and redis.call('ZSCORE', KEYS[2], tag) then
    local raw = string.sub(entry, 2, -#(',"",' .. cjson.encode(ARGV[1 + at]) .. ']') - 1)
    local due = tonumber(ARGV[i + 3]) + skew
    local score = string.format('%.3f', due)
    local number = tonumber(string.match(tag, '%d+$') or 0)
    while redis.call('ZADD', KEYS[3 + at], 'NX', score, string.format('%d:%012d:', ARGV[i + 2], number) .. raw) == 0 do
      number = number + 1
    end
    earliest[at] = math.min(earliest[at] or due, due)
    count = count + 1
  end
  redis.call('ZREM', KEYS[2], tag)
  redis.call('HDEL', KEYS[1], tag)
end
for at, due in pairs(earliest) do
  local known = redis.call('ZSCORE', KEYS[3], ARGV[1 + at])
  if not known or due < tonumber(known) then redis.call('ZADD', KEYS[3], string.format('%.3f', due), ARGV[1 + at]) end
end
return count`
  }
).withReturnType<number>()

/**
 * In how many milliseconds something will be due in `lead` (-1: nothing will), and then the queues that have what is so by now, 100 at
 * most. With a `life` (seconds; 0 says nothing), the consumer lives for so long, and those that are `gone` do not.
 */
export const look = Redis.script(
  (registry: string, consumers: string, consumer: string, life: number, lead: number, gone: ReadonlyArray<string>) => [
    registry,
    consumers,
    consumer,
    life,
    lead,
    ...gone
  ],
  {
    numberOfKeys: 2,
    lua: `${now}
local life, lead = tonumber(ARGV[2]), tonumber(ARGV[3])
if life > 0 then
  redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', string.format('%.3f', now))
  for i = 4, #ARGV do redis.call('ZREM', KEYS[2], ARGV[i]) end
  redis.call('ZADD', KEYS[2], string.format('%.3f', now + life * 1000), ARGV[1])
end
local horizon = string.format('%.3f', now + lead)
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', horizon, 'LIMIT', 0, 100)
local after = redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. horizon, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
table.insert(due, 1, after[2] and string.format('%d', math.ceil(tonumber(after[2]) - lead - now)) or '-1')
return due`
  }
).withReturnType<ReadonlyArray<string>>()

/** The consumer is gone; the queues that something waits for, if there is no other consumer that would come for it. */
export const leave = Redis.script(
  (registry: string, consumers: string, consumer: string) => [registry, consumers, consumer],
  {
    numberOfKeys: 2,
    lua: `${now}
redis.call('ZREM', KEYS[2], ARGV[1])
if redis.call('ZCOUNT', KEYS[2], string.format('%.3f', now), '+inf') > 0 then return {} end
return redis.call('ZRANGE', KEYS[1], 0, -1)`
  }
).withReturnType<ReadonlyArray<string>>()

export type Which =
  /** What is due in so many milliseconds, next out, the earliest first. */
  | { readonly dueIn: number }
  /** All, behind what waits there. */
  | "all"

/**
 * From the set of a queue back to its lists, which are those of the `steps`: 500 messages at most, or as many as make 4 MiB. How many, and
 * whether there are more.
 */
export const move = Redis.script(
  (
    registry: string,
    set: string,
    lists: ReadonlyArray<string>,
    queue: string,
    which: Which,
    steps: ReadonlyArray<number>
  ) => [registry, set, ...lists, queue, which === "all" ? "all" : which.dueIn, ...steps],
  {
    numberOfKeys: (_registry, _set, lists) => 2 + lists.length,
    lua: `${now}
redis.call('ZREM', KEYS[1], '')
local all = ARGV[2] == 'all'
local horizon = all and '+inf' or string.format('%.3f', now + tonumber(ARGV[2]))
local lists = {}
for i = 3, #ARGV do lists[ARGV[i]] = KEYS[i] end
local function next()
  -- What is next out is pushed last.
  if all then return redis.call('ZRANGE', KEYS[2], 0, 0)[1] end
  return redis.call('ZREVRANGEBYSCORE', KEYS[2], horizon, '-inf', 'LIMIT', 0, 1)[1]
end
local count, size, member = 0, 0, next()
while member and count < 500 and size < 4194304 do
  local step, at = string.match(member, '^(%d+):%d+:()')
  redis.call(all and 'LPUSH' or 'RPUSH', lists[step] or KEYS[3], string.sub(member, at or 1))
  redis.call('ZREM', KEYS[2], member)
  count = count + 1
  size = size + #member
  member = next()
end
local first = redis.call('ZRANGE', KEYS[2], 0, 0, 'WITHSCORES')
if first[2] then redis.call('ZADD', KEYS[1], first[2], ARGV[1]) else redis.call('ZREM', KEYS[1], ARGV[1]) end
return { count, member and 1 or 0 }`
  }
).withReturnType<readonly [moved: number, more: number]>()

/** Throws away what waits for a queue. How many messages. */
export const empty = Redis.script((registry: string, set: string, queue: string) => [registry, set, queue], {
  numberOfKeys: 2,
  lua: `
local count = redis.call('ZCARD', KEYS[2])
redis.call('UNLINK', KEYS[2])
redis.call('ZREM', KEYS[1], ARGV[1])
return count`
}).withReturnType<number>()
