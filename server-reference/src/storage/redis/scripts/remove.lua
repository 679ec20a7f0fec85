
local t = topic()
if not t then return { 'absent' } end
if a.id ~= t.id then return { 'other' } end
if a.expiry and not (t.hidden == '1' or over(t)) then return { 'lives' } end
local forks = redis.call('SCARD', F)
if forks > 0 then
    -- Its events are its forks' past.
    if t.hidden ~= '1' then
        redis.call('HSET', T, 'hidden', '1')
        tell(t, num(t.tail), 0)
    end
    return { 'hidden' }
end
redis.call('UNLINK', T, E, P, S, N, O, F)
tell(t, num(t.tail), 0)
return { 'gone', t.definition }
