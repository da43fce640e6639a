-- ARGV: nonce, version, value, life, ttl or nothing. → whether the mark stood.
if kind == 'M' then
  local placed = take(marks, ARGV[1])
  if not placed then
    -- The mark was lost: whoever shares it must not leave a value that is older than this one.
    marks.taint = 1
  elseif not marks.best or older(version_of(marks.best), ARGV[2]) then
    marks.best = encoded(ARGV[2], ARGV[3], ARGV[5], placed)
    marks.ends = placed + ARGV[4]
  end
  finish(marks)
  return placed and 1 or 0
end
-- It is not known when a lost mark was placed, so the newer value cannot be dated: nothing is left.
if kind == 'L' or kind == '?' or (kind == 'V' and older(version_of(held), ARGV[2])) then
  redis.call('DEL', key)
end
return 0
