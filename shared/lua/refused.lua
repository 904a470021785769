-- Notes who was refused by a limit: the latest of them, and how often since they came in. What is older than a day, and
-- what is more than may be kept, goes.
-- KEYS: ZSET of who (-> last time, ms), HASH of how often
-- ARGV: most of them, then for each: who, times
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
for a = 2, #ARGV, 2 do
  redis.call('ZADD', KEYS[1], now, ARGV[a])
  redis.call('HINCRBY', KEYS[2], ARGV[a], ARGV[a + 1])
end
local old = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now - 86400000, 'LIMIT', 0, 1000)
local more = redis.call('ZCARD', KEYS[1]) - #old - tonumber(ARGV[1])
if more > 0 then
  for _, who in ipairs(redis.call('ZRANGE', KEYS[1], #old, #old + math.min(more, 1000) - 1)) do
    old[#old + 1] = who
  end
end
if #old > 0 then
  redis.call('ZREM', KEYS[1], unpack(old))
  redis.call('HDEL', KEYS[2], unpack(old))
end
redis.call('PEXPIRE', KEYS[1], 86400000)
redis.call('PEXPIRE', KEYS[2], 86400000)
return #old
