-- The load for wrk: one event a batch, a thread at random. Figures leave as one line of JSON.
-- Environment: BENCH_THREADS (file of ids), BENCH_TOKEN, BENCH_PREFER, BENCH_MESSAGES and BENCH_INTERRUPTS (percent).

local ids = {}
local head, messages, interrupts, serial, run
local alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

-- A request id that names nothing, well formed: the service has to look it up.
local function unknown()
  local text = "01"
  for _ = 1, 24 do
    local at = math.random(32)
    text = text .. alphabet:sub(at, at)
  end
  return text
end

local function body()
  local dice = math.random(100)
  if dice <= messages then
    serial = serial + 1
    return '{"events":[{"type":"user_message","text":"Message ' .. serial .. ' from the bench, run ' .. run .. '."}]}'
  elseif dice <= messages + interrupts then
    return '{"events":[{"type":"user_interrupt"}]}'
  end
  return '{"events":[{"type":"permission_decision","requestId":"' .. unknown() .. '","decision":"allow_once"}]}'
end

function init()
  for line in io.lines(os.getenv("BENCH_THREADS")) do
    ids[#ids + 1] = line
  end
  messages, interrupts = tonumber(os.getenv("BENCH_MESSAGES")), tonumber(os.getenv("BENCH_INTERRUPTS"))
  local prefer = os.getenv("BENCH_PREFER")
  head = "Host: 127.0.0.1\r\nAuthorization: Bearer " .. os.getenv("BENCH_TOKEN") .. "\r\n"
    .. (prefer ~= "" and "Prefer: " .. prefer .. "\r\n" or "")
    .. "Content-Type: application/json\r\nContent-Length: "
  math.randomseed(os.time() * 7 + tonumber(os.getenv("BENCH_SEED"))) -- two at once are not to say the same
  serial, run = 0, math.random(1000000)
end

-- Written out by hand: wrk.format would build the header from a table for each request.
function request()
  local content = body()
  return "POST /api/v1/threads/" .. ids[math.random(#ids)] .. "/events HTTP/1.1\r\n" .. head .. #content
    .. "\r\n\r\n" .. content
end

-- wrk does not look into answers. One that came without its outcome has waited for 2 s: the slowest tells.
function done(summary, latency, _)
  local errors = summary.errors
  local pending = latency.max >= 2e6 and 1 or 0
  io.write(string.format(
    '{"answers":%d,"refused":%d,"broken":%d,"pending":%d,"seconds":%.6f,"p50_ms":%.3f,"p99_ms":%.3f,"max_ms":%.3f}\n',
    summary.requests - errors.status, errors.status, errors.connect + errors.read + errors.write + errors.timeout,
    pending, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3, latency.max / 1e3))
end
