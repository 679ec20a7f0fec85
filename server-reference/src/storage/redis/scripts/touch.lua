
local t = topic()
if t and t.id == a.id and not over(t) then
    redis.call('HSET', T, 'touched', str(math.max(num(t.touched), a.now)))
end
return { 'done' }
