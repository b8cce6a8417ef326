/**
 * What has to happen in one step happens in Redis. Each script names its keys; those of one call are a cluster's one slot when
 * `globalKeyprefix` has a hash tag. What could fail in the middle is asked first, or may be run again.
 */
import * as Redis from "effect/persistence/Redis"

export interface Write {
  readonly key: string
  readonly text: string
}

/**
 * Keeps texts under their keys and tells whoever listens there: the SETEX (or SET) and PUBLISH of Celery's `RedisBackend._set`. A key that
 * holds a SUCCESS stays as it is and nothing is told; Celery looks first and writes then, and two workers may do so at once. The status
 * comes first in what Python and Apium write, so that a large result need not be parsed.
 *
 * Gives what Redis said against each, or an empty text; what it says against all of them (no memory, a replica) is the script's own error.
 * `expires` in seconds, 0 for ever.
 */
export const keep = Redis.script(
  (expires: number, writes: ReadonlyArray<Write>) => [
    ...writes.map(({ key }) => key),
    expires,
    ...writes.map(({ text }) => text)
  ],
  {
    numberOfKeys: (_expires, writes) => writes.length,
    lua: `
local function succeeded(text)
  if string.find(text, '^%s*{%s*"status"%s*:') then return string.find(text, '^%s*{%s*"status"%s*:%s*"SUCCESS"') end
  if not string.find(text, '"SUCCESS"', 1, true) then return false end
  local ok, meta = pcall(cjson.decode, text)
  return ok and type(meta) == 'table' and meta.status == 'SUCCESS'
end
local expires, out = ARGV[1], {}
for i, key in ipairs(KEYS) do
  local text = ARGV[i + 1]
  local reply = redis.pcall('GET', key)
  if type(reply) ~= 'table' and not (reply and succeeded(reply)) then
    if expires == '0' then reply = redis.pcall('SET', key, text) else reply = redis.pcall('SETEX', key, expires, text) end
    if type(reply) ~= 'table' or not reply.err then reply = redis.pcall('PUBLISH', key, text) end
  end
  local refused = type(reply) == 'table' and reply.err
  if refused then
    refused = string.gsub(refused, '^-', '')
    if not string.find(refused, '^WRONGTYPE') and not string.find(refused, '^NOPERM') then return redis.error_reply(refused) end
  end
  out[i] = refused or ''
end
return out`
  }
).withReturnType<ReadonlyArray<string>>()

/** Keys of one chord: Celery's parts, members added and size (`.j`, `.t`, `.s`), and what only Apium knows. */
export type ChordKeys = readonly [parts: string, added: string, size: string, own: string]

/** How many parts a chord has, as Celery's `set_chord_size` does; of one that has fired nothing is kept. `expires` in seconds, 0 for ever. */
export const size = Redis.script((keys: ChordKeys, parts: number, expires: number) => [...keys, parts, expires], {
  numberOfKeys: 4,
  lua: `
if redis.call('HEXISTS', KEYS[4], 'fired') == 1 then return 0 end
if ARGV[2] == '0' then redis.call('SET', KEYS[3], ARGV[1]) else redis.call('SETEX', KEYS[3], ARGV[2], ARGV[1]) end
redis.call('PUBLISH', KEYS[3], ARGV[1])
return 1`
})

/** One more member, once for a token: asked twice, it counts once. `life` of Apium's own key in seconds. */
export const add = Redis.script((keys: ChordKeys, token: string, life: number) => [...keys, token, life], {
  numberOfKeys: 4,
  lua: `
local field = 'add:' .. ARGV[1]
if redis.call('HEXISTS', KEYS[4], 'fired') == 1 then return 0 end
if redis.call('HEXISTS', KEYS[4], field) == 0 then
  redis.call('INCR', KEYS[2])
  redis.call('HSET', KEYS[4], field, 1)
  redis.call('EXPIRE', KEYS[4], ARGV[2])
end
return 1`
})

/** The member that was added with this token is none, if it still was one. A count that has expired would be -1, and for ever. */
export const takeBack = Redis.script((keys: ChordKeys, token: string) => [...keys, token], {
  numberOfKeys: 4,
  lua: `
if redis.call('HDEL', KEYS[4], 'add:' .. ARGV[1]) == 1 and redis.call('EXISTS', KEYS[2]) == 1 then redis.call('DECR', KEYS[2]) end
return 1`
})

export interface Counted {
  readonly taskId: string
  /** The member of `.j`, as Celery writes it. */
  readonly member: string
  /** Its beginnings, by which a member of this task is known: as Python writes JSON, and without spaces. */
  readonly beginnings: readonly [string, string]
  /** A score, `+inf`, or an empty text: then `.j` is a list. */
  readonly score: string
}

/**
 * Counts a part of a chord, as Celery's `on_chord_part_return` does: a member of the sorted set `.j`, or of the list where order does not
 * matter. A task that is there already is not added again: with another result it would be a second member, and Python, which waits until
 * there are exactly as many as it expects, would wait for ever. Python's own second members are told from others by their task.
 *
 * Gives `["part"]`; `["claimed", ms]` while another one fires, at most for so long; or `["complete", ...members]`: it is for the caller
 * to fire now, within `lease` milliseconds; `["again", ...members]` when another one has begun to.
 */
export const count = Redis.script(
  (keys: ChordKeys, part: Counted, expires: number, life: number, token: string, lease: number) => [
    ...keys,
    part.taskId,
    part.member,
    ...part.beginnings,
    part.score,
    expires,
    life,
    token,
    lease
  ],
  {
    numberOfKeys: 4,
    lua: `
local parts, added, size, own = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local member, spaced, dense, score, expires, token = ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[8]
if redis.call('HEXISTS', own, 'fired') == 1 then return {'part'} end

local indexed = score ~= '' and score ~= '+inf'
local field, known = 'part:' .. ARGV[1], false
if indexed then
  for _, other in ipairs(redis.call('ZRANGEBYSCORE', parts, score, score)) do
    known = known or string.sub(other, 1, #spaced) == spaced or string.sub(other, 1, #dense) == dense
  end
else
  known = redis.call('HEXISTS', own, field) == 1
end
if not known then
  if score == '' then redis.call('RPUSH', parts, member) else redis.call('ZADD', parts, score, member) end
  if not indexed then
    redis.call('HSET', own, field, 1)
    redis.call('EXPIRE', own, ARGV[7])
  end
end
if expires ~= '0' then for i = 1, 3 do redis.call('EXPIRE', KEYS[i], expires) end end

local total = tonumber(redis.call('GET', size) or nil)
if not total then return {'part'} end
total = total + tonumber(redis.call('GET', added) or 0)
if redis.call(score == '' and 'LLEN' or 'ZCARD', parts) < total then return {'part'} end
local seen, out = {}, {'complete'}
for _, other in ipairs(redis.call(score == '' and 'LRANGE' or 'ZRANGE', parts, 0, -1)) do
  local id = string.match(other, '^%[%s*[^,]+,%s*(".-")%s*,') or other
  if not seen[id] then out[#out + 1] = other end
  seen[id] = true
end
if #out - 1 < total then return {'part'} end

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local claim = redis.call('HMGET', own, 'claim', 'until')
if claim[1] and claim[1] ~= token and tonumber(claim[2]) > now then
  return {'claimed', tostring(tonumber(claim[2]) - now)}
end
redis.call('HSET', own, 'claim', token, 'until', string.format('%.0f', now + tonumber(ARGV[9])))
redis.call('EXPIRE', own, ARGV[7])
-- The same token: the answer to this caller was lost.
redis.call('HSETNX', own, 'tried', token)
if redis.call('HGET', own, 'tried') ~= token then out[1] = 'again' end
return out`
  }
).withReturnType<readonly ["part"] | readonly ["claimed", string] | readonly ["complete" | "again", ...Array<string>]>()

/** The chord has fired: its keys go, and for `life` seconds it is known that it did, so that late parts leave nothing behind. */
export const fired = Redis.script((keys: ChordKeys, life: number) => [...keys, life], {
  numberOfKeys: 4,
  lua: `
redis.call('DEL', unpack(KEYS))
redis.call('HSET', KEYS[4], 'fired', 1)
redis.call('EXPIRE', KEYS[4], ARGV[1])
return 1`
})

/** The chord did not fire: whoever counts a part next may. */
export const release = Redis.script((keys: ChordKeys, token: string) => [...keys, token], {
  numberOfKeys: 4,
  lua: `
if redis.call('HGET', KEYS[4], 'claim') == ARGV[1] then redis.call('HDEL', KEYS[4], 'claim', 'until') end
return 1`
})
