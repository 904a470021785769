-- Takes waiting wake-ups, marks them in progress as arq would, and removes their partitions' marks, so that whatever
-- is accepted from here on rings again. Those of the caller's own partitions (number modulo workers is its place) go
-- first, and the others only where none of them waits: workers that took the same ones would wait for each other's
-- locks, and the last partitions for the first ones. What has waited long is anybody's: its worker may not come. A
-- partition that was rung for several times counts once, and all its wake-ups are taken. Wakes another worker where more
-- wake-ups wait than this one takes, or may wait behind those that it looked at; otherwise nobody is to be woken for what
-- this one has. It looks at a thousand, and further only past those that are all in progress.
-- KEYS: queue, wake list
-- ARGV: most partitions to take, life of an in-progress mark (ms), prefix of job ids, of in-progress keys, of rung
--       marks, of jobs, place, workers, the first id (the end of a job's id) that has not waited long
-- Returns a flat list: job id, job (or false), …
local PAGE, MOST = 1000, 8000
local own, others, taken = {}, {}, {}
local looked, page = 0, {}
repeat
  page = redis.call('ZRANGEBYSCORE', KEYS[1], 1, 1, 'LIMIT', looked, PAGE)
  looked = looked + #page
  for _, id in ipairs(page) do
    if string.sub(id, 1, #ARGV[3]) == ARGV[3] and redis.call('EXISTS', ARGV[4] .. id) == 0 then
      local partition = string.match(id, '^%d+', #ARGV[3] + 1)
      local list = others
      local mine = not partition or tonumber(partition) % tonumber(ARGV[8]) == tonumber(ARGV[7])
      if mine or string.sub(id, -#ARGV[9]) < ARGV[9] then
        list = own
      end
      list[#list + 1] = {id, partition}
    end
  end
until #own + #others > 0 or #page < PAGE or looked >= MOST
local first = own
if #own == 0 then
  first = others
end
local known, room = {}, tonumber(ARGV[1])
for _, wake_up in ipairs(first) do
  local id, partition = wake_up[1], wake_up[2]
  if known[partition or id] == nil and room > 0 then
    known[partition or id] = true
    room = room - 1
    if partition then
      redis.call('DEL', ARGV[5] .. partition)
    end
  end
  if known[partition or id] then
    redis.call('SET', ARGV[4] .. id, 1, 'PX', ARGV[2])
    taken[#taken + 1] = id
    taken[#taken + 1] = redis.call('GET', ARGV[6] .. id)
  end
end
redis.call('DEL', KEYS[2])
if #own + #others > #taken / 2 or (#page == PAGE and #taken > 0) then
  redis.call('LPUSH', KEYS[2], 1)
end
return taken
