-- Adds batches to their partitions' waiting sets and a wake-up for each partition that has none; wakes one worker.
-- KEYS: queue, wake list, then per partition: waiting set, rung mark, job
-- ARGV: life of a mark (ms), life of a job (ms), most wakes kept, then per partition: job id, job, n, n x (score, id)
local rung, k, a = 0, 3, 4
while k <= #KEYS do
  local n = tonumber(ARGV[a + 2])
  for i = a + 3, a + 2 + 2 * n, 1000 do  -- Lua unpacks a few thousand at most
    redis.call('ZADD', KEYS[k], unpack(ARGV, i, math.min(i + 999, a + 2 + 2 * n)))
  end
  if redis.call('SET', KEYS[k + 1], ARGV[a], 'NX', 'PX', ARGV[1]) then
    redis.call('SET', KEYS[k + 2], ARGV[a + 1], 'PX', ARGV[2])
    -- 1, not the time: arq hides jobs whose score is ahead of the worker's clock, and takes 0 for none
    redis.call('ZADD', KEYS[1], 1, ARGV[a])
    rung = rung + 1
  end
  k = k + 3
  a = a + 3 + 2 * n
end
if rung > 0 and redis.call('LLEN', KEYS[2]) < tonumber(ARGV[3]) then
  redis.call('LPUSH', KEYS[2], 1)
end
return rung
