-- ARGV: nonce, life.
if kind ~= 'M' then marks = {taint = 0, nonces = {}} end
marks.nonces[#marks.nonces + 1] = ARGV[1] .. packed(now) .. packed(now + ARGV[2])
put_marks(marks)
return 1
