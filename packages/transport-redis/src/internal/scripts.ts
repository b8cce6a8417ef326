/**
 * What has to happen in one step happens in Redis, as scripts. Each names its keys, so that a cluster can place them. A script is not
 * rolled back when it fails in the middle: what could fail comes first. Under `maxmemory` Redis refuses what takes memory unless
 * the script has written before, so each begins with a write that gives memory back.
 *
 * Time is Redis' own, in seconds: the clocks of workers differ.
 */
import * as Redis from "effect/persistence/Redis"

/** Forgets tags, 1,000 at most: Lua's stack holds no more than 8,000. */
export const settle = Redis.script(
  (unacked: string, index: string, tags: ReadonlyArray<string>) => [unacked, index, ...tags],
  {
    numberOfKeys: 2,
    lua: `
redis.call('ZREM', KEYS[2], unpack(ARGV))
return redis.call('HDEL', KEYS[1], unpack(ARGV))`
  }
)

export interface Return {
  readonly tag: string
  readonly list: string
  readonly text: string
}

/**
 * Back to their lists, one after the other, unless somebody else was first. How many. Those whose list is none by now stay where they
 * are, and that is an error.
 */
export const restore = Redis.script(
  (unacked: string, index: string, side: "LPUSH" | "RPUSH", returns: ReadonlyArray<Return>) => [
    unacked,
    index,
    ...returns.map(({ list }) => list),
    side,
    ...returns.flatMap(({ tag, text }) => [tag, text])
  ],
  {
    numberOfKeys: (_unacked, _index, _side, returns) => 2 + returns.length,
    lua: `
local back, wrong = 0, nil
for i = 3, #KEYS do
  local tag = ARGV[2 * i - 4]
  if type(redis.pcall('LLEN', KEYS[i])) == 'table' then
    wrong = KEYS[i]
  else
    redis.call('HDEL', KEYS[1], tag)
    if redis.call('ZREM', KEYS[2], tag) == 1 then
      redis.call(ARGV[1], KEYS[i], ARGV[2 * i - 3])
      back = back + 1
    end
  end
end
if wrong then return redis.error_reply('WRONGTYPE ' .. wrong .. ' should be a list') end
return back`
  }
).withReturnType<number>()

/** A message Redis could read and we cannot: from `unacked` to a list, behind a line with the reason. Without a queue, all of its entry. */
export const setAside = Redis.script(
  (unacked: string, index: string, list: string, tag: string, reason: string, queue: string) => [
    unacked,
    index,
    list,
    tag,
    reason,
    queue
  ],
  {
    numberOfKeys: 3,
    lua: `
redis.call('LLEN', KEYS[3])
local entry = redis.call('HGET', KEYS[1], ARGV[1])
redis.call('HDEL', KEYS[1], ARGV[1])
if redis.call('ZREM', KEYS[2], ARGV[1]) == 0 or not entry then return 0 end
if ARGV[3] ~= '' then entry = string.sub(entry, 2, -#(',"",' .. cjson.encode(ARGV[3]) .. ']') - 1) end
return redis.call('LPUSH', KEYS[3], ARGV[2] .. '\\n' .. entry)`
  }
)

/** Says of owners that they are dead. */
export const bury = Redis.script((owners: string, dead: ReadonlyArray<string>) => [owners, ...dead], {
  numberOfKeys: 1,
  lua: `
redis.call('ZREM', KEYS[1], unpack(ARGV))
for i = 1, #ARGV do redis.call('ZADD', KEYS[1], 0, ARGV[i]) end
return 1`
})

/**
 * At most `limit` tags held for longer than `visibility` seconds by whoever it may be, or by an Apium owner whose lease is over: tag,
 * score and entry of each in one flat array, what was taken last first: so they come out in their old order when each is put to the head of its list. An owner who is dead and holds nothing is forgotten.
 */
export const overdue = Redis.script(
  (keys: ReadonlyArray<string>, visibility: number, limit: number) => [...keys, visibility, limit],
  {
    numberOfKeys: (keys) => keys.length,
    lua: `
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
local limit = tonumber(ARGV[2])
local out, seen, count = {}, {}, 0
local function add(tag, score)
  if seen[tag] then return end
  seen[tag] = true
  local entry = redis.call('HGET', KEYS[1], tag)
  if not entry then return redis.call('ZREM', KEYS[2], tag) end
  count = count + 1
  out[3 * count - 2] = tag
  out[3 * count - 1] = score
  out[3 * count] = entry
end
local late = redis.call('ZREVRANGEBYSCORE', KEYS[2], now - tonumber(ARGV[1]), '-inf', 'WITHSCORES', 'LIMIT', 0, limit)
for i = 1, #late, 2 do add(late[i], late[i + 1]) end
local dead = redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', now)
if #dead > 0 then
  local left = {}
  for _, owner in ipairs(dead) do left[owner] = 0 end
  local held = redis.call('ZRANGE', KEYS[2], 0, -1, 'WITHSCORES')
  for i = #held - 1, 1, -2 do
    local owner = string.match(held[i], '^(.*):%d+$')
    if owner and left[owner] then
      left[owner] = left[owner] + 1
      if count < limit then add(held[i], held[i + 1]) end
    end
  end
  for owner, tags in pairs(left) do
    if tags == 0 then redis.call('ZREM', KEYS[3], owner) end
  end
end
return out`
  }
).withReturnType<ReadonlyArray<string>>()

/** Back to the head of each of these lists, unless it was settled, restored or renewed since it was found overdue. 1, or 0. */
export const recover = Redis.script(
  (unacked: string, index: string, lists: ReadonlyArray<string>, tag: string, score: string, text: string) => [
    unacked,
    index,
    ...lists,
    tag,
    score,
    text
  ],
  {
    numberOfKeys: (_unacked, _index, lists) => 2 + lists.length,
    lua: `
if redis.call('ZSCORE', KEYS[2], ARGV[1]) ~= ARGV[2] then return 0 end
for i = 3, #KEYS do redis.call('LLEN', KEYS[i]) end
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('HDEL', KEYS[1], ARGV[1])
for i = 3, #KEYS do redis.call('RPUSH', KEYS[i], ARGV[3]) end
return 1`
  }
).withReturnType<number>()

/** The lengths of lists. */
export const sizes = Redis.script((lists: ReadonlyArray<string>) => lists, {
  numberOfKeys: (lists) => lists.length,
  lua: `
local out = {}
for i = 1, #KEYS do
  out[i] = redis.pcall('LLEN', KEYS[i])
  if type(out[i]) == 'table' then return redis.error_reply('WRONGTYPE ' .. KEYS[i] .. ' should be a list') end
end
return out`
}).withReturnType<ReadonlyArray<number>>()

/** Empties lists. How many messages there were. */
export const empty = Redis.script((lists: ReadonlyArray<string>) => lists, {
  numberOfKeys: (lists) => lists.length,
  lua: `
local count = 0
for i = 1, #KEYS do
  count = count + redis.call('LLEN', KEYS[i])
  redis.call('UNLINK', KEYS[i])
end
return count`
}).withReturnType<number>()
