-- ARGV: token, version, value, life, ttl or nothing. → whether the token stood.
if kind == 'L' and string.sub(held, 2, 17) == ARGV[1] then
  local placed = u64(held, 18)
  put(encoded(ARGV[2], ARGV[3], ARGV[5], placed), placed + ARGV[4])
  return 1
end
return 0
