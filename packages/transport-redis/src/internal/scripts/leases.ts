/** What the holder of a lease asks and says. Time is Redis' own, as in `../scripts.ts`. */
import * as Redis from "effect/persistence/Redis"

/** Fails where a key is of another type than it should be: a script that found out in the middle would have popped something. */
export const expectTypes = Redis.script(
  (keys: ReadonlyArray<readonly [key: string, type: string]>) => [
    ...keys.map(([key]) => key),
    ...keys.map(([, type]) => type)
  ],
  {
    numberOfKeys: (keys) => keys.length,
    lua: `
for i = 1, #KEYS do
  local is = redis.call('TYPE', KEYS[i]).ok
  if is ~= 'none' and is ~= ARGV[i] then
    return redis.error_reply('WRONGTYPE ' .. KEYS[i] .. ' is a ' .. is .. ', and should be a ' .. ARGV[i])
  end
end
return 1`
  }
)

/**
 * The owner lives, for `life` seconds if nothing more is heard, and these tags of his are held from now on. Gives "1" first when his
 * last lease was over by now, or is unknown, else "0"; and then those of the tags that are not in the index any more.
 */
export const renew = Redis.script(
  (index: string, owners: string, owner: string, life: number, tags: ReadonlyArray<string>) => [
    index,
    owners,
    owner,
    life,
    ...tags
  ],
  {
    numberOfKeys: 2,
    lua: `
local time = redis.call('TIME')
local now = time[1] .. '.' .. string.format('%06d', time[2])
redis.call('ZREM', KEYS[2], '')
local until_ = redis.call('ZSCORE', KEYS[2], ARGV[1])
local out = { (not until_ or tonumber(until_) <= tonumber(now)) and '1' or '0' }
redis.call('ZADD', KEYS[2], string.format('%.6f', tonumber(now) + tonumber(ARGV[2])), ARGV[1])
for i = 3, #ARGV do
  if redis.call('ZSCORE', KEYS[1], ARGV[i]) then redis.call('ZADD', KEYS[1], 'XX', now, ARGV[i])
  else out[#out + 1] = ARGV[i] end
end
return out`
  }
).withReturnType<ReadonlyArray<string>>()
