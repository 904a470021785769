-- Ends wake-ups as arq would, takes applied batches out of their waiting sets, and tells who follows these threads that
-- they have something new.
-- KEYS: queue, then waiting sets
-- ARGV: prefix of in-progress keys, of retry keys, of jobs, n, n x job id, then per waiting set: m, m x batch id,
--       then, where there are threads: prefix of their channels, their ids
local n = tonumber(ARGV[4])
for i = 5, 4 + n do
  redis.call('DEL', ARGV[1] .. ARGV[i], ARGV[2] .. ARGV[i], ARGV[3] .. ARGV[i])
  redis.call('ZREM', KEYS[1], ARGV[i])
end
local a = 5 + n
for k = 2, #KEYS do
  local m = tonumber(ARGV[a])
  for i = a + 1, a + m, 1000 do  -- Lua unpacks a few thousand at most
    redis.call('ZREM', KEYS[k], unpack(ARGV, i, math.min(i + 999, a + m)))
  end
  a = a + 1 + m
end
for i = a + 1, #ARGV do
  redis.call('PUBLISH', ARGV[a] .. ARGV[i], '')
end
return n
