-- ARGV: nonce, 1 where nothing was committed under it. Otherwise its write may have committed, also when its mark is not
-- found any more.
if kind == 'M' then
  take(marks, ARGV[1])
  if ARGV[2] ~= '1' then marks.taint = 1 end
  finish(marks)
end
return 1
