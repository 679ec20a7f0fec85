
local t = topic()
if not t then return { 'absent' } end
if t.hidden == '1' then return { 'deleted' } end
if over(t) then return { 'over' } end
history(t)

local tail, closed, count = num(t.tail), t.closed == '1', #ARGV - 1
local function answer(word, more)
    return { word, t.epoch, t.tail, t.closed, more }
end
-- What is acknowledged once more has to be as safe as when it was new: what waits for replicas waits for a write.
local function again(newest)
    if a.wait then redis.call('HSET', T, 'epoch', t.epoch) end
    return answer('again', newest)
end

local p, zero = a.producer, string.rep('0', 20)
local state = p and redis.call('HGET', P, p.id)
if p and not state then
    if p.sequence ~= zero and not closed then return answer('gap', zero) end
elseif p then
    local epoch, newest = string.sub(state, 1, 20), string.sub(state, 21)
    if greater(epoch, p.epoch) then return answer('stale', epoch) end
    if greater(p.epoch, epoch) then
        if p.sequence ~= zero and not closed then return answer('start') end
    elseif not greater(p.sequence, newest) then
        -- What was acknowledged stays acknowledged, also of a topic that was closed since.
        return again(newest)
    elseif p.before ~= newest and not closed then
        return answer('behind', newest)
    end
end
if closed then
    if a.close and count == 0 and not p then return again() end
    return answer('closed')
end
if count > 0 and a.essence ~= t.essence then return answer('type') end
if a.sequence and t.sequence and not greater(a.sequence, t.sequence) then return answer('sequence') end
if tail + count > a.most then return answer('full') end
local idle = {}
if p and not state and redis.call('HLEN', P) >= a.producers then
    idle = redis.call('ZRANGEBYSCORE', S, '-inf', '(' .. str(a.idle), 'LIMIT', 0, 1024)
    if #idle == 0 then return answer('producers') end
end

-- From here on nothing is refused.
for _, id in ipairs(idle) do
    redis.call('HDEL', P, id)
    redis.call('ZREM', S, id)
end
local places = {}
for i = 1, count do places[i] = i + 1 end
local told = write(t, places)
if a.close then t.closed = '1' end
if a.sequence then redis.call('HSET', T, 'sequence', a.sequence) end
if p then
    redis.call('HSET', P, p.id, p.epoch .. p.sequence)
    redis.call('ZADD', S, str(a.now), p.id)
end
trim(t)
save(t)
tell(t, tail, count, told)
return answer('fresh')
