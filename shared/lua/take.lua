-- Takes from token buckets, for several requests at once: from all buckets of a request, or from none of them. A bucket is
-- one number, the moment (µs of Redis' own clock, so that all apis agree) at which it is full again; one that is full has
-- no key. What stands ahead of the clock by more than a whole bucket (the clock was set, the limit lowered) counts as empty.
-- KEYS: the buckets, request by request
-- ARGV: for each request: units (below 0: given back), how many buckets, then for each: µs a unit, µs of a whole bucket
-- Returns for each request: which of its buckets refused it (0: none), µs until that has what is asked for, and of the one
-- that refused, else of the one that holds least: its place among them, and whole units left
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local answers, k, a = {}, 0, 1
while a <= #ARGV do
  local units, count = tonumber(ARGV[a]), tonumber(ARGV[a + 1])
  local refused, wait, tightest, least, full_at = 0, 0, 0, math.huge, {}
  for b = 1, count do
    local interval, whole = tonumber(ARGV[a + 2 * b]), tonumber(ARGV[a + 2 * b + 1])
    local found = redis.pcall('GET', KEYS[k + b])
    if type(found) == 'table' then  -- a key of ours held another type
      redis.call('DEL', KEYS[k + b])
      found = false
    end
    local at = tonumber(found) or now
    if not (at > now) then
      at = now
    end
    at = math.min(at, now + whole)
    local after = math.max(at + units * interval, now)
    local short = after - now - whole
    if units > 0 and short >= 1 then  -- less than a µs is an error of rounding
      if short > wait then
        refused, wait = b, short
      end
      after = at
    end
    local left = math.floor((whole - (after - now)) / interval + 0.000001)
    if (refused == b) or (refused == 0 and left < least) then
      tightest, least = b, left
    end
    full_at[b] = after
  end
  if refused == 0 then
    for b = 1, count do
      if full_at[b] > now then
        redis.call('SET', KEYS[k + b], string.format('%.0f', full_at[b]), 'PX', math.ceil((full_at[b] - now) / 1000))
      else
        redis.call('DEL', KEYS[k + b])
      end
    end
  end
  local n = #answers
  answers[n + 1], answers[n + 2], answers[n + 3], answers[n + 4] = refused, math.ceil(wait), tightest, math.max(least, 0)
  k = k + count
  a = a + 2 + 2 * count
end
return answers
