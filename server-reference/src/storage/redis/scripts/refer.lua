
-- A source holds a reference to each of its forks before the fork is made, so that it never goes before them.
local t = topic()
if not t or t.id ~= a.id or over(t) then return { 'absent' } end
if t.hidden == '1' then return { 'deleted' } end
if t.epoch ~= a.epoch then return { 'changed' } end
redis.call('SADD', F, a.fork)
redis.call('HSET', T, 'forks', redis.call('SCARD', F))
return { 'held' }
