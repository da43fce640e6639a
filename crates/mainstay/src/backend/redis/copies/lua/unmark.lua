-- ARGV: nonce. Its write may have committed, also when its mark is not found any more.
if kind == 'M' then
  take(marks, ARGV[1])
  marks.taint = 1
  finish(marks)
end
return 1
