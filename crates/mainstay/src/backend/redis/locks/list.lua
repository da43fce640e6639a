-- KEYS: none. ARGV: cursor, how many to aim for, what counters begin with, what locks begin with. Not on a cluster.
-- → {cursor, {name, token, left, note, holder, …}}
local page = redis.call('SCAN', ARGV[1], 'MATCH', ARGV[3] .. '*', 'COUNT', ARGV[2])
local rows = {}
for _, counter in ipairs(page[2]) do
  local rest = string.sub(counter, #ARGV[3] + 1)
  local lock = ARGV[4] .. rest
  local held, left = redis.call('GET', lock), redis.call('PTTL', lock)
  rows[#rows + 1] = string.sub(rest, string.find(rest, '}:', 1, true) + 2)
  rows[#rows + 1] = tonumber(redis.call('GET', counter) or '0')
  rows[#rows + 1] = held and left or -1
  rows[#rows + 1] = held and string.sub(held, 17) or ''
  rows[#rows + 1] = held and string.sub(held, 1, 16) or ''
end
return {page[1], rows}
