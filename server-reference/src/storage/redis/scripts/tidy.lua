
local t = topic()
if not t then return { 'absent' } end
if t.hidden == '1' then return { 'hidden' } end
if over(t) then return { 'over' } end
local more = trim(t)
redis.call('HSET', T, 'first', t.first, 'bytes', t.bytes)
if more then return { 'next', str(a.now) } end
-- When there will be something to do. What is yet to come is not due before its whole age has passed.
local next = t.ends and num(t.ends)
if t.idle then next = num(t.touched) + num(t.idle) end
if t.age then
    local oldest = redis.call('XRANGE', E, '-', '+', 'COUNT', 1)[1]
    local due = num(t.age) + (oldest and num(oldest[2][2]) or a.now)
    next = math.min(next or due, due)
end
return { 'next', next and str(next) or '' }
