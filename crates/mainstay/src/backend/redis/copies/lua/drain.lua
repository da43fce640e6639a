-- Values and tokens go, marks are tainted.
if kind == 'M' then
  marks.taint = 1
  put_marks(marks)
elseif kind ~= '-' then
  redis.call('DEL', key)
end
return 1
