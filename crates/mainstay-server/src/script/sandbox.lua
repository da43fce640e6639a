-- What a script sees: Redis's globals and no more, none of which it can change.
-- host: struct, call(...), pcall(...), said(error), where(), stopped(), sha1hex(...), log(...), setresp(...), version
local host, keys, argv = ...

local error, getmetatable, pairs, rawget, select = error, getmetatable, pairs, rawget, select
local raw_pcall, raw_xpcall, floor = pcall, xpcall, math.floor
local setmetatable, tonumber, tostring, type = setmetatable, tonumber, tostring, type
local find, sub = string.find, string.sub
local said, stopped, where = host.said, host.stopped, host.where

-- The reply of Redis that an error carries, as text; nil: it is another kind of error.
local function reply_of(e)
  if type(e) == 'userdata' then return said(e) end
  if type(e) == 'table' then
    local text = rawget(e, 'err')
    if type(text) == 'string' then return text end
  end
end

-- What ends the whole script, however many calls of pcall stand around it.
local function is_final(e)
  return stopped() or e == 'not enough memory' or (type(e) == 'userdata' and not said(e))
end

local function settle(ok, e, ...)
  if ok then return true, e, ... end
  if is_final(e) then error(e, 0) end
  return false, reply_of(e) or e
end

local function one(name, ...)
  local text = ...
  if select('#', ...) ~= 1 or type(text) ~= 'string' then
    return nil, { err = 'ERR wrong number or type of arguments' }
  end
  return { [name] = text }
end

-- What raises errors comes from the host: a call in tail position to a function of Lua would lose the line.
local redis = {
  LOG_DEBUG = 0, LOG_VERBOSE = 1, LOG_NOTICE = 2, LOG_WARNING = 3,
  REPL_NONE = 0, REPL_AOF = 1, REPL_SLAVE = 2, REPL_REPLICA = 2, REPL_ALL = 3,
  REDIS_VERSION = host.version, REDIS_VERSION_NUM = host.version_number,
  call = host.call, pcall = host.pcall, sha1hex = host.sha1hex, log = host.log,
  setresp = host.setresp,
}

function redis.error_reply(...)
  local reply, refusal = one('err', ...)
  if refusal then return refusal end
  if sub(reply.err, 1, 1) == '-' then reply.err = sub(reply.err, 2) end
  if not find(reply.err, ' ', 1, true) then reply.err = 'ERR ' .. reply.err end
  return reply
end

function redis.status_reply(...)
  local reply, refusal = one('ok', ...)
  return refusal or reply
end

function redis.replicate_commands() return true end
function redis.set_repl() end
function redis.breakpoint() return false end
function redis.debug() end

-- The same numbers in every run: 16807 is a primitive root of the prime 2^31 - 1.
local seed = 1
local function random(low, high)
  seed = (seed * 16807) % 2147483647
  local unit = (seed - 1) / 2147483646
  if not low then return unit end
  if not high then low, high = 1, low end
  if low > high then error('interval is empty', 2) end
  return floor(unit * (high - low + 1)) + low
end

local function readonly()
  error('Attempt to modify a readonly table', 2)
end

local function sealed(library)
  return setmetatable({}, { __index = library, __newindex = readonly, __metatable = false })
end

local function copy(library, but)
  local result = {}
  for name, value in pairs(library) do
    if not but[name] then result[name] = value end
  end
  return result
end

local maths = copy(math, {})
maths.random = random
function maths.randomseed(number)
  seed = floor(tonumber(number) or 0) % 2147483646 + 1
end

-- Lua 5.1 matches by recursion, as deep as the pattern is long, on the stack of the thread.
local PATTERN_MAX = 512
local function bounded(f, is_plain)
  return function(text, pattern, ...)
    if type(pattern) == 'string' and #pattern > PATTERN_MAX and not is_plain(...) then
      error('pattern too long', 2)
    end
    return f(text, pattern, ...)
  end
end
local function never() return false end

-- Strings find their methods by a table of their own: its original has `dump`.
local strings = copy(string, { dump = true })
strings.find = bounded(string.find, function(_, plain) return plain end)
for _, name in pairs({ 'match', 'gmatch', 'gfind', 'gsub' }) do
  if string[name] then strings[name] = bounded(string[name], never) end
end
local of_strings = getmetatable('')
of_strings.__index = strings
of_strings.__metatable = false

local globals = {
  _VERSION = _VERSION, assert = assert, error = error, getmetatable = getmetatable,
  ipairs = ipairs, next = next, pairs = pairs, rawequal = rawequal, rawget = rawget,
  rawset = rawset, select = select, setmetatable = setmetatable, tonumber = tonumber,
  tostring = tostring, type = type,
  math = sealed(maths), string = sealed(strings), table = sealed(copy(table, {})),
  struct = sealed(host.struct),
  redis = sealed(redis), KEYS = keys, ARGV = argv,
}

-- Lua 5.1 counts the values as an int, whatever the bounds are.
local raw_unpack, VALUES_MAX = unpack, 7000
function globals.unpack(list, from, to)
  if type(list) ~= 'table' then error("bad argument #1 to 'unpack' (table expected)", 2) end
  from, to = tonumber(from or 1), tonumber(to or #list)
  if not from or not to then error("bad argument to 'unpack' (number expected)", 2) end
  if not (to - from < VALUES_MAX and from > -2 ^ 31 and to < 2 ^ 31) then
    error('too many results to unpack', 2)
  end
  return raw_unpack(list, from, to)
end

function globals.pcall(f, ...)
  return settle(raw_pcall(f, ...))
end

function globals.xpcall(f, handler)
  return settle(raw_xpcall(f, function(e)
    if is_final(e) then return e end
    return handler(reply_of(e) or e)
  end))
end

local view = setmetatable({}, {
  __index = function(_, name)
    local value = globals[name]
    if value == nil then
      error("Script attempted to access nonexistent global variable '" .. tostring(name) .. "'", 2)
    end
    return value
  end,
  __newindex = readonly,
  __metatable = false,
})
globals._G = view

-- An error as Redis reports it, with the line of the script that it came from.
local function reported(e)
  local line = where()
  local text = reply_of(e)
  if not text then
    text = type(e) == 'table' and 'ERR unknown error' or 'ERR ' .. tostring(e)
  end
  return { err = text, line = line }
end

local function run(script)
  return raw_xpcall(script, reported)
end

return view, run
