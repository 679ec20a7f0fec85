
local t = topic()
if not t or t.id ~= a.id then return { 'absent' } end
redis.call('SREM', F, a.fork)
local forks = redis.call('SCARD', F)
if forks == 0 and t.hidden == '1' then
    redis.call('UNLINK', T, E, P, S, N, O, F)
    return { 'gone', t.definition }
end
redis.call('HSET', T, 'forks', forks)
return { 'held' }
