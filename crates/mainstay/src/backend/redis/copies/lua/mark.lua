-- ARGV: nonce, life.
local ends = now + ARGV[2]
local nonce = ARGV[1] .. packed(now) .. packed(ends)
if kind == 'M' then
  marks.nonces[#marks.nonces + 1] = nonce
  put_marks(marks)
else
  -- The usual case: nobody else writes this key.
  put('M\0\0\0\0\1' .. nonce, ends)
end
return 1
