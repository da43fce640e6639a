-- ARGV: nonce, life. What stood there is kept behind, unless it is long.
local ends = now + ARGV[2]
local nonce = ARGV[1] .. packed(now) .. packed(ends)
if kind == 'M' then
  marks.nonces[#marks.nonces + 1] = nonce
  put_marks(marks)
elseif kind == 'V' and #held <= 65536 then
  local left = redis.call('PTTL', key)
  if left < 0 then left = 4503599627370496 - now end
  put('M\0\0\0\0\1' .. nonce .. packed(now + left) .. held, ends)
else
  put('M\0\0\0\0\1' .. nonce, ends)
end
return 1
