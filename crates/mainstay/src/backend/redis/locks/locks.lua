-- What `semantics::locks` has, for one lock. KEYS: lock, counter, waiter, and where there is one server: fleet.
-- ARGV: word, then what each word needs. The lock holds holder:16 note; the counter never expires; the waiter (a hash:
-- process, since, token, kept) does when it does not say again that it waits; the fleet is a hash.
-- Tokens and microseconds are doubles here: whole up to 2^53. An answer: {word, token, now, left, note}.
local word, holder = ARGV[1], ARGV[2]
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]

local function text(number)
  return string.format('%.0f', number)
end

local function fleet(field)
  return KEYS[4] and redis.call('HGET', KEYS[4], field) or ''
end

-- Which run of which history of this server.
local function running()
  local run = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
  local history = string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)')
  return (run or '') .. ':' .. (history or '')
end

-- The same, and a number that goes when its memory is emptied; '' where it has not been asked yet.
local function identity()
  local run = running()
  return fleet('seen') == run and run .. ':' .. fleet('born') or ''
end

-- Whether leases and counters may be taken away to make room.
local function evicts()
  local memory = redis.call('INFO', 'memory')
  local policy = string.match(memory, 'maxmemory_policy:(%S+)')
  return string.match(memory, 'maxmemory:(%d+)') ~= '0' and policy and policy ~= 'noeviction'
end

local function granted(token)
  return {'granted', token, now, 0, ''}
end

local function refused()
  return {'refused', 0, now, 0, ''}
end

-- ARGV: the number, if it has none.
if word == 'member' then
  -- It may have forgotten a lease since: what it was admitted as it is no more.
  if evicts() then redis.call('HDEL', KEYS[4], 'seen', 'admitted') end
  if identity() == '' then
    redis.call('HSET', KEYS[4], 'seen', running(), 'since', text(now), 'born', ARGV[2])
  end
  local own = identity()
  local admitted = fleet('admitted') == own and 1 or 0
  local highest = math.max(tonumber(fleet('highest')) or 0, tonumber(fleet('floor')) or 0)
  return {own, admitted, now - tonumber(fleet('since')), highest}
end

-- ARGV: identity, floor.
if word == 'admit' then
  if identity() ~= ARGV[2] or evicts() then return refused() end
  local floor = math.max(tonumber(fleet('floor')) or 0, tonumber(ARGV[3]))
  redis.call('HSET', KEYS[4], 'admitted', ARGV[2], 'floor', text(floor))
  return granted(floor)
end

if word == 'fence' then
  local seen = tonumber(redis.call('GET', KEYS[1]) or '0')
  if seen > tonumber(ARGV[2]) then return {'fenced', seen, now, 0, ''} end
  redis.call('SET', KEYS[1], ARGV[2])
  return granted(tonumber(ARGV[2]))
end

local held = redis.call('GET', KEYS[1])
local own = held and string.sub(held, 1, 16) == holder
local counter = tonumber(redis.call('GET', KEYS[2]) or '0')

-- ARGV[4]: '' free, '+' a member, else a member of this identity.
local function holds(ground)
  if ground == '' then return true end
  local own = identity()
  if own == '' or fleet('admitted') ~= own then return false end
  return ground == '+' or ground == own
end

local function note_highest(token)
  if KEYS[4] and token > (tonumber(fleet('highest')) or 0) then
    redis.call('HSET', KEYS[4], 'highest', text(token))
  end
end

-- Who has waited longest stands there; said again in time, or else each look would write.
local function note_waiter(process, since)
  local waiter = redis.call('HMGET', KEYS[3], 'process', 'since')
  if waiter[1] == process then
    if redis.call('PTTL', KEYS[3]) > 1000 then return end
  elseif waiter[1] then
    if tonumber(waiter[2]) <= since then return end
  else
    redis.call('HSET', KEYS[3], 'token', text(counter))
  end
  redis.call('HSET', KEYS[3], 'process', process, 'since', text(since))
  redis.call('PEXPIRE', KEYS[3], 2000)
end

-- ARGV: holder, milliseconds, ground, whether it counts here, note, the process that waits or '', for how long.
if word == 'acquire' then
  if not holds(ARGV[4]) then return refused() end
  local told = math.max(counter, tonumber(fleet('floor')) or 0)
  if held and not own then
    if ARGV[7] ~= '' then note_waiter(ARGV[7], now - ARGV[8]) end
    return {'held', told, now, math.max(redis.call('PTTL', KEYS[1]), 0) * 1000, string.sub(held, 17)}
  end
  if not own then
    local waiter = redis.call('HMGET', KEYS[3], 'process', 'kept')
    local own, kept = waiter[1] and waiter[1] == ARGV[7], tonumber(waiter[2] or '0')
    if waiter[1] and not own and kept > now then return {'held', told, now, kept - now, ''} end
    if own or kept > 0 then redis.call('HDEL', KEYS[3], 'process', 'kept') end
  end
  if ARGV[5] == '1' and not own then
    told = told + 1
    redis.call('SET', KEYS[2], text(told))
    note_highest(told)
  elseif counter == 0 then
    redis.call('SET', KEYS[2], '0', 'NX')
  end
  redis.call('SET', KEYS[1], holder .. ARGV[6], 'PX', ARGV[3])
  return granted(told)
end

-- ARGV: holder, milliseconds, ground.
if word == 'renew' then
  if not holds(ARGV[4]) then return refused() end
  if not own then return {'gone', 0, now, 0, ''} end
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
  return granted(counter)
end

-- ARGV: holder, token.
if word == 'commit' then
  local token = tonumber(ARGV[3])
  if not own or counter >= token then return {'gone', 0, now, 0, ''} end
  redis.call('SET', KEYS[2], ARGV[3])
  note_highest(token)
  return granted(token)
end

-- ARGV: holder, a channel, what is told there if somebody waits.
if not own then return {'gone', 0, now, 0, ''} end
redis.call('DEL', KEYS[1])
local waiter = redis.call('HMGET', KEYS[3], 'process', 'token')
if waiter[2] then
  if waiter[1] and counter - waiter[2] >= 16 then
    redis.call('HSET', KEYS[3], 'kept', text(now + 100000))
  end
  -- One who may not publish may release.
  redis.pcall('PUBLISH', ARGV[3], ARGV[4] .. (waiter[1] or ''))
end
return granted(counter)
