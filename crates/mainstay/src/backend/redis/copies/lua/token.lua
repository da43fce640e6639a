-- ARGV: token, life. → whether it now stands.
if kind == '-' or kind == '?' then
  put('L' .. ARGV[1] .. packed(now), now + ARGV[2])
  return 1
end
return 0
