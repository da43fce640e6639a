-- What stands under one key, as `semantics::copies` has it; `V` and `L` byte for byte, for readers decode them.
-- `M` taint:u8 count:u32 (nonce:16 placed_at:u64 ends_at:u64)* [best_ends_at:u64 best], `best` encoded as a `V`.
-- Numbers are doubles: a time in milliseconds fits, a version does not and is compared in three parts. Strings are
-- compared for equality only, for their order depends on the locale. Numbers are never turned into text here.
local key, pack, unpack = KEYS[1], struct.pack, struct.unpack
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

local function u64(bytes, at)
  local high, low = unpack('>I4I4', bytes, at)
  return high * 4294967296 + low
end

local function packed(number)
  return pack('>I4I4', math.floor(number / 4294967296), number % 4294967296)
end

local function older(left, right)
  local a, b, c = unpack('>I4I4I4', left)
  local x, y, z = unpack('>I4I4I4', right)
  if a ~= x then return a < x end
  if b ~= y then return b < y end
  return c < z
end

-- The version of an encoded value, or nil where it is none.
local function version_of(bytes)
  if #bytes >= 29 and string.byte(bytes) == 86 then return string.sub(bytes, 2, 13) end
end

-- A value whose times count from `placed`.
local function encoded(version, value, ttl, placed)
  local expires = 0
  if ttl ~= '' then expires = placed + ttl end
  return 'V' .. version .. packed(expires) .. packed(placed) .. value
end

local function put(bytes, ends)
  if ends > now then
    redis.call('SET', key, bytes, 'PX', ends - now)
  else
    redis.call('DEL', key)
  end
end

-- The writes in flight, or nil where it cannot be read. Nonces whose time is over go, and taint.
local function marks_of(bytes)
  if #bytes < 6 then return nil end
  local taint, count = unpack('>BI4', bytes, 2)
  local rest = 7 + 32 * count
  if #bytes + 1 < rest then return nil end
  local marks = {taint = taint, nonces = {}}
  for at = 7, rest - 32, 32 do
    if u64(bytes, at + 24) > now then
      marks.nonces[#marks.nonces + 1] = string.sub(bytes, at, at + 31)
    else
      marks.taint = 1
    end
  end
  if #bytes >= rest then
    if #bytes < rest + 8 then return nil end
    marks.ends = u64(bytes, rest)
    marks.best = string.sub(bytes, rest + 8)
    if not version_of(marks.best) then return nil end
  end
  return marks
end

local function put_marks(marks)
  local latest = 0
  for _, nonce in ipairs(marks.nonces) do latest = math.max(latest, u64(nonce, 25)) end
  local offer = ''
  if marks.best then offer = packed(marks.ends) .. marks.best end
  put('M' .. pack('>BI4', marks.taint, #marks.nonces) .. table.concat(marks.nonces) .. offer, latest)
end

-- Takes a nonce away; when it was placed, or nil.
local function take(marks, nonce)
  for at, stands in ipairs(marks.nonces) do
    if string.sub(stands, 1, 16) == nonce then
      table.remove(marks.nonces, at)
      return u64(stands, 17)
    end
  end
end

-- When the last nonce has gone, the best offer becomes the value, or nothing if tainted.
local function finish(marks)
  if #marks.nonces > 0 then
    put_marks(marks)
  elseif marks.best and marks.taint == 0 then
    put(marks.best, marks.ends)
  else
    redis.call('DEL', key)
  end
end

local held = redis.call('GET', key)
-- '-' nothing, 'V', 'M', 'L', or '?' where it cannot be read.
local kind, marks = '-', nil
if held then
  local first = string.byte(held)
  kind = '?'
  if first == 86 and #held >= 29 then
    kind = 'V'
  elseif first == 76 and #held == 25 then
    kind = 'L'
  elseif first == 77 then
    marks = marks_of(held)
    if marks then kind = #marks.nonces > 0 and 'M' or '-' end
  end
end
