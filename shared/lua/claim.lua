-- Takes waiting wake-ups, marks them in progress as arq would, and removes their partitions' marks, so that whatever
-- is accepted from here on rings again. Wakes another worker where more wake-ups wait than this one takes; otherwise
-- nobody is to be woken for what this one has.
-- KEYS: queue, wake list
-- ARGV: most partitions to take, life of an in-progress mark (ms), prefix of job ids, of in-progress keys, of rung
--       marks, of jobs
-- Returns a flat list: job id, job (or false), …
local taken, left = {}, false
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], 1, 1, 'LIMIT', 0, 1000)) do
  if string.sub(id, 1, #ARGV[3]) == ARGV[3] then
    if #taken >= 2 * tonumber(ARGV[1]) then
      left = true
      break
    end
    if redis.call('SET', ARGV[4] .. id, 1, 'NX', 'PX', ARGV[2]) then
      local partition = string.match(id, '^%d+', #ARGV[3] + 1)
      if partition then
        redis.call('DEL', ARGV[5] .. partition)
      end
      taken[#taken + 1] = id
      taken[#taken + 1] = redis.call('GET', ARGV[6] .. id)
    end
  end
end
redis.call('DEL', KEYS[2])
if left then
  redis.call('LPUSH', KEYS[2], 1)
end
return taken
