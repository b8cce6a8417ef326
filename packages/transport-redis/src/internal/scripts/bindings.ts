import * as Redis from "effect/persistence/Redis"

export interface Own {
  readonly key: string
  readonly members: ReadonlyArray<string>
}

/** Adds the members to those sets that are not there, in one step with looking: who binds at the same time does not hide that one is gone. */
export const addMissing = Redis.script(
  (own: ReadonlyArray<Own>) => [
    ...own.map(({ key }) => key),
    ...own.flatMap(({ members }) => [members.length, ...members])
  ],
  {
    numberOfKeys: (own) => own.length,
    lua: `
local at = 1
for i = 1, #KEYS do
  local count = tonumber(ARGV[at])
  if redis.call('EXISTS', KEYS[i]) == 0 then
    for j = at + 1, at + count do redis.call('SADD', KEYS[i], ARGV[j]) end
  end
  at = at + count + 1
end
return 1`
  }
)
