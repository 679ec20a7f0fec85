
if redis.call('EXISTS', T) == 1 then return { 'there' } end
-- Nothing is there without its topic, unless Redis has lost that alone.
redis.call('UNLINK', E, P, S, N, O, F)
redis.call('HSET', T, 'run', process(), unpack(a.fields))
local t, places = topic(), {}
local tail = num(t.tail)
for i = 2, #ARGV do places[i - 1] = i end
local told = write(t, places)
if a.close then t.closed = '1' end
trim(t)
save(t)
tell(t, tail, #places, told)
local made = redis.call('HGETALL', T)
table.insert(made, 1, 'made')
return made
