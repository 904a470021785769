-- Writes a wake-up for each thread whose run waits for a worker, and wakes one.
-- KEYS: queue, wake list
-- ARGV: life of a job (ms), most wakes kept, prefix of jobs, then per thread: job id, job
for i = 4, #ARGV, 2 do
  redis.call('SET', ARGV[3] .. ARGV[i], ARGV[i + 1], 'PX', ARGV[1])
  redis.call('ZADD', KEYS[1], 1, ARGV[i])  -- 1, not the time: as in ring.lua
end
if redis.call('LLEN', KEYS[2]) < tonumber(ARGV[2]) then
  redis.call('LPUSH', KEYS[2], 1)
end
return (#ARGV - 3) / 2
