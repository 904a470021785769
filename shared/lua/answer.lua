-- Takes wake-ups of runs and removes them; wakes another worker where more of them wait. One that a stock worker has in
-- progress is left to it.
-- KEYS: queue, wake list
-- ARGV: most to take, prefix of job ids, of jobs, of in-progress keys
-- Returns job ids.
local taken, left = {}, false
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], 1, 1, 'LIMIT', 0, 1000)) do
  if string.sub(id, 1, #ARGV[2]) == ARGV[2] and redis.call('EXISTS', ARGV[4] .. id) == 0 then
    if #taken >= tonumber(ARGV[1]) then
      left = true
      break
    end
    redis.call('ZREM', KEYS[1], id)
    redis.call('DEL', ARGV[3] .. id)
    taken[#taken + 1] = id
  end
end
redis.call('DEL', KEYS[2])
if left then
  redis.call('LPUSH', KEYS[2], 1)
end
return taken
