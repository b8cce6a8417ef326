import * as Redis from "effect/persistence/Redis"

/** Octets after which a claim stops: a window of large messages is no reason to hold up Redis, or ourselves. */
const most = 4 * 1024 * 1024

/** Lua's stack holds no more than 8,000 values, and a message needs two. */
export const mostMessages = 2000
export const mostTags = 1000

export interface Claim {
  readonly owner: string
  /** Seconds. */
  readonly life: number
  /** Tags are numbered from here on. */
  readonly first: number
  readonly max: number
  readonly queues: ReadonlyArray<string>
  /** By priority first, and within one priority in the order of the queues. */
  readonly lists: ReadonlyArray<string>
  /** One message of each queue in turn, and not all of the first one before any of the next. */
  readonly inTurn: boolean
  /** What is settled on the way. */
  readonly settled: ReadonlyArray<string>
}

/**
 * Moves up to `max` messages, or as many as make 4 MiB, into `unacked` and `unacked_index`, those of a higher priority in whichever
 * queue first. What they say is not looked at here: a cjson that reads costs as much as all the rest, and one that writes makes
 * 9.007199254741e+15 of 9007199254740993 and {} of []. Who claims reads them, and puts aside what he cannot read.
 *
 * Kept as kombu keeps it, but with the queue for a routing key and the nameless exchange: a Python worker that restores it puts
 * it back where it was, and not once more into every queue its exchange knows. The tag is a new one for each delivery, so that
 * the late acknowledgement of who had the message before finds nothing.
 *
 * They leave their lists last, so that an error on the way takes nothing. Gives whether all lists were seen to their ends, the queue of each
 * message (1 is the first) and its text. A key that is no list is an error, unless something was taken.
 */
export const claim = Redis.script(
  (keys: ReadonlyArray<string>, { first, inTurn, life, lists, max, owner, queues, settled }: Claim) => [
    ...keys,
    ...lists,
    owner,
    life,
    first,
    max,
    inTurn ? queues.length : 1,
    queues.length,
    ...queues,
    ...settled
  ],
  {
    numberOfKeys: (keys, { lists }) => keys.length + lists.length,
    lua: `
local time = redis.call('TIME')
local now = time[1] .. '.' .. string.format('%06d', time[2])
local owner, number, max = ARGV[1], tonumber(ARGV[3]), tonumber(ARGV[4])
local width, queues = tonumber(ARGV[5]), tonumber(ARGV[6])
if #ARGV > 6 + queues then
  redis.call('HDEL', KEYS[1], unpack(ARGV, 7 + queues))
  redis.call('ZREM', KEYS[2], unpack(ARGV, 7 + queues))
end
local ends = {}
for i = 1, queues do ends[i] = ',"",' .. cjson.encode(ARGV[6 + i]) .. ']' end
local from, out, entries, scores, taken = {}, {}, {}, {}, {}
local count, size, ended, wrong = 0, 0, 1, nil
for group = 4, #KEYS, width do
  if ended == 0 then break end
  local open = {}
  for i = group, group + width - 1 do open[#open + 1] = i end
  while #open > 0 and ended == 1 do
    local left = {}
    for _, i in ipairs(open) do
      local seen = taken[i] or 0
      local raw = redis.pcall('LINDEX', KEYS[i], -1 - seen)
      if type(raw) == 'table' then
        wrong = KEYS[i]
      elseif raw and (count >= max or size >= ${most}) then
        ended = 0
        break
      elseif raw then
        local queue = (i - 4) % queues + 1
        local tag = owner .. ':' .. number
        number = number + 1
        count = count + 1
        size = size + #raw
        taken[i] = seen + 1
        left[#left + 1] = i
        from[count] = queue
        out[count] = raw
        entries[2 * count - 1] = tag
        entries[2 * count] = '[' .. raw .. ends[queue]
        scores[2 * count - 1] = now
        scores[2 * count] = tag
      end
    end
    open = left
  end
end
if wrong then
  if count == 0 then return redis.error_reply('WRONGTYPE ' .. wrong .. ' should be a list') end
  ended = 0
end
if count > 0 then
  redis.call('ZREM', KEYS[2], '')
  redis.call('ZADD', KEYS[3], string.format('%.6f', tonumber(now) + tonumber(ARGV[2])), owner)
  redis.call('HSET', KEYS[1], unpack(entries))
  redis.call('ZADD', KEYS[2], unpack(scores))
  for i, seen in pairs(taken) do redis.call('LTRIM', KEYS[i], 0, -1 - seen) end
end
return {ended, from, out}`
  }
).withReturnType<readonly [ended: number, from: ReadonlyArray<number>, texts: ReadonlyArray<string>]>()
